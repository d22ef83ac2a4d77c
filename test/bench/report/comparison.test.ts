import { describe, expect, it } from 'vitest';
import { compareReadings, passes, type Reading } from './comparison.ts';

/** Rounds in which both programs need much more in a busy one, and this tree needs `ratio` times as much. */
function readings(ratios: readonly number[], workload = 'get-32'): Reading[] {
  return ratios.flatMap((ratio, round) => {
    const value = 100 * (1 + (round % 3));
    const one = { workload, measure: 'CPU µs/request', round };
    return [
      { ...one, lane: 'before', value },
      { ...one, lane: 'sidecar', value: value * ratio },
    ];
  });
}

const around = (ratio: number, noise: number, rounds = 7) =>
  Array.from({ length: rounds }, (_, round) => ratio * (1 + noise * ((round % 3) - 1)));

describe('comparison', () => {
  it.each([
    ['slower', 'the whole interval is above 1.03', around(1.1, 0.03)],
    ['not slower', 'the whole interval is below 1.03', around(1, 0.02)],
    ['not slower', 'this tree is faster', around(0.9, 0.03)],
    ['undecided', 'this tree is slower by less than that, or more', around(1.03, 0.03)],
    ['undecided', 'the rounds differ too much', around(1.1, 0.2)],
    ['undecided', 'there are fewer than six rounds', around(2, 0, 5)],
  ])('is %s when %s', (verdict, _reason, ratios) => {
    expect(compareReadings(readings(ratios))).toMatchObject([{ workload: 'get-32', verdict }]);
  });

  it('decides with more rounds what fewer leave undecided', () => {
    const verdicts = [7, 14, 21].map((rounds) => compareReadings(readings(around(1.005, 0.05, rounds)))[0]?.verdict);
    expect(verdicts[0]).toBe('undecided');
    expect(verdicts.at(-1)).toBe('not slower');
  });

  it('counts only rounds in which both have a value', () => {
    const [compared] = compareReadings(readings(around(1, 0.01, 8)).slice(1));
    expect(compared).toMatchObject({ own: { count: 8 }, before: { count: 7 }, ratio: { count: 7 } });
  });

  it('judges each workload by itself', () => {
    const all = [...readings(around(1.2, 0.01), 'get-1'), ...readings(around(1, 0.01), 'get-32')];
    expect(compareReadings(all).map(({ workload, verdict }) => [workload, verdict])).toEqual([
      ['get-1', 'slower'],
      ['get-32', 'not slower'],
    ]);
  });

  it('passes unless something is slower, a response was wrong or nothing could be compared', () => {
    const comparedAt = (ratio: number, rounds = 7) => compareReadings(readings(around(ratio, 0.03, rounds)));
    const right = { result: { errors: {} } };
    expect(passes(comparedAt(1), [right])).toBe(true);
    expect(passes(comparedAt(1.03), [right])).toBe(true);
    expect(passes(comparedAt(1.1), [right])).toBe(false);
    expect(passes([...comparedAt(1), ...comparedAt(1.1)], [right])).toBe(false);
    expect(passes(comparedAt(1), [right, { result: { errors: { 'status 502': 1 } } }])).toBe(false);
    expect(passes(comparedAt(1), [right, { result: undefined }])).toBe(false);
    expect(passes(comparedAt(1, 5), [right])).toBe(false);
  });
});
