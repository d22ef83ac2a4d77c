import { describe, expect, it } from 'vitest';
import type { LoadResult } from '../load/job.ts';
import type { Round } from '../rounds.ts';
import { figuresOf, pairedRatio } from './figures.ts';

function round(lane: string, number: number, result: Partial<LoadResult>): Round {
  const whole: LoadResult = {
    ...{ requests: 1000, seconds: 1, errors: {}, bytes: 0, histogram: [[0, 1000]], cpuSeconds: 0.1 },
    ...{ measuringCpuSeconds: 0, residentBytesBefore: 0, residentBytes: 0, peakResidentBytes: 0 },
    ...result,
  };
  return { workload: 'get-32', lane, round: number, result: whole, tokenRequests: 0 };
}

describe('figures', () => {
  it('are the median of the valid rounds; a round with one error counts as invalid', () => {
    const rounds = [
      round('sidecar', 0, { cpuSeconds: 0.1 }),
      round('sidecar', 1, { cpuSeconds: 0.3 }),
      round('sidecar', 2, { cpuSeconds: 9, errors: { 'status 502': 1 } }),
      round('sidecar', 3, { requests: 0 }),
    ];
    const [figures] = figuresOf(rounds);
    expect(figures).toMatchObject({ lane: 'sidecar', validRounds: 2, invalidRounds: 2 });
    expect(figures?.values.cpuUs?.median).toBeCloseTo(200);
    expect(figures?.values.perSecond).toMatchObject({ median: 1000, count: 2 });
  });

  it('name a lane that never ran', () => {
    const failed: Round = {
      workload: 'get-32',
      lane: 'x',
      round: 0,
      result: undefined,
      failure: 'no',
      tokenRequests: 0,
    };
    expect(figuresOf([failed])).toMatchObject([{ lane: 'x', values: {}, validRounds: 0, invalidRounds: 1 }]);
  });

  it('compare lanes round by round, so that a slow minute hits both', () => {
    const rounds = [1, 10, 1].flatMap((busy, number) => [
      round('sidecar', number, { cpuSeconds: 0.2 * busy }),
      round('floor', number, { cpuSeconds: 0.1 * busy, ...(number === 2 && { errors: { closed: 1 } }) }),
    ]);
    const ratio = pairedRatio(rounds, { workload: 'get-32', measure: 'cpuUs' }, 'sidecar', 'floor');
    expect(ratio?.count).toBe(2);
    expect(ratio?.median).toBeCloseTo(2);
  });
});
