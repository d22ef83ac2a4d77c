import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countOf, createRecorder, quantileMs } from './histogram.ts';

const filled = (latencies: readonly number[]) => {
  const recorder = createRecorder();
  for (const ms of latencies) recorder.record(ms);
  return recorder.histogram();
};

describe('histogram', () => {
  it('has every quantile at most 2 % above the exact latency', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0.001, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 200 }),
        fc.constantFrom(0.5, 0.9, 0.99, 0.999, 1),
        (latencies, share) => {
          const exact = latencies.toSorted((a, b) => a - b)[Math.ceil(latencies.length * share) - 1] ?? 0;
          const told = quantileMs(filled(latencies), share) ?? 0;
          expect(told).toBeGreaterThanOrEqual(exact * 0.999_999);
          expect(told).toBeLessThanOrEqual(exact * 1.02 * 1.000_001);
        },
      ),
    );
  });

  it('counts what was recorded, latencies below a microsecond included', () => {
    expect(countOf(filled([0, 0.000_1, 1, 1, 500]))).toBe(5);
  });

  it('has no quantile of nothing', () => {
    expect(quantileMs([], 0.99)).toBeUndefined();
  });
});
