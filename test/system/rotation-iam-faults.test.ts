// Every call a rotation makes to Aritma IAM fails in every way: once, which it gets over by itself, and for good, after
// which it is run again.
import { afterAll, describe, expect, it } from 'vitest';
import { ERRORS, SidecarError } from '../../src/core/errors.ts';
import type { RotationOptions } from '../../src/iam/rotation/attempt.ts';
import { rotate } from '../../src/iam/rotation/rotate.ts';
import { naiveRotation } from '../support/naive-rotation.ts';
import { wrongs } from '../support/rotation-end.ts';
import { FIRST_VALUE, POLICY, type RotationWorld, startRotationServer } from '../support/rotation-world.ts';

const server = await startRotationServer();
afterAll(() => server[Symbol.asyncDispose]());

const CALLS = {
  'listing secrets': { method: 'GET', path: '/secrets$' },
  'creating the secret': { method: 'POST', path: '/secrets$' },
  'deleting the old secret': { method: 'DELETE', path: '/secrets/' },
} as const;

const FAULTS = {
  'a reset before anything happened': { reset: true },
  'a reset after the effect': { reset: true, after: true },
  '500': { status: 500, body: '<h1>oops</h1>' },
  '500 after the effect': { status: 500, body: '{}', after: true },
  '401': { status: 401 },
  '403 as problem+json': { status: 403, body: '{"title":"Forbidden","detail":"no rights"}' },
  '429 with Retry-After': { status: 429, headers: { 'retry-after': '7' } },
  'a timeout after the effect': { delayMs: 600_000, after: true },
  'an empty body': { status: 200, body: '' },
  'HTML instead of JSON': { status: 200, body: '<html>login</html>' },
  'a page that is another one': {
    status: 200,
    body: '{"items":[],"metadata":{"page":7,"pageSize":100,"totalCount":0}}',
  },
  'a page that ends too early': {
    status: 200,
    body: '{"items":[],"metadata":{"page":1,"pageSize":100,"totalCount":3}}',
  },
  'a redirect': { status: 302, headers: { location: 'http://127.0.0.1:9/' } },
} as const;

type Rotation = (options: RotationOptions) => Promise<{ readonly kind: string }>;

async function run(world: RotationWorld, rotation: Rotation): Promise<string> {
  const store = await world.open();
  try {
    for (;;) {
      const { kind } = await rotation(world.options(store));
      if (kind !== 'waiting') return 'done';
      world.clock.advance(POLICY.overlap);
    }
  } catch (error) {
    return error instanceof SidecarError ? error.code : `unexpected ${String(error)}`;
  } finally {
    await store.close();
  }
}

/** For good: the call fails until somebody repairs it. Then the rotation is run once more. */
async function survive(rotation: Rotation, call: object, fault: object, times: number): Promise<string[]> {
  using world = await server.world({ createResponse: 'empty' });
  await world.control('/faults', { target: 'iam', times, ...call, ...fault });
  await using _deadlines = 'delayMs' in fault ? world.passDeadlines() : undefined;
  const first = await run(world, rotation);
  const found: string[] = [];
  if (first.startsWith('unexpected')) found.push(first);
  const exit = first === 'done' ? 0 : ERRORS[first as keyof typeof ERRORS]?.exit;
  if (exit !== 0 && exit !== 6 && exit !== 8 && exit !== 9) found.push(`exit code ${exit} for ${first}`);
  if (exit === 0 && world.stored() === FIRST_VALUE) found.push('says it is done and has done nothing');
  const works = await world.tokenFor(world.stored());
  if (works !== 'accepted') found.push('no working secret after the fault');
  await world.control('/faults', undefined, 'DELETE');
  if (first !== 'done') {
    const second = await run(world, rotation);
    if (second !== 'done') found.push(`the second run ends with ${second}`);
  }
  return [...found, ...(await wrongs(world))];
}

const rows = Object.entries(CALLS).flatMap(([what, call]) =>
  Object.entries(FAULTS).flatMap(([how, fault]) =>
    [1, 1000].map((times) => ({ what, how, times: times === 1 ? 'once' : 'for good', call, fault, count: times })),
  ),
);

describe('rotation while Aritma IAM fails', () => {
  it.each(rows)(
    '$what: $how, $times: it ends with one working secret and nothing else',
    async ({ call, fault, count }) => {
      expect(await survive(rotate, call, fault, count)).toEqual([]);
    },
  );
});

describe('the naive control', () => {
  let passed = 0;
  afterAll(() => {
    process.stdout.write(`IAM faults: ${rows.length} rows, rotate ${rows.length} pass; naive ${passed} pass\n`);
  });

  it('fails where a rotation does not', async () => {
    for (const { call, fault, count } of rows) {
      // One that breaks off where nobody foresaw it has not survived.
      const found = await survive(naiveRotation, call, fault, count).catch((error: Error) => [error.message]);
      if (found.length === 0) passed += 1;
    }
    expect(rows.length - passed).toBeGreaterThan(rows.length / 4);
  });
});
