// What attacks may cost: no connection, API, file or header stops, starves or kills the others.
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ATTACKS, PLAIN } from '../support/budget-attacks.ts';
import { type Attack, type Cost, measure, type Subject } from '../support/budget-world.ts';

const MIB = 1024 * 1024;
const SOURCE: Subject = { program: undefined };
/** No byte costs so many times that of a plain request. */
const TIMES = 100;
const LONGEST_MS = 250;
/** What a process takes when it has something to do at all, and does not give back. */
const WORKING_BYTES = 96 * MIB;
const WORKING_MS = 400;
/** Where the bytes are a handful, or are not for the subject to count. */
const UNCOUNTED = new Set(['/metrics unread by many', 'connections that come and go']);

/**
 * Many connections at once, each with as much as Node parses in one go: a fresh caller waits for all of them, as it does for
 * as many plain requests.
 */
const BURSTS = new Set([
  'pipelined on 50 connections',
  'chunks of 1 byte, held, 200 connections',
  'chunks of 1 byte to 50 slow readers',
  '10 MB to many slow readers',
  'heads of 15 KB in lines of 4 bytes',
  'connections that come and go',
  'half-closed uploads',
  '/metrics unread by many',
]);

async function costs(subject: Subject, attack: Attack): Promise<readonly Cost[]> {
  const all: Cost[] = [];
  for (const size of attack.sizes) all.push(await measure(subject, attack, size));
  return all;
}

const perByte = ({ cpuMs, bytes }: Cost) => cpuMs / bytes;

describe.skipIf(!existsSync('/proc/self/schedstat'))('the budget (needs /proc)', () => {
  let plain: { readonly cpu: number; readonly memory: number };

  it('of a plain request is what others are measured by', async () => {
    const all = await costs(SOURCE, PLAIN);
    plain = {
      cpu: Math.min(...all.map(perByte)),
      memory: Math.max(...all.map(({ memory, bytes }) => memory / bytes)),
    };
    expect(all.map(({ failed, isAlive }) => [failed, isAlive])).toEqual(Array(3).fill([0, true]));
  });

  it.each(ATTACKS.map((attack) => ({ ...attack })))('is kept by $name, which costs what it is long', async (attack) => {
    const all = await costs(SOURCE, attack);
    for (const { bytes, cpuMs, memory, failed, longestOwnMs, isAlive } of all) {
      expect([isAlive, failed]).toEqual([true, 0]);
      if (!BURSTS.has(attack.name)) expect(longestOwnMs).toBeLessThan(LONGEST_MS);
      if (UNCOUNTED.has(attack.name)) continue;
      expect(cpuMs - WORKING_MS).toBeLessThan(TIMES * plain.cpu * bytes);
      expect(memory - WORKING_BYTES).toBeLessThan(TIMES * plain.memory * bytes);
    }
    const [first, , last] = all;
    if (!first || !last) throw new Error('three sizes');
    // Twice as much a byte is noise; as much as the bytes again would be a square.
    const grown = last.bytes / first.bytes;
    expect(last.cpuMs - WORKING_MS).toBeLessThan(2 * grown * Math.max(first.cpuMs, WORKING_MS / grown));
    expect(last.memory - WORKING_BYTES).toBeLessThan(2 * grown * first.memory);
  });

  it.each(['pipelined behind a request that waits', 'chunks of 1 byte to 50 slow readers'])(
    'is broken by a plain proxy under %s',
    async (name) => {
      const attack = ATTACKS.find((one) => one.name === name);
      if (!attack) throw new Error(name);
      // The smallest size that breaks it says enough: at the largest, some of them take minutes.
      let isBroken = false;
      for (const size of attack.sizes) {
        const control = await measure('control', attack, size);
        isBroken = !control.isAlive || control.failed > 0 || control.longestOwnMs > LONGEST_MS;
        isBroken ||= control.memory > 4 * (await measure(SOURCE, attack, size)).memory;
        if (isBroken) break;
      }
      expect(isBroken).toBe(true);
    },
  );
});
