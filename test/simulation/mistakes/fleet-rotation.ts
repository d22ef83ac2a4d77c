/** Mistakes in how a fleet rotates its secret. */
import type { Mistake } from './mistakes.ts';

const SHARED = 'sidecar/fleet/shared-secret.ts';

export const FLEET_ROTATION_MISTAKES: Readonly<Record<string, Mistake>> = {
  'fleet-due-by-own-clock': {
    needs: 'fleet',
    file: 'iam/rotation/credential-rotation.ts',
    from: 'const nowMs = await sharedNow({ store, clock });',
    to: 'const nowMs = clock.now();',
  },
  'fleet-overlap-by-own-clock': {
    needs: 'fleet',
    file: 'iam/rotation/attempt.ts',
    from: 'return store.now?.() ?? clock.now();',
    to: 'return clock.now();',
  },
  'fleet-gives-hosts-up-soon': {
    needs: 'fleet',
    file: 'fleet/places.ts',
    from: 'const GIVEN_UP_MS = 24 * 3_600_000;',
    to: 'const GIVEN_UP_MS = 60_000;',
  },
  'fleet-memory-secret-not-kept': {
    needs: 'fleet',
    file: SHARED,
    from: 'const needed = areKept && places.length === 0 ? undefined : value;',
    to: 'const needed = areKept || places.length === 0 ? undefined : value;',
  },
  'fleet-drops-unreadable-silent': {
    needs: 'fleet',
    file: 'fleet/members.ts',
    from: 'silent: await readAll(unnamed, sealer),',
    to: 'silent: (await readAll(unnamed, sealer)).filter(({ details }) => details),',
  },
  'fleet-waits-for-nobody': {
    needs: 'fleet',
    file: SHARED,
    from: 'return [...places.map(({ host }) => host), ...untold.map(({ id, details }) => details?.host ?? id)];',
    to: 'return [];',
  },
  'fleet-forgets-silent': {
    needs: 'fleet',
    file: 'fleet/places.ts',
    from: 'return [...live, ...silent.filter(({ place }) => !places.has(place))];',
    to: 'return [...live];',
  },
  'fleet-trusts-empty-store': {
    needs: 'fleet',
    file: SHARED,
    from: 'if (members.nowMs - members.sinceMs < COMPLETE_MS)',
    to: 'if (members.nowMs - members.sinceMs < 0)',
  },
  'fleet-lease-not-confirmed': {
    needs: 'fleet',
    file: SHARED,
    from: '      await lease.confirm();\n      return work();',
    to: '      return work();',
  },
  'fleet-follows-no-more': {
    needs: 'fleet',
    file: 'sidecar/fleet/secret-follower.ts',
    from: "if (attempt?.phase === 'promoted' && attempt.value) await",
    to: "if (attempt?.phase === 'promoted' && attempt.value && followed.written > 1e15) await",
  },
  'fleet-journal-not-put-back': {
    needs: 'fleet',
    file: 'sidecar/fleet/fleet-journal.ts',
    from: 'if (found < this.revision && this.#newest) await this.write(this.#newest);',
    to: '',
  },
};
