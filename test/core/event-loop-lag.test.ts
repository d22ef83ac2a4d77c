// When the event loop is measured, and what a scrape gets to see; with a monitor and a clock of the test.
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createEventLoopLag, systemLag } from '../../src/core/event-loop-lag.ts';

const EMPTY = { min: 0, max: 0, mean: 0, stddev: 0, p50: 0, p90: 0, p99: 0 };

/** Measures what `late` is told, in ms, while it is enabled. */
function createWorld() {
  let values: number[] = [];
  let isEnabled = false;
  const timers: { readonly ms: number; readonly run: () => void }[] = [];
  const sorted = () => values.toSorted((a, b) => a - b);
  const set = (enabled: boolean) => {
    const changes = isEnabled !== enabled;
    isEnabled = enabled;
    return changes;
  };
  const monitor = {
    enable: () => set(true),
    disable: () => set(false),
    reset: () => {
      values = [];
    },
    get count() {
      return values.length;
    },
    // As Node's while it is empty.
    get min() {
      return sorted()[0] ?? 2 ** 63;
    },
    get max() {
      return sorted().at(-1) ?? 0;
    },
    get mean() {
      return values.reduce((sum, value) => sum + value, 0) / values.length;
    },
    stddev: 0,
    percentile: (share: number) => sorted()[Math.ceil((share / 100) * values.length) - 1] ?? 0,
  };
  return {
    lag: createEventLoopLag({ monitor, later: (ms, run) => void timers.push({ ms, run }) }),
    isEnabled: () => isEnabled,
    late: (ms: number) => values.push(ms * 1e6),
    /** Lets five seconds pass. */
    pass() {
      for (const { run } of timers.splice(0)) run();
    },
    timers,
  };
}

describe('core/event-loop-lag', () => {
  it('measures nothing, wakes nobody and reads zeros before the first request', () => {
    const { lag, isEnabled, timers } = createWorld();
    expect(isEnabled()).toBe(false);
    expect(timers).toEqual([]);
    expect(lag.read()).toEqual(EMPTY);
  });

  it('measures with one timer, however many requests come, until five seconds have none', () => {
    const { lag, isEnabled, pass, timers } = createWorld();
    for (let request = 0; request < 100; request += 1) lag.noteRequest();
    expect(lag.isNoted).toBe(true);
    expect(timers.map(({ ms }) => ms)).toEqual([5000]);
    pass();
    expect([isEnabled(), lag.isNoted]).toEqual([true, false]);
    lag.noteRequest();
    pass();
    expect(isEnabled()).toBe(true);
    pass();
    expect(isEnabled()).toBe(false);
    expect(timers).toEqual([]);
    lag.noteRequest();
    expect(isEnabled()).toBe(true);
  });

  it('reads seconds, and what it has read once no more', () => {
    const { lag, late } = createWorld();
    lag.noteRequest();
    for (const ms of [10, 20, 60]) late(ms);
    expect(lag.read()).toEqual({ min: 0.01, max: 0.06, mean: 0.03, stddev: 0, p50: 0.02, p90: 0.06, p99: 0.06 });
    expect(lag.read()).toEqual(EMPTY);
  });

  it('reads the worst of several bursts, and the pause between them counts as no delay', () => {
    const { lag, late, pass } = createWorld();
    for (const ms of [11, 500, 12]) {
      lag.noteRequest();
      late(ms);
      pass();
      pass();
    }
    expect(lag.read()).toMatchObject({ min: 0.5, p99: 0.5 });
    expect(lag.read()).toEqual(EMPTY);
  });

  it("sees a blocked event loop with Node's own monitor", async () => {
    const lag = createEventLoopLag(systemLag());
    lag.noteRequest();
    // Timers run in the order in which they are due: before this one, several of the monitor, then one late one.
    await setTimeout(50);
    for (const until = performance.now() + 200; performance.now() < until; );
    await setTimeout(50);
    const { max } = lag.read();
    expect(max).toBeGreaterThan(0.15);
    expect(max).toBeLessThan(30);
  });
});
