/** The simulation itself: it finds nothing in the sidecar, it plays a seed the same way twice, and it finds a planted mistake. */
import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { createFolder } from '../support/folder.ts';
import { chance } from '../support/seeded.ts';
import { playOnAllCores } from './all-cores.ts';
import { LOGGED } from './invariants/logged.ts';
import { MISTAKES } from './mistakes/mistakes.ts';
import { plant } from './mistakes/plant.ts';
import { Disk } from './platform/disk.ts';
import { VirtualTime } from './platform/virtual-time.ts';
import { START } from './world/calendar.ts';

const MAIN = join(import.meta.dirname, 'main.ts');
const ROOT = join(import.meta.dirname, '../..');
const SOURCE = globSync('src/**/*.ts', { cwd: ROOT }).map((file) => readFileSync(join(ROOT, file), 'utf8'));
/** Of a machine however busy; alone on two cores the longest takes 15 s. */
const LONG_MS = 600_000;

interface Ended {
  readonly code: number;
  readonly stdout: string;
}

/** A process of its own: the platform replaces clocks, timers and modules of the whole process. */
function simulate(...args: string[]): Promise<Ended> {
  return ended(process.execPath, [MAIN, ...args]);
}

function ended(program: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(program, args, { maxBuffer: 2 ** 28 }, (error, stdout) =>
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

  it.skipIf(process.platform === 'win32')(
    'is the same in another process with fewer open files, byte for byte',
    { timeout: LONG_MS },
    async () => {
      const limited = 'ulimit -n 256 2>/dev/null; exec "$@"';
      const [one, other] = await Promise.all([
        simulate('--child', '--seeds', '1-6'),
        ended('/bin/sh', ['-c', limited, 'sh', process.execPath, MAIN, '--child', '--seeds', '4-6']),
      ]);
      const last = one.stdout.trim().split('\n').slice(-3);
      expect(last).toHaveLength(3);
      expect(other.stdout.trim().split('\n')).toEqual(last);
    },
  );

  it('is a timeline with --trace, up to the time asked for', { timeout: LONG_MS }, async () => {
    const { stdout } = await simulate('--seed', '1', '--until', '5m', '--trace');
    const lines = stdout.trim().split('\n');
    expect(lines.at(-1)).toMatch(/^seed 1: 0 days, \d+ payments, \d+ events, trace [0-9a-f]{16}$/);
    const times = lines.slice(0, -1).map((line) => line.split(' ', 1)[0] ?? '');
    expect(times.length).toBeGreaterThan(10);
    expect(times).toEqual([...times].sort());
    expect(times.at(-1)).toMatch(/^2026-01-01T00:0(?:[0-4]|5:00\.000)/);
    // Nothing that is later happens then.
    expect(stdout).not.toMatch(/^2026-01-01T00:05:00\.000Z (?:history|machine)/m);
  });

  it('ends with --until also while it waits for the last rotation', { timeout: LONG_MS }, async () => {
    const { stdout } = await simulate('--seed', '1', '--trace');
    const begun = stdout.match(/^\S+(?= rotate \d+: started)/gm)?.at(-1) ?? '';
    const cut = await simulate('--seed', '1', '--until', `${Math.ceil((Date.parse(begun) - START) / 1000)}s`);
    expect(cut.stdout).toMatch(/^seed 1: \d+ days, /);
    expect(stdout).not.toContain(cut.stdout);
  });

  it('that cannot be played is named, and the other seeds are played', { timeout: LONG_MS }, async () => {
    using folder = createFolder();
    const program = folder.write('program.mjs', DIES_AT_THREE);
    const printed = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    try {
      expect(await playOnAllCores([1, 9], { fleets: 'none', plant: undefined, program })).toBe(1);
      const text = printed.mock.calls.join('');
      expect(text).toContain('seed 3 could not be played, its process ended with 7');
      expect(text.match(/could not be played/g)).toHaveLength(1);
      expect(text).toContain('\n8 seeds, ');
    } finally {
      printed.mockRestore();
    }
  });
});

/** Answers as a process that plays seeds, but for one of them. */
const DIES_AT_THREE = `
import { createInterface } from 'node:readline';
for await (const line of createInterface({ input: process.stdin })) {
  const seed = Number(line);
  if (seed === 3) process.exit(7);
  console.log(JSON.stringify({ seed, hash: '', simulatedMs: 0, calls: 0, events: 0, excuses: [] }));
}
`;

describe('what invariants look for in the log', () => {
  it.each(Object.values(LOGGED))('is in src: %s', (message) => {
    expect(SOURCE.some((text) => text.includes(`'${message}'`))).toBe(true);
  });
});

describe('the simulated disk', () => {
  const disk = () => {
    const made = new Disk(new VirtualTime(0), chance(1, 'disk'));
    made.freeBytes = 100;
    return made;
  };
  const write = (on: Disk, path: string, bytes: number) =>
    on.write(on.open(path, { create: true }), 0, Buffer.alloc(bytes));

  it('has the room of a file again that another one has replaced', () => {
    const on = disk();
    for (const _again of [1, 2, 3]) {
      write(on, '/sim/new', 20);
      on.rename('/sim/new', '/sim/file');
    }
    expect(on.freeBytes).toBe(80);
  });

  it('keeps the room of a file that has another name', () => {
    const on = disk();
    write(on, '/sim/file', 20);
    on.link('/sim/file', '/sim/same');
    on.remove('/sim/file');
    expect(on.freeBytes).toBe(80);
    on.remove('/sim/same');
    expect(on.freeBytes).toBe(100);
  });
});

describe('a wrong flag', () => {
  it.each<readonly string[]>([
    ['--seed', 'abc'],
    ['--seeds', '5-2'],
    ['--seeds', '0'],
    ['--until', 'soon'],
    ['--fleets', 'maybe'],
    ['--until', '90'],
    ['--plant', 'nothing'],
    ['--plant=nothing', '--seed=1'],
    ['--plant', 'toString'],
    ['--plant', 'fleet-lock-ignored'],
    ['--trace'],
    ['--seed', '1', '--seeds', '2'],
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
