// A fleet that starts at once while the identity server is silent asks as often as one member would.
import { expect, it } from 'vitest';
import { FleetMemory } from '../../src/fleet/memory.ts';
import type { Sealer } from '../../src/fleet/seal.ts';
import { SharedToken } from '../../src/fleet/shared-token.ts';
import { createFakeClock } from '../support/clock.ts';
import { FaultyStore, TIMEOUT_MS } from '../support/fleet-faulty-store.ts';
import { chance } from '../support/seeded.ts';

const ATTEMPT_MS = 10_000;

const SEALER: Sealer = {
  keyId: 'none',
  name: (parts) => JSON.stringify(parts),
  olderNames: () => [],
  seal: (_, content) => Promise.resolve(JSON.stringify(content)),
  open: (_, sealed) => Promise.resolve({ content: JSON.parse(sealed) }),
};

/** @returns times of the token requests, in ms since the start of all members */
async function startTogether(count: number, withinMs: number): Promise<number[]> {
  const clock = createFakeClock();
  const random = chance(1, 'members');
  const store = new FaultyStore(clock, random);
  store.isFaulty = false;
  const members: SharedToken[] = [];
  store.onNews = () => {
    for (const member of members) member.onNews();
  };
  const begun = clock.now().monotonicMs;
  const requests: number[] = [];
  const own = async () => {
    requests.push(clock.now().monotonicMs - begun);
    await new Promise<void>((resolve) => void clock.startTimer(ATTEMPT_MS, resolve));
    return { kind: 'unavailable', result: 'timeout' } as const;
  };
  for (let index = 0; index < count; index += 1) {
    const member = new SharedToken({
      ...{ clock, sealer: SEALER, random: random.next, prefix: 'p', channel: 'c', parts: ['token'], host: undefined },
      ...{ attemptMs: ATTEMPT_MS, timeoutMs: TIMEOUT_MS, secrets: () => ['right'] },
      newHolder: () => `${index}:${random.next()}`,
      onToken: () => undefined,
      onRejected: () => undefined,
      memory: new FleetMemory(),
      store: { run: (...command) => store.run(String(index), command) },
    });
    members.push(member);
    const start = () => void member.fetch(own, () => Promise.resolve());
    clock.startTimer(random.between(0, withinMs), start);
  }
  await clock.advance(2 * ATTEMPT_MS);
  return requests;
}

it.each([0, 300, 1200, 3000])(
  '50 members that start within %d ms send one request after the other',
  async (withinMs) => {
    const [first = 0, second = 0, ...more] = await startTogether(50, withinMs);
    expect(second - first).toBeGreaterThanOrEqual(ATTEMPT_MS);
    expect(more).toEqual([]);
  },
);
