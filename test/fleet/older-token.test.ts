// A member that has fetched alone, because the store did not respond, takes nothing older from there: what has ended its
// token may have ended the older one too, and a refused request has only one more try.
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { FleetMemory } from '../../src/fleet/memory.ts';
import { createSealer } from '../../src/fleet/seal.ts';
import { TokenSlot } from '../../src/fleet/token-slot.ts';

const LIFETIME_S = 3600;

/** The store has a token of this age; the member has fetched its own so long ago. */
async function kindFound(storedAgeMs: number, ownAgeMs: number | undefined): Promise<string | undefined> {
  const now = { wallMs: 10_000_000, monotonicMs: 10_000_000 };
  const sealer = createSealer([new Secret('A'.repeat(43))]);
  const content = { authorization: 'Bearer stored', lifetimeS: LIFETIME_S };
  const store = { run: async () => ['token', `7:${sealed}`, LIFETIME_S * 1000 - storedAgeMs] };
  const slot = new TokenSlot({
    ...{ store, sealer, clock: { now: () => now, startTimer: () => () => undefined } },
    ...{
      prefix: 'test',
      channel: 'news',
      parts: ['client'],
      claimMs: 1000,
      lockMs: 1000,
      onRejected: () => undefined,
      memory: new FleetMemory(),
    },
  });
  const sealed = await sealer.seal({ name: slot.name, generation: '7' }, content);
  if (ownAgeMs !== undefined)
    slot.fetchedAlone({ wallMs: now.wallMs - ownAgeMs, monotonicMs: now.monotonicMs - ownAgeMs });
  return (await slot.look(0))?.kind;
}

describe('a token in the store', () => {
  it.each([
    { outcome: 'taken', storedAgeMs: 5000, ownAgeMs: undefined, kind: 'token' },
    { outcome: 'taken when it is newer', storedAgeMs: 5000, ownAgeMs: 6000, kind: 'token' },
    { outcome: 'left when it is older', storedAgeMs: 6000, ownAgeMs: 5000, kind: 'late' },
  ])(
    'is $outcome, beside one of $ownAgeMs ms that the member has fetched alone',
    async ({ storedAgeMs, ownAgeMs, kind }) => {
      expect(await kindFound(storedAgeMs, ownAgeMs)).toBe(kind);
    },
  );
});
