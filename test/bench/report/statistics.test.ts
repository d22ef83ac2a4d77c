import { describe, expect, it } from 'vitest';
import { chance } from '../../support/seeded.ts';
import { intervalOf, spreadOf } from './statistics.ts';

describe('statistics', () => {
  it('gives median and quartiles in any order of the values, interpolated between two', () => {
    expect(spreadOf([4, 1, 3, 2, 5])).toEqual({ median: 3, low: 2, high: 4, count: 5 });
    expect(spreadOf([10, 20])).toEqual({ median: 15, low: 12.5, high: 17.5, count: 2 });
    expect(spreadOf([7])).toEqual({ median: 7, low: 7, high: 7, count: 1 });
  });

  it('gives nothing of nothing', () => {
    expect(spreadOf([])).toBeUndefined();
  });

  it('gives no interval for fewer than six ratios', () => {
    expect(intervalOf([1, 1, 1, 1, 1])).toBeUndefined();
    expect(intervalOf([1, 1, 1, 1, 1, 1])).toEqual({ median: 1, low: 1, high: 1, count: 6 });
  });

  // Critical values of the signed ranks from printed tables: 0, 2, 8 and 52.
  it.each([
    [6, 0],
    [7, 1],
    [10, 2],
    [20, 6.5],
  ])('cuts off as much as the tables say for %i ratios', (count, outside) => {
    const interval = intervalOf(Array.from({ length: count }, (_, step) => 2 ** step));
    expect(Math.log2(interval?.low ?? 0)).toBeCloseTo(outside);
    expect(Math.log2(interval?.high ?? 0)).toBeCloseTo(count - 1 - outside);
    expect(Math.log2(interval?.median ?? 0)).toBeCloseTo((count - 1) / 2);
  });

  it('moves little for a wild round', () => {
    const calm = [1.01, 0.99, 1, 1.02, 0.98, 1.005, 0.995, 1.015, 0.985, 1, 1.01, 0.99, 1, 1.02];
    const interval = intervalOf(calm.with(0, 9));
    expect(interval?.median).toBeCloseTo(1, 1);
    expect(interval?.high).toBeLessThan(1.03);
  });

  it('holds the true ratio in 95 % of runs, also when a fifth of the rounds meet a busy moment', () => {
    const random = chance(1, 'rounds').next;
    const noise = () => 1 + 0.04 * (random() + random() - 1) + (random() < 0.1 ? random() : 0);
    const runs = Array.from({ length: 2000 }, () =>
      intervalOf(Array.from({ length: 7 }, () => (1.05 * noise()) / noise())),
    );
    const held = runs.filter((run) => run && run.low <= 1.05 && run.high >= 1.05).length;
    expect(held / runs.length).toBeGreaterThan(0.94);
  });
});
