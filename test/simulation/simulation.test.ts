/** The simulation itself: it finds nothing in the sidecar, it plays a seed the same way twice, and it finds a planted mistake. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MISTAKES } from './mistakes/mistakes.ts';
import { plant } from './mistakes/plant.ts';

/** Of a machine however busy; alone on two cores the longest takes 15 s. */
const LONG_MS = 600_000;

interface Ended {
  readonly code: number;
  readonly stdout: string;
}

/** A process of its own: the platform replaces clocks, timers and modules of the whole process. */
function simulate(...args: string[]): Promise<Ended> {
  const file = join(import.meta.dirname, 'main.ts');
  return new Promise((resolve) => {
    execFile(process.execPath, [file, ...args], { maxBuffer: 2 ** 28 }, (error, stdout) =>
      resolve({ code: error ? Number(error.code) : 0, stdout }),
    );
  });
}

describe('a simulated year', () => {
  it('violates no invariant, in any of a hundred seeds', { timeout: LONG_MS }, async () => {
    const { code, stdout } = await simulate('--seeds', '1-100');
    expect(stdout.split('\n').filter((line) => line.includes('violates'))).toEqual([]);
    expect(stdout).toMatch(/^100 seeds, /m);
    expect(code).toBe(0);
  });

  it('is the same in another process, byte for byte', { timeout: LONG_MS }, async () => {
    const [one, other] = await Promise.all([
      simulate('--child', '--seeds', '1-6'),
      simulate('--child', '--seeds', '4-6'),
    ]);
    const last = one.stdout.trim().split('\n').slice(-3);
    expect(last).toHaveLength(3);
    expect(other.stdout.trim().split('\n')).toEqual(last);
  });

  it('is a timeline with --trace, up to the time asked for', { timeout: LONG_MS }, async () => {
    const { stdout } = await simulate('--seed', '1', '--until', '10m', '--trace');
    const lines = stdout.trim().split('\n');
    expect(lines.at(-1)).toMatch(/^seed 1: 0 days, \d+ payments, \d+ events, trace [0-9a-f]{16}$/);
    const times = lines.slice(0, -1).map((line) => line.split(' ', 1)[0] ?? '');
    expect(times.length).toBeGreaterThan(10);
    expect(times).toEqual([...times].sort());
    expect(times.at(-1)).toMatch(/^2026-01-01T00:(?:0\d|10:00\.000)/);
  });
});

describe('a wrong flag', () => {
  it.each([
    ['--seed', 'abc'],
    ['--seeds', '5-2'],
    ['--seeds', '0'],
    ['--until', 'soon'],
    ['--fleets', 'maybe'],
    ['--plant', 'nothing'],
    ['--sead', '1'],
  ])('ends with 2, and not as if nothing had been found: %s %s', async (...args) => {
    expect(await simulate(...args)).toEqual({ code: 2, stdout: '' });
  });
});

describe('a planted mistake', () => {
  it.each(Object.keys(MISTAKES))('has its place in src: %s', (name) => {
    expect(() => plant(name)).not.toThrow();
  });

  it('is found, cut to its smallest history and told as a timeline', { timeout: LONG_MS }, async () => {
    const { code, stdout } = await simulate('--plant', 'unhandled-background-failure', '--seed', '2');
    expect(stdout).toContain('The smallest history of seed 2 that fails');
    expect(stdout).toMatch(/^2026\S+ VIOLATED: neverEnds: /m);
    expect(code).toBe(1);
  });

  it('that is unknown is refused with the names that are known', () => {
    expect(() => plant('no-such-mistake')).toThrow(/two-flights/);
  });
});
