/** Simulation with as many seeds as CI can pay for, and with every planted mistake. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MISTAKES } from '../simulation/mistakes/mistakes.ts';

const SIMULATION = join(import.meta.dirname, '../simulation');
/** Of a machine that runs other tests beside it. */
const LONG_MS = 3_600_000;

/** Behind the other tests, which wait for real times. */
function run(program: string, ...args: string[]): Promise<string> {
  const command = ['-n', '10', process.execPath, join(SIMULATION, program), ...args];
  return new Promise((resolve) => {
    execFile('nice', command, { maxBuffer: 2 ** 28 }, (_error, stdout) => resolve(stdout));
  });
}

describe('simulated years', () => {
  it('violate no invariant in two thousand seeds', { timeout: LONG_MS }, async () => {
    const stdout = await run('main.ts', '--seeds', '1-2000');
    expect(stdout.split('\n').filter((line) => line.includes('violates'))).toEqual([]);
    expect(stdout).toMatch(/^2000 seeds, /m);
  });

  it('find every planted mistake within 500 seeds', { timeout: LONG_MS }, async () => {
    const lines = (await run('mistakes/main.ts')).trim().split('\n');
    expect(lines.filter((line) => !/: found by \w+ in seed \d+, /.test(line))).toEqual([]);
    expect(lines).toHaveLength(Object.keys(MISTAKES).length);
  });
});
