// What a member says with each heartbeat, and what it takes back of what it has said before.
import { expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { sayAlive } from '../../src/fleet/heartbeat.ts';
import { FleetMemory } from '../../src/fleet/memory.ts';
import type { Holding } from '../../src/fleet/places.ts';
import { createSealer } from '../../src/fleet/seal.ts';
import { newFleetKey } from '../support/redis-member.ts';

const HOLDING: Holding = { client: 'c', place: 'p', secrets: [], isKept: true };

it('takes words with another key back also when it has no secret any more, but not before it knows what it has', async () => {
  const memory = new FleetMemory();
  const said: string[][] = [];
  const say = (key: string, holdings: readonly Holding[] | undefined) =>
    sayAlive(
      {
        ...{ prefix: 'test', sealer: createSealer([new Secret(key)]), member: 'a'.repeat(16), memory },
        run: async (_script, _keys, args) => said.push([...args]),
      },
      { host: 'host', version: '1', secrets: [], ...(holdings && { holdings }) },
    );
  const [wrong, right] = [newFleetKey(), newFleetKey()];
  await say(wrong, [HOLDING]);
  await say(right, undefined);
  await say(right, []);
  const name = said[0]?.[3];
  expect(name).not.toBe('');
  expect(said.map((args) => [args[3] !== '', args.slice(5)])).toEqual([
    [true, []],
    [false, []],
    [false, [name]],
  ]);
});
