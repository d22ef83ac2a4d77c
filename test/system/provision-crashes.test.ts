/**
 * Provisioning that is killed, or fails, at every point there is, and is then run again: one client, one secret, all policies,
 * nothing left over. The naive way of doing it has to fail most of these rows, or they would prove little.
 */
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERRORS, SidecarError } from '../../src/core/errors.ts';
import type { IamApi } from '../../src/iam/api.ts';
import { createFileStore } from '../../src/iam/rotation/file-store.ts';
import type { SecretStore } from '../../src/iam/rotation/store.ts';
import { FAULTS, type IamFault } from '../support/iam-double.ts';
import { provisionNaively } from '../support/naive-provisioner.ts';
import { createProvisionWorld, type ProvisionWorld } from '../support/provision-world.ts';

const MODES = ['body', 'empty'] as const;
const CHANGES = [
  'createClient',
  'updateClient',
  'deleteClient',
  'createSecret',
  'deleteSecret',
  'createPolicy',
] as const;

class Crash extends Error {}

/** Counts what has an effect outside, and dies at one of them: before it or after. */
class Reaper {
  count = 0;
  readonly at: number;
  readonly after: boolean;

  constructor(at: number, after = false) {
    this.at = at;
    this.after = after;
  }

  async around<T>(work: () => Promise<T>): Promise<T> {
    this.count += 1;
    const due = this.count === this.at;
    if (due && !this.after) throw new Crash();
    const result = await work();
    if (due) throw new Crash();
    return result;
  }
}

function mortalIam(iam: IamApi, reaper: Reaper): IamApi {
  const mortal: Record<string, unknown> = { ...iam };
  for (const name of CHANGES) {
    const real = iam[name] as (...args: unknown[]) => Promise<unknown>;
    mortal[name] = (...args: unknown[]) => reaper.around(() => real(...args));
  }
  return mortal as unknown as IamApi;
}

function mortalStore(store: SecretStore, reaper: Reaper): SecretStore {
  return {
    ...store,
    async open() {
      const open = await store.open();
      return {
        ...open,
        writeSecret: (value) => reaper.around(() => open.writeSecret(value)),
        writeJournal: (text) => reaper.around(() => open.writeJournal(text)),
      };
    },
  };
}

type Attempt = (world: ProvisionWorld, reaper?: Reaper) => Promise<unknown>;

const ours: Attempt = (world, reaper) =>
  world.run(
    reaper && {
      iam: mortalIam(world.iam, reaper),
      store: mortalStore(createFileStore(world.desired().secret.file), reaper),
    },
  );

/** Killed in the pause before a call is tried again; the second run goes on in peace. */
const oursUntilPause: Attempt = (world) => {
  const sleep = async () => {
    if (world.double.fault === undefined) return;
    throw new Crash();
  };
  return world.run({ clock: { now: () => Date.now(), sleep } });
};

const naive: Attempt = (world, reaper) =>
  provisionNaively(world.desired(), reaper ? mortalIam(world.iam, reaper) : world.iam);

/** How the attempt ended, as an exit code; undefined = killed. */
async function endOf(attempt: Promise<unknown>): Promise<number | undefined> {
  try {
    await attempt;
    return 0;
  } catch (error) {
    if (error instanceof Crash) return undefined;
    if (error instanceof SidecarError) return ERRORS[error.code].exit;
    throw error;
  }
}

let world: ProvisionWorld;
const tally = { rows: 0, ours: 0, naive: 0 };

