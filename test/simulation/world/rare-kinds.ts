/**
 * What chance alone hardly ever brings together: events that lead to a place where a mistake could hide. They are drawn by a
 * sequence of their own, and only for a part of the seeds, so that the others stay as they are.
 */
import type { Chance } from '../../support/seeded.ts';
import type { Iam } from './iam/iam.ts';
import type { AuditPart, IamPart } from './parts.ts';
import type { Kind, World } from './world.ts';

const MINUTE = 60_000;
const LARGE_BYTES = 70_000;

/** What decides which of them a history can have. */
interface Fit {
  readonly members: number;
  readonly parts: { readonly audit?: AuditPart; readonly iam?: IamPart };
}

export interface RareKind extends Kind {
  fits(history: Fit): boolean;
  /** Shortly before the last stretch ends: what it leaves behind has to be over in time. */
  readonly isLast?: true;
}

const anywhere = () => true;
const withoutIam = ({ parts }: Fit) => parts.iam === undefined;
const withIam = ({ parts }: Fit) => parts.iam !== undefined;
const VERIFY_MS: Readonly<Record<string, number>> = { '20s': 20_000, '2m': 2 * MINUTE, '15m': 15 * MINUTE };

function iamKind(draw: Kind['draw'], act: (iam: Iam, args: Record<string, number>, world: World) => void): RareKind {
  const apply: Kind['apply'] = (world, args) => world.iam && act(world.iam, args as Record<string, number>, world);
  return { weight: 0, fits: withIam, draw, apply };
}

function later(world: World, ms: number, act: () => void): void {
  const { time } = world.platform;
  time.after(ms, time.kernel, act);
}

export const RARE_KINDS: Readonly<Record<string, RareKind>> = {
  /** A server that asks for an hour of patience just when a token is needed: five minutes of it count. */
  'identity.asksForAnHour': {
    ...{ weight: 0, fits: anywhere, isLast: true },
    draw: (chance) => ({ ms: chance.pick([2000, 20_000, MINUTE]), status: chance.pick([429, 503]) }),
    apply({ identity, erps }, { ms, status }) {
      identity.fault.failing(Number(ms), { status: Number(status), retryAfterS: 3600 });
      identity.revokeAll();
      for (const erp of erps) erp.burst(2, 1);
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
  /** The API refuses a call that cannot be sent again. */
  'erp.largeRefused': {
    ...{ weight: 0, fits: anywhere },
    draw: (chance) => ({ count: chance.between(1, 3) }),
    apply(world, { count, host }) {
      world.identity.revokeAll();
      world.erpOf(host).burst(Number(count), 1, LARGE_BYTES);
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
    ...{ weight: 0, fits: ({ parts }) => parts.audit !== undefined || parts.iam !== undefined },
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
  /** A first provisioning that is cut off at one of its changes. */
  'iam.provisionCut': {
    ...iamKind(cut, ({ server, runs }, args) => {
      server.failLater(args['isAfter'] === 1 ? 'after' : 'before', args['skip'] ?? 0);
      runs.provision(args['turns'] === 0 ? {} : { killAfter: args['turns'] ?? 1 });
    }),
    fits: ({ parts }) => parts.iam?.isProvisioning === true,
  },
};

function cut(chance: Chance) {
  return {
    isAfter: chance.between(0, 1),
    skip: chance.between(0, 4),
    turns: chance.happens(0.5) ? 0 : chance.between(1, 150),
  };
}
