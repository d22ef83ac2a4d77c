// A rotation that dies at every single effect it has, before it and after it, and is run again. What dies here is the
// function, so that every point is quick to reach; processes that are killed are in test/system.
import { afterAll, describe, expect, it } from 'vitest';
import type { RotationOptions } from '../../src/iam/rotation/attempt.ts';
import { naiveRotation } from '../support/naive-rotation.ts';
import { wrongs } from '../support/rotation-end.ts';
import { POLICY, type RotationWorld, startRotationServer } from '../support/rotation-world.ts';

const server = await startRotationServer();
afterAll(() => server[Symbol.asyncDispose]());

class Crash extends Error {}

type When = 'before' | 'after';

/** Counts effects and dies at one of them. */
function crasher(at: number, when: When) {
  const done: string[] = [];
  const effect =
    <Args extends unknown[], T>(name: string, real: (...args: Args) => Promise<T>) =>
    async (...args: Args): Promise<T> => {
      done.push(name);
      const dies = done.length - 1 === at;
      if (dies && when === 'before') throw new Crash(name);
      const result = await real(...args);
      if (dies) throw new Crash(name);
      return result;
    };
  const wrap = (options: RotationOptions): RotationOptions => ({
    ...options,
    trySecret: effect('token request', options.trySecret),
    iam: {
      ...options.iam,
      createSecret: effect('create secret', options.iam.createSecret),
      deleteSecret: effect('delete secret', options.iam.deleteSecret),
    },
    store: {
      ...options.store,
      writeSecret: effect('write secret', options.store.writeSecret),
      writeJournal: effect('write journal', options.store.writeJournal),
    },
  });
  return { done, wrap };
}

type Rotation = (options: RotationOptions) => Promise<{ readonly kind: string }>;

async function runOnce(world: RotationWorld, rotation: Rotation, wrap: (options: RotationOptions) => RotationOptions) {
  const store = await world.open();
  try {
    for (;;) {
      const { kind } = await rotation(wrap(world.options(store)));
      if (kind !== 'waiting') return;
      world.clock.advance(POLICY.overlap);
    }
  } finally {
    await store.close();
  }
}

/** Dies at one point, is run again, and tells what is wrong then; also that one of two secrets worked all the time. */
async function survive(rotation: Rotation, at: number, when: When): Promise<string[]> {
  using world = await server.world({ createResponse: at % 2 === 0 ? 'body' : 'empty' });
  const { wrap } = crasher(at, when);
  await runOnce(world, rotation, wrap).catch((error: unknown) => {
    if (!(error instanceof Crash)) throw error;
  });
  const between = (await world.tokenFor(world.stored())) === 'accepted' ? [] : ['no working secret after the crash'];
  if ((await world.listed()).length > 2) between.push('three secrets after the crash');
  await runOnce(world, rotation, (options) => options).catch((error: unknown) => {
    between.push(`the second run fails: ${(error as Error).message}`);
  });
  return [...between, ...(await wrongs(world))];
}

async function effectsOf(rotation: Rotation): Promise<string[]> {
  using world = await server.world();
  const { done, wrap } = crasher(-1, 'before');
  await runOnce(world, rotation, wrap);
  return done;
}

const { rotate } = await import('../../src/iam/rotation/rotate.ts');
const EFFECTS = await effectsOf(rotate);
const NAIVE_EFFECTS = await effectsOf(naiveRotation);
const rowsOf = (effects: readonly string[]) =>
  effects.flatMap((name, index) => (['before', 'after'] as const).map((when) => [when, index, name] as const));

describe('rotation that dies', () => {
  it('has all the effects there are to die at', () => {
    expect([...new Set(EFFECTS)].sort()).toEqual(
      ['create secret', 'delete secret', 'token request', 'write journal', 'write secret'].sort(),
    );
  });

  it.each(rowsOf(EFFECTS))(
    '%s effect %i (%s): a second run ends with one working secret and nothing else',
    async (when, at) => {
      expect(await survive(rotate, at, when)).toEqual([]);
    },
  );
});

describe('the naive control', () => {
  const rows = rowsOf(NAIVE_EFFECTS);
  let passed = 0;
  afterAll(() => {
    process.stdout.write(
      `rotation: ${EFFECTS.length * 2} rows, rotate ${EFFECTS.length * 2} pass; naive ${passed} of ${rows.length}\n`,
    );
  });

  it('does not survive most of its own points of death', async () => {
    for (const [when, at] of rows) if ((await survive(naiveRotation, at, when)).length === 0) passed += 1;
    expect(passed).toBeLessThan(rows.length / 2);
  });
});
