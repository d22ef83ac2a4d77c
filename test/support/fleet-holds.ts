/** A promise of the fleet as a test, with its control. */
import { expect, it } from 'vitest';
import type { Kind } from './fleet-members.ts';

/** The control fails where it should, so the test can see the fault. */
export function holds(what: string, run: (kind: Kind) => Promise<unknown>, expected: unknown): void {
  it(what, async () => {
    expect(await run('shared')).toEqual(expected);
  });
  it(`a cache without claim and fencing fails: ${what}`, async () => {
    expect(await run('naive').catch(String)).not.toEqual(expected);
  });
}
