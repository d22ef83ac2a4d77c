/**
 * What chance alone hardly ever brings together: events that lead to a place where a mistake could hide. They are drawn by a
 * sequence of their own, and only for a part of the seeds, so that the others stay as they are.
 */
import type { Chance } from '../../support/seeded.ts';
import type { Iam } from './iam/iam.ts';
import type { AuditPart, IamPart } from './parts.ts';
import { later, RARE_FLEET_KINDS, when } from './rare-fleet-kinds.ts';
import { STORE } from './store.ts';
import type { Kind, World } from './world.ts';

const MINUTE = 60_000;
const LARGE_BYTES = 70_000;

/** What decides which of them a history can have. */
interface Fit {
  readonly tokenLifetimeS: number;
  readonly members: number;
  readonly parts: { readonly audit?: AuditPart; readonly iam?: IamPart };
}

export interface RareKind extends Kind {
  fits(history: Fit): boolean;
  /** `last`: shortly before it ends; what it leaves behind has to be over in time. Absent: any. */
  readonly stretch?: 'first' | 'last';
  /** In each history with rare events that it fits. */
  readonly isAlways?: true;
}

const anywhere = () => true;
const inFleet = ({ members }: Fit) => members > 1;
const withoutIam = ({ parts }: Fit) => parts.iam === undefined;
const withIam = ({ parts, members }: Fit) => parts.iam !== undefined && members === 1;
const VERIFY_MS: Readonly<Record<string, number>> = { '20s': 20_000, '2m': 2 * MINUTE, '15m': 15 * MINUTE };

function iamKind(draw: Kind['draw'], act: (iam: Iam, args: Record<string, number>, world: World) => void): RareKind {
  const apply: Kind['apply'] = (world, args) => world.iam && act(world.iam, args as Record<string, number>, world);
  return { weight: 0, fits: withIam, draw, apply };
}

