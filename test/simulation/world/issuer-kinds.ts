/** What can happen to the keys and the documents of an issuer. */
import type { Chance } from '../../support/seeded.ts';
import type { Forgery, Issuer, Served } from './issuer.ts';
import type { Args, Kind } from './world.ts';

const MINUTE = 60_000;
const DURATIONS: readonly [number, ...number[]] = [900, 20_000, 3 * MINUTE, 30 * MINUTE];
const FAULTS: readonly [Served, ...Served[]] = ['empty', 'broken', 'failing', 'silent'];

type Draw = (chance: Chance) => Args;

/** Tokens are revoked soon after it, and calls come: only a new token shows what has happened. */
function kind(weight: number, draw: Draw, apply: (issuer: Issuer, args: Args) => void): Kind {
  return {
    ...{ weight, isElsewhere: true },
    draw: (chance) => ({ ...draw(chance), newTokenInMs: chance.pick([100, 100, 3000, MINUTE]) }),
    apply: ({ issuer, identity, erp, platform: { time } }, args) => {
      if (!issuer) return;
      apply(issuer, args);
      time.after(Number(args['newTokenInMs']), time.kernel, () => {
        identity.revokeAll();
        erp.burst(2, 1);
      });
    },
  };
}

/** Drawn by an addition, for worlds whose sidecar has an issuer. */
export const ISSUER_KINDS: Readonly<Record<string, Kind>> = {
  'issuer.rotate': kind(
    4,
    (chance) => ({ gapMs: chance.pick([0, 1000, MINUTE]) }),
    (issuer, { gapMs }) => issuer.rotate(Number(gapMs)),
  ),
  'issuer.rotateEarly': kind(
    2,
    (chance) => ({ ms: chance.pick(DURATIONS) }),
    (issuer, { ms }) => issuer.rotateEarly(Number(ms)),
  ),
  'issuer.replaceKey': kind(
    2,
    () => ({}),
    (issuer) => issuer.replaceKey(),
  ),
  'issuer.keys': kind(
    3,
    (chance) => ({ served: chance.pick(FAULTS), ms: chance.pick(DURATIONS) }),
    (issuer, { served, ms }) => issuer.serve('keys', served as Served, Number(ms)),
  ),
  'issuer.document': kind(
    3,
    (chance) => ({ served: chance.pick(FAULTS), ms: chance.pick(DURATIONS) }),
    (issuer, { served, ms }) => issuer.serve('document', served as Served, Number(ms)),
  ),
  'issuer.moveTokenEndpoint': kind(
    2,
    () => ({}),
    (issuer) => issuer.moveTokenEndpoint(),
  ),
  'issuer.moveKeys': kind(
    2,
    (chance) => ({ keepsOld: chance.between(0, 1) }),
    (issuer, { keepsOld }) => {
      issuer.moveKeys(keepsOld === 1);
      issuer.rotate(0);
    },
  ),
  'issuer.forge': kind(
    4,
    (chance) => ({ how: chance.pick(['key', 'issuer', 'audience', 'opaque'] as const), times: chance.between(1, 4) }),
    (issuer, { how, times }) => issuer.forgeNext(how as Forgery, Number(times)),
  ),
};