beforeAll(async () => {
  world = await createProvisionWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

/** What is wrong after it was disturbed once and then run again in peace. */
async function disturbed(
  attempt: Attempt,
  disturbance: { reaper?: Reaper; fault?: IamFault; at?: number },
): Promise<{ faults: string[]; exit: number | undefined; fired: boolean }> {
  const { reaper, fault, at = 0 } = disturbance;
  world.renew();
  if (fault !== undefined) world.double.fault = { at, fault };
  const exit = await endOf(attempt(world, reaper));
  const fired = fault === undefined ? exit === undefined : world.double.calls.length >= at;
  world.double.fault = undefined;
  const half = world.faultsOfResult();
  const again = await endOf(attempt(world));
  const faults = world.faultsOfResult();
  if (again !== 0) faults.push(`exit ${again} the second time`);
  // Nobody may be told that all is well when it is not.
  if (exit === 0 && half.length > 0) faults.push(`exit 0 with ${half.join()}`);
  return { faults, exit, fired };
}

describe('provision/apply', () => {
  it.each(MODES)('goes on after a crash at any effect, when creations answer with %s', async (mode) => {
    world.double.answers = mode;
    const bad: string[] = [];
    for (let at = 1, fired = true; fired; at += 1) {
      for (const after of [false, true]) {
        const row = await disturbed(ours, { reaper: new Reaper(at, after) });
        fired = row.fired;
        if (!fired) break;
        if (row.faults.length > 0) bad.push(`${after ? 'after' : 'before'} effect ${at}: ${row.faults.join('; ')}`);
        tally.rows += 1;
        tally.ours += row.faults.length === 0 ? 1 : 0;
        const control = await disturbed(naive, { reaper: new Reaper(at, after) });
        tally.naive += isRight(control.faults) ? 1 : 0;
      }
    }
    expect(bad).toEqual([]);
  });

  it.each(MODES)('goes on after any fault at any request to IAM, when creations answer with %s', async (mode) => {
    world.double.answers = mode;
    const bad: string[] = [];
    for (const fault of FAULTS) {
      for (let at = 1, fired = true; fired; at += 1) {
        const row = await disturbed(ours, { fault, at });
        fired = row.fired;
        if (!fired) break;
        const name = `${fault} at request ${at} (exit ${row.exit})`;
        if (row.faults.length > 0) bad.push(`${name}: ${row.faults.join('; ')}`);
        else if (!honest(fault, at).includes(row.exit ?? -1)) bad.push(`${name}: another exit code was due`);
        tally.rows += 1;
        tally.ours += row.faults.length === 0 ? 1 : 0;
        const control = await disturbed(naive, { fault, at });
        tally.naive += isRight(control.faults) ? 1 : 0;
      }
    }
    expect(bad).toEqual([]);
  });

  it.each(MODES)(
    'goes on when it is killed while it waits to try again, when creations answer with %s',
    async (mode) => {
      world.double.answers = mode;
      const bad: string[] = [];
      let killed = 0;
      for (const fault of FAULTS) {
        for (let at = 1, fired = true; fired; at += 1) {
          const row = await disturbed(oursUntilPause, { fault, at });
          fired = row.fired;
          if (row.exit === undefined) killed += 1;
          if (fired && row.faults.length > 0) bad.push(`${fault} at request ${at}: ${row.faults.join('; ')}`);
        }
      }
      expect(bad).toEqual([]);
      expect(killed).toBeGreaterThan(FAULTS.length);
    },
  );

  it('is not so easy: doing it naively fails most of the rows', () => {
    process.stdout.write(`${tally.rows} rows, provision ${tally.ours}, naive ${tally.naive}\n`);
    expect(tally.ours).toBe(tally.rows);
    expect(tally.naive).toBeLessThan(tally.rows / 4);
  });
});

/** It keeps no journal, so none is asked of it. */
const isRight = (faults: readonly string[]) => faults.every((fault) => fault === 'files: secret');

/** Before anything is changed a failure is told at once; after that, what may be over in a moment is tried again. */
const honest = (fault: IamFault, at: number) => (at === 1 || HONEST[fault].includes(8) ? HONEST[fault] : [0]);

/** 6: come back later. 8: refused. 0: it could be found out what had happened, without anybody's help. */
const HONEST: Readonly<Record<IamFault, readonly number[]>> = {
  refused: [6],
  500: [6],
  401: [8],
  403: [8],
  429: [6],
  lost: [6],
  late: [6],
  gateway: [6],
  empty: [0, 6],
  'wrong page': [0, 6],
};

describe('provision/run', () => {
  it('gives the lock back however it ends', async () => {
    world.double.answers = 'body';
    for (const at of [1, 2, 3]) {
      world.renew();
      await endOf(ours(world, new Reaper(at)));
      expect(readdirSync(world.folder.path).filter((name) => name.endsWith('.lock'))).toEqual([]);
    }
  });
});
