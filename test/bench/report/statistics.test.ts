import { describe, expect, it } from 'vitest';
import { spreadOf } from './statistics.ts';

describe('statistics', () => {
  it('gives median and quartiles in any order of the values, interpolated between two', () => {
    expect(spreadOf([4, 1, 3, 2, 5])).toEqual({ median: 3, low: 2, high: 4, count: 5 });
    expect(spreadOf([10, 20])).toEqual({ median: 15, low: 12.5, high: 17.5, count: 2 });
    expect(spreadOf([7])).toEqual({ median: 7, low: 7, high: 7, count: 1 });
  });

  it('gives nothing of nothing', () => {
    expect(spreadOf([])).toBeUndefined();
  });
});
