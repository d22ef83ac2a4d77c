// When memory counts as short, and when it no longer does.
import { execFileSync } from 'node:child_process';
import { getHeapStatistics } from 'node:v8';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createMemoryPressure, heapShareInUse, youngBytes } from '../../src/proxy/memory-pressure.ts';
import { collectAllGarbage } from '../support/garbage.ts';

describe('pressure', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function createWorld(share: number) {
    const changes: boolean[] = [];
    const world = { used: 0.1, samples: 0, changes };
    const sample = () => {
      world.samples += 1;
      return world.used;
    };
    return Object.assign(world, createMemoryPressure({ share, sample, onChange: (high) => changes.push(high) }));
  }

  it('is high above the share and stays so until a tenth more is free', () => {
    const world = createWorld(0.9);
    const seen = [0.9, 0.901, 0.85, 0.801, 0.8, 0.89, 0.95].map((used) => {
      world.used = used;
      vi.advanceTimersByTime(50);
      return world.isHigh();
    });
    expect(seen).toEqual([false, true, true, true, false, false, true]);
    expect(world.changes).toEqual([true, false, true]);
    world.close();
  });

  it('notices a burst within one turn of the event loop without looking at every request', () => {
    const world = createWorld(0.9);
    world.used = 1;
    const seen = Array.from({ length: 64 }, () => world.isHigh());
    expect(seen.indexOf(true)).toBe(31);
    expect(world.samples).toBe(3);
    world.close();
  });

  it('looks no more once closed', () => {
    const world = createWorld(0.9);
    world.used = 1;
    vi.advanceTimersByTime(50);
    world.isHigh();
    expect(world.samples).toBe(2);
    world.close();
    vi.advanceTimersByTime(1000);
    expect(world.samples).toBe(2);
  });

  it('lets an idle process sleep, and looks before the first request after that is let in', () => {
    const world = createWorld(0.9);
    vi.advanceTimersByTime(10_000);
    expect([world.samples, vi.getTimerCount()]).toEqual([1, 0]);
    world.used = 1;
    expect(world.isHigh()).toBe(true);
    expect(world.samples).toBe(2);
    world.close();
  });

  it('looks at most once in 50 ms when few requests come, without a timer that wakes the process', () => {
    const world = createWorld(0.9);
    for (let request = 0; request < 20; request += 1) {
      vi.advanceTimersByTime(10);
      world.isHigh();
    }
    expect([world.samples, vi.getTimerCount()]).toEqual([5, 0]);
    world.close();
  });

  it('looks on while pressure is high, whether requests come or not', () => {
    const world = createWorld(0.9);
    world.used = 1;
    vi.advanceTimersByTime(50);
    expect(world.isHigh()).toBe(true);
    vi.advanceTimersByTime(10_000);
    expect(world.samples).toBe(202);
    world.used = 0.1;
    vi.advanceTimersByTime(50);
    expect(world.changes).toEqual([true, false]);
    world.close();
  });
});

describe('heapShareInUse', () => {
  it('is a share, and grows with what is kept', async () => {
    await collectAllGarbage();
    const before = heapShareInUse();
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(0.9);
    const kept = Array.from({ length: 2_000_000 }, (_, index) => index + 0.5);
    expect(heapShareInUse()).toBeGreaterThan(before);
    expect(kept).toHaveLength(2_000_000);
  });
});

describe('heapShareInUse of buffers', () => {
  it('counts what is held outside of the heap, beyond what may be garbage', async () => {
    await collectAllGarbage();
    const before = heapShareInUse();
    // Half of it: V8 may hold some 64 MiB of garbage, which do not count.
    const kept = Array.from({ length: 64 }, () => Buffer.alloc(8 * 1024 ** 2));
    const { heap_size_limit: limit } = getHeapStatistics();
    expect(heapShareInUse() - before).toBeGreaterThan((256 * 1024 ** 2) / limit);
    expect(kept).toHaveLength(64);
  });
});

describe('youngBytes', () => {
  it.each([
    { nodeArguments: [], mib: 96 },
    { nodeArguments: ['--max-semi-space-size=4', '--no-maglev'], mib: 12 },
    { nodeArguments: ['--max_semi_space_size=16'], mib: 48 },
    { nodeArguments: ['--max-semi-space-size=16', '--max-semi-space-size=2'], mib: 6 },
    { nodeArguments: ['--max-semi-space-size'], mib: 96 },
  ])('is $mib MiB with $nodeArguments', ({ nodeArguments, mib }) => {
    expect(youngBytes(nodeArguments)).toBe(mib * 1024 ** 2);
  });

  it.each([[], ['--max-semi-space-size=4']])('is what V8 adds to the room for old objects, with %j', (...flags) => {
    const script = 'console.log(v8.getHeapStatistics().heap_size_limit)';
    const printed = execFileSync(process.execPath, ['--max-old-space-size=200', ...flags, '-e', script], { env: {} });
    expect(Number(printed) - youngBytes(flags)).toBe(200 * 1024 ** 2);
  });
});
