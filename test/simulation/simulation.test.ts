/** Years of the whole sidecar in a simulated world, in child processes: their clocks and their network are not the real ones. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';

const MAIN = join(import.meta.dirname, 'main.ts');

async function simulate(...args: string[]): Promise<string> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  return await text(child.stdout);
}

interface Line {
  readonly seed: number;
  readonly hash: string;
  readonly violated?: string;
  readonly detail?: string;
}

async function play(seeds: string, ...more: string[]): Promise<Line[]> {
  const printed = await simulate('--child', '--seeds', seeds, ...more);
  return printed.split('\n').flatMap((line) => (line ? [JSON.parse(line) as Line] : []));
}

describe('the simulation', () => {
  it('plays the same seed in the same way in every process, whatever it has played before', async () => {
    const [all, last] = await Promise.all([play('1-4'), play('4-4')]);
    expect(last[0]?.hash).toBe(all[3]?.hash);
    expect(new Set(all.map(({ hash }) => hash)).size).toBe(4);
  });

  it('finds no history that violates an invariant', async () => {
    const lines = (await Promise.all([play('1-25'), play('26-50')])).flat();
    expect(lines.length).toBe(50);
    expect(lines.filter(({ violated }) => violated)).toEqual([]);
  });

  it.each([
    ['usesExpiredTokens', 'tokenIsValid'],
    ['forgetsTimeAsleep', 'tokenIsValid'],
    ['asksTwice', 'oneTokenRequest'],
    ['dropsTokenWithServer', 'serves'],
  ])('finds the planted mistake %s', async (mistake, invariant) => {
    const violated = (await play('1-15', '--plant', mistake)).map((line) => line.violated);
    expect(violated).toContain(invariant);
  });
});
