/** Requests at a time and requests a minute, on a clock of the test's own. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SidecarError } from '../../src/core/errors.ts';
import { claimsOf, createQuotas, type QuotaLimits } from '../../src/proxy/rate-limits.ts';

function setUp(limits: QuotaLimits, startMs = 1_000_000) {
  let nowMs = startMs;
  const enter = createQuotas(() => nowMs);
  /** What is returned: the way out, or how long to wait. */
  const attempt = (owner = 'erp') => {
    try {
      return enter(claimsOf(owner, limits, ['POST']));
    } catch (error) {
      return (error as SidecarError).extras.retryAfterS;
    }
  };
  return { attempt, pass: (ms: number) => (nowMs += ms) };
}

describe('src/proxy/rate-limits.ts', () => {
  it('lets so many in at a time, and another as soon as one has left', () => {
    const { attempt } = setUp({ inFlight: 2 });
    const first = attempt();
    expect([typeof first, typeof attempt(), attempt()]).toEqual(['function', 'function', 1]);
    (first as () => void)();
    expect(typeof attempt()).toBe('function');
    expect(attempt()).toBe(1);
  });

  it('counts every owner apart', () => {
    const { attempt } = setUp({ inFlight: 1 });
    expect([typeof attempt('a'), typeof attempt('b'), attempt('a')]).toEqual(['function', 'function', 1]);
  });

  it('says after how many seconds there is room again, and keeps its word', () => {
    const { attempt, pass } = setUp({ requestsPerMinute: 3 });
    attempt();
    pass(10_000);
    attempt();
    attempt();
    const waitS = attempt() as unknown as number;
    expect(waitS).toBe(50);
    pass((waitS - 1) * 1000);
    expect(typeof attempt()).toBe('number');
    pass(1000);
    expect(typeof attempt()).toBe('function');
    expect(attempt()).toBe(10);
  });

  it('does not count what it refused', () => {
    const { attempt, pass } = setUp({ requestsPerMinute: 1 });
    attempt();
    for (let round = 0; round < 100; round += 1) attempt();
    pass(60_000);
    expect(typeof attempt()).toBe('function');
  });

  it('never lets more than the limit into any minute, and never refuses longer than a minute', () => {
    const steps = fc.array(fc.nat({ max: 30_000 }), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 5 }), (gaps, limit) => {
        const { attempt, pass } = setUp({ requestsPerMinute: limit });
        let now = 0;
        const admitted: number[] = [];
        for (const gap of gaps) {
          pass(gap);
          now += gap;
          const result = attempt();
          if (typeof result === 'function') admitted.push(now);
          else expect(result).toBeLessThanOrEqual(60);
        }
        // Counted by whole seconds: a window of 59 s can never hold more.
        for (const at of admitted) {
          expect(admitted.filter((other) => other >= at && other < at + 59_000).length).toBeLessThanOrEqual(limit);
        }
      }),
    );
  });

  it('holds the limits of who is inside, and of who was here last, through a flood of 100,000 names', () => {
    const { attempt } = setUp({ inFlight: 1, requestsPerMinute: 2 });
    const inside = attempt('inside');
    const names = Array.from({ length: 100_000 }, (_, index) => `CN ${index}`);
    for (const name of names) for (let round = 0; round < 2; round += 1) (attempt(name) as () => void)();
    expect(attempt('inside')).toBe(1);
    (inside as () => void)();
    expect(typeof attempt('inside')).toBe('function');
    // Whoever is remembered has used up its minute; the last are, and a bounded number of them.
    const remembered = names.toReversed().findIndex((name) => typeof attempt(name) === 'function');
    expect(remembered).toBeGreaterThan(4000);
    expect(remembered).toBeLessThan(5000);
  });

  it('counts what a method may do apart, and in all', () => {
    let nowMs = 0;
    const enter = createQuotas(() => nowMs);
    const limits = { requestsPerMinute: 3, methods: { POST: { requestsPerMinute: 1 }, PUT: { inFlight: 1 } } };
    const attempt = (...methods: string[]) => {
      try {
        return enter(claimsOf('erp', limits, methods));
      } catch (error) {
        const { fields, retryAfterS } = (error as SidecarError).extras;
        return [fields?.['reason'], retryAfterS];
      }
    };
    (attempt('POST') as () => void)();
    expect(attempt('POST')).toEqual(['erp / POST', 60]);
    expect(attempt('GET', 'POST')).toEqual(['erp / POST', 60]);
    nowMs += 10_000;
    expect(typeof attempt('PUT')).toBe('function');
    expect(attempt('PUT')).toEqual(['erp / PUT', 1]);
    // What was refused for one limit has used up no other.
    expect(typeof attempt('GET')).toBe('function');
    expect(attempt('GET')).toEqual(['erp', 50]);
    // The wait is over once all of them have room.
    expect(attempt('PUT')).toEqual(['erp', 50]);
  });

  it('takes no name of an owner for the method of another', () => {
    const enter = createQuotas(() => 0);
    const limits = { methods: { POST: { inFlight: 1 } } };
    enter(claimsOf('caller erp', limits, ['POST']));
    for (const name of ['caller erp POST', 'caller erp / POST'.replace('/', '.')])
      expect(enter(claimsOf(name, { inFlight: 1 }, ['POST']))).toBeTypeOf('function');
  });

  it('asks for nothing where nothing is limited', () => {
    const { attempt } = setUp({});
    for (let round = 0; round < 1000; round += 1) expect(typeof attempt()).toBe('function');
  });
});
