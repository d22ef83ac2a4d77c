/** Aritma IAM with everybody who uses it, and what can happen to them. */
import type { Chance } from '../../../support/seeded.ts';
import { Fault } from '../fault.ts';
import type { IamPart } from '../parts.ts';
import type { Kind, World } from '../world.ts';
import { Administrator } from './administrator.ts';
import { ADMIN, ADMIN_SECRET, IamServer, type StoredSecret } from './iam-server.ts';
import { DESIRED_FILE, Runs } from './runs.ts';

const ADMIN_FILE = '/sim/etc/admin-secret';

/** The client that `iam provision` makes. */
export const PROVISIONED = {
  ...{ name: 'Another ERP', description: 'made by provisioning', file: '/sim/etc/provisioned-secret' },
  policies: [
    { scope: '/subscriptions/1', action: 'banking.pis.create' },
    { scope: '/subscriptions/1', action: 'banking.ais.read' },
  ],
};

/** A client of somebody else: a search for the name of the other one finds it, too. */
export const NAMESAKE = { clientId: 'c0', name: `${PROVISIONED.name} of old`, description: 'of somebody else' };

export class Iam {
  readonly part: IamPart;
  readonly server: IamServer;
  readonly administrator: Administrator;
  readonly runs: Runs;
  readonly #world: World;
  readonly #deletedByHand = new Set<StoredSecret>();

  constructor(world: World, part: IamPart) {
    this.#world = world;
    this.part = part;
    this.server = new IamServer(world, part);
    this.administrator = new Administrator(world);
    this.runs = new Runs(world);
  }

  /** The first files. */
  begin(): void {
    this.#world.operator.replace(ADMIN_FILE, ADMIN_SECRET);
    const { name, description, file, policies } = PROVISIONED;
    const desired = {
      client: { name, description, scopes: ['payments'] },
      secret: { file, lifetime: 'never' },
      policies,
    };
    this.#world.operator.replace(DESIRED_FILE, JSON.stringify(desired));
    this.server.registry.clients.push(NAMESAKE);
    this.administrator.putRight();
  }

  /** Options that the configuration has besides the usual ones. */
  get rotation(): object {
    const { every, secretLifetime, overlap, verifyFor } = this.part;
    return { every, secretLifetime, overlap, verifyFor };
  }

  get options(): object {
    return { iam: { url: 'https://iam.sim/core/iam', credential: ADMIN } };
  }

  get credentials(): object {
    const tokenEndpoint = 'https://id.sim/connect/token';
    return { [ADMIN]: { tokenEndpoint, clientId: ADMIN, secrets: [{ file: ADMIN_FILE }] } };
  }

  /** Whether people or time took it away, not a rotation. */
  hasTakenAway({ value }: StoredSecret): boolean {
    const { nowMs } = this.#world.platform.time;
    return this.server.secrets.some(
      (secret) => secret.value === value && (secret.expiresAt <= nowMs || this.#deletedByHand.has(secret)),
    );
  }

  /** Deletes a secret by hand. */
  takeAway(secret: StoredSecret): void {
    this.#deletedByHand.add(secret);
    this.server.delete(secret);
  }

  repair(): void {
    this.server.repair();
    this.runs.spareAll();
    this.administrator.putRight();
  }
}

const times = (chance: Chance) => ({ times: chance.between(1, 3) });
const MINUTE = 60_000;

/** Only worlds with IAM have them. */
export const IAM_KINDS: Readonly<Record<string, Kind>> = {
  'iam.rotate': { weight: 5, draw: () => ({}), apply: ({ iam }) => iam?.runs.rotate() },
  'iam.rotateKilled': {
    weight: 8,
    draw: (chance) => ({ turns: chance.between(1, 400) }),
    apply: ({ iam }, { turns }) => iam?.runs.rotate({ killAfter: Number(turns) }),
  },
  'iam.rotateBoth': {
    weight: 2,
    draw: () => ({}),
    apply: ({ iam }) => {
      iam?.runs.rotate();
      iam?.runs.rotate();
    },
  },
  'iam.provisionKilled': {
    weight: 6,
    draw: (chance) => ({ turns: chance.between(1, 150) }),
    apply: ({ iam }, { turns }) => {
      if (iam?.part.isProvisioning) iam.runs.provision({ killAfter: Number(turns) });
    },
  },
  'iam.resetBefore': {
    weight: 2,
    draw: times,
    apply: ({ iam }, args) => iam?.server.failNext('before', Number(args['times'])),
  },
  'iam.resetAfter': {
    weight: 3,
    draw: times,
    apply: ({ iam }, args) => iam?.server.failNext('after', Number(args['times'])),
  },
  'iam.gateway': {
    weight: 2,
    draw: times,
    apply: ({ iam }, args) => iam?.server.failNext('gateway', Number(args['times'])),
  },
  'iam.add': { weight: 1, draw: () => ({}), apply: ({ iam }) => void iam?.administrator.add() },
  'iam.delete': {
    weight: 2,
    draw: (chance) => ({ which: chance.pick(['stored', 'other']) }),
    apply: ({ iam }, { which }) => iam?.administrator.deleteOne(which as 'stored' | 'other'),
  },
  'iam.replace': {
    weight: 1,
    draw: (chance) => ({ graceMs: chance.pick([0, 5000, 10 * MINUTE]) }),
    apply: ({ iam }, { graceMs }) => iam?.administrator.replace(Number(graceMs)),
  },
  'iam.putRight': { weight: 3, draw: () => ({}), apply: ({ iam }) => iam?.administrator.putRight() },
  ...Fault.kinds('iam', ({ iam, upstream }) => (iam?.server ?? upstream).fault),
};