export const RARE_KINDS: Readonly<Record<string, RareKind>> = {
  /** A server that asks for an hour of patience just when a token is needed: five minutes of it count. */
  'identity.asksForAnHour': {
    ...{ weight: 0, fits: anywhere, stretch: 'last' },
    draw: (chance) => ({ ms: chance.pick([2000, 20_000, MINUTE]), status: chance.pick([429, 503]) }),
    apply({ identity, erps }, { ms, status }) {
      identity.fault.failing(Number(ms), { status: Number(status), retryAfterS: 3600 });
      identity.revokeAll();
      for (const erp of erps) erp.burst(2, 1);
    },
  },
  /** An outage that lasts longer than a token, a slow way to the API, and calls when the token ends. */
  'identity.downToTheEnd': {
    ...{ weight: 0, fits: ({ tokenLifetimeS }) => tokenLifetimeS <= 120 },
    draw: (chance) => ({ ms: 3 * MINUTE, latencyMs: chance.pick([50, 400, 1200]) }),
    apply(world, { ms, latencyMs, host }) {
      const { identity, upstream, platform } = world;
      const token = [...identity.tokens.values()].at(-1);
      identity.fault.down(Number(ms));
      if (!token) return;
      upstream.fault.far(Number(ms), Number(latencyMs));
      const leftMs = token.issuedAt + token.lifetimeMs - platform.time.nowMs;
      if (leftMs > 4000) later(world, leftMs - 4000, () => world.erpOf(host).burst(40, 100));
    },
  },
  /** A wrong secret in the file while the one before it still works, and then a token is needed. */
  'operator.rotateWrongly': {
    ...{ weight: 0, fits: withoutIam },
    draw: (chance) => ({ ms: 5 * MINUTE, needInMs: chance.pick([3000, 15_000, MINUTE]) }),
    apply(world, { ms, needInMs, host }) {
      world.operator.newSecret(10 * MINUTE);
      world.operator.editSecret(world.hostOf(host), 'wrongFirst', Number(ms));
      world.erpOf(host).burst(3, Number(needInMs) / 4);
      later(world, Number(needInMs), () => {
        world.identity.revokeAll();
        world.erpOf(host).burst(3, 700);
      });
    },
  },
  /** While the server is away, a new secret that nobody asks with, and then a wrong one in its place. */
  'operator.rotateUnasked': {
    ...{ weight: 0, fits: withoutIam },
    draw: (chance) => ({ ms: chance.pick([4000, 10_000]), needInMs: chance.pick([12_000, 20_000]) }),
    apply(world, { ms, needInMs, host }) {
      const edited = world.hostOf(host);
      world.identity.fault.down(Number(ms));
      world.operator.newSecret(0);
      world.operator.editSecret(edited, 'renamed', 0);
      later(world, Number(ms) - 2000, () =>
        world.operator.edit(edited, 'secret', { how: 'wrongFirst', ms: 2 * MINUTE }),
      );
      later(world, Number(needInMs), () => {
        world.identity.revokeAll();
        world.erpOf(host).burst(3, 700);
      });
    },
  },
  /** The API refuses a call that cannot be sent again. */
  'erp.largeRefused': {
    ...{ weight: 0, fits: anywhere },
    draw: (chance) => ({ count: chance.between(1, 3) }),
    apply(world, { count, host }) {
      world.identity.revokeAll();
      world.erpOf(host).burst(Number(count), 1, LARGE_BYTES);
    },
  },
  /** The API refuses every token for a while, and calls come on. */
  'upstream.refusesAll': {
    ...{ weight: 0, fits: anywhere },
    draw: (chance) => ({ times: chance.between(8, 30), everyMs: chance.pick([40, 150, 400]) }),
    apply(world, { times, everyMs, host }) {
      world.upstream.refusals.next('all', Number(times));
      world.erpOf(host).burst(12, Number(everyMs));
    },
  },
  /** The file changes between the reading at a start and the first look at it. */
  'operator.editAtStart': {
    ...{ weight: 0, fits: anywhere, draw: () => ({}) },
    apply(world, { host }) {
      const edited = world.hostOf(host);
      edited.afterReading(() => world.operator.write(edited));
      edited.kill();
    },
  },
  'disk.slow': {
    ...{ weight: 0, fits: (history) => history.parts.audit !== undefined || withIam(history) },
    draw: (chance) => ({ ms: chance.pick([5000, MINUTE]), slowMs: chance.pick([5, 30, 200]) }),
    apply(world, { ms, slowMs }) {
      const { disk } = world.platform;
      disk.slowMs = Number(slowMs);
      later(world, Number(ms), () => {
        disk.slowMs = 0;
      });
      world.erp.burst(4, 300);
    },
  },
  /** Without the store, all members fetch for themselves. It comes back with what was refused to them, and one is reloaded. */
  'fleet.alone': {
    ...{ weight: 0, fits: inFleet, draw: () => ({}) },
    apply(world, { host }) {
      const [alone, erp] = [world.hostOf(host), world.erpOf(host)];
      world.fleet?.store.down(12_000, true);
      later(world, 2000, () => {
        world.identity.revokeAll();
        for (const one of world.erps) one.burst(2, 1);
      });
      later(world, 26_000, () => alone.reload());
      for (const afterMs of [27_000, 34_000]) later(world, afterMs, () => erp.burst(2, 100));
    },
  },
  /** One member is cut off, the others share a token, then it fetches a newer one: theirs is the older one when it is back. */
  'fleet.oneAlone': {
    ...{ weight: 0, fits: inFleet, draw: () => ({}) },
    apply(world, { host }) {
      const { network } = world.platform;
      const [{ machine }, erp] = [world.hostOf(host), world.erpOf(host)];
      network.block(STORE, machine);
      later(world, 8000, () => network.unblock(STORE, machine));
      later(world, 1000, () => {
        world.identity.revokeAll();
        for (const one of world.erps) if (one !== erp) one.burst(2, 1);
      });
      for (const afterMs of [3000, 14_000, 20_000]) later(world, afterMs, () => erp.burst(2, 100));
    },
  },
  /** The clock of the member that fetches for all is set forward meanwhile: its token looks as if it had ended. */
  'fleet.clockLeaps': {
    ...{ weight: 0, fits: inFleet, draw: () => ({}) },
    apply(world, { host }) {
      const { identity } = world;
      const [leaping, first] = [world.hostOf(host), world.erpOf(host)];
      identity.revokeAll();
      identity.fault.slow(400, 150);
      first.burst(1, 1);
      later(world, 30, () => {
        for (const one of world.erps) if (one !== first) one.burst(1, 1);
      });
      later(world, 100, () => {
        leaping.machine.step(world.platform.time.nowMs, 60 * MINUTE);
      });
    },
  },
  /** The identity server knows the new secret only shortly before it is given up, or later. */
  'iam.rotateLate': iamKind(
    (chance) => ({ share: chance.pick([0.8, 0.9, 0.97, 1.5, 4]) }),
    ({ server, part, runs }, { share = 1 }) => {
      server.knowNextLate((VERIFY_MS[part.verifyFor] ?? MINUTE) * share);
      runs.rotate();
    },
  ),
  /** Somebody deletes the new secret, and then the file gets another one by hand. */
  'iam.overrule': iamKind(
    (chance) => ({ afterMs: chance.pick([4000, 8000, 30_000, 2 * MINUTE]) }),
    ({ runs, administrator }, { afterMs = 0 }, world) => {
      runs.rotate();
      later(world, afterMs, () => {
        administrator.deleteOne('stored');
        administrator.putRight();
      });
    },
  ),
  /** The same during an overlap for which two runs wait: the first of them gives the rotation up. */
  'iam.overruleBoth': {
    ...iamKind(
      () => ({}),
      ({ runs, administrator }, _args, world) => {
        runs.rotate();
        const isWaiting = () => administrator.journal?.attempt?.phase === 'promoted';
        when(world, isWaiting, () => {
          runs.rotate();
          later(world, 2000, () => {
            administrator.deleteOne('stored');
            administrator.putRight();
          });
        });
      },
    ),
    isAlways: true,
  },
  /** A first provisioning that is cut off, and again, and again. */
  'iam.provisionCut': {
    ...iamKind(cut, ({ server, runs }, { isAfter, skip = 0, first = 0, second = 0, third = 0 }, world) => {
      server.failLater(isAfter === 1 ? 'after' : 'before', skip);
      runs.provision({ killAfter: first });
      later(world, MINUTE / 2, () => runs.provision({ killAfter: second }));
      later(world, MINUTE, () => runs.provision({ killAfter: third }));
    }),
    fits: ({ parts }) => parts.iam?.isProvisioning === true,
    isAlways: true,
    stretch: 'first',
  },
  ...RARE_FLEET_KINDS,
};

/** A whole run takes 223 turns; from the 120th on it makes the first secret. */
function cut(chance: Chance) {
  const turns = () => chance.between(60, 225);
  return { isAfter: chance.between(0, 1), skip: chance.between(0, 4), first: turns(), second: turns(), third: turns() };
}
