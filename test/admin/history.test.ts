// The recorder behind the page: what it counts, what it forgets, and that neither traffic nor reloads make it grow.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createHistory, type History } from '../../src/admin/history.ts';
import { collectGarbage } from '../support/garbage.ts';

const MINUTE = 60_000;
const START = Date.UTC(2026, 0, 1);

function createWorld() {
  const time = { ms: 0 };
  const history = createHistory({ monotonicMs: () => time.ms, wallMs: () => START + time.ms });
  const call = (ms = 1, route = '/api') => history.record(route, 200, ms, undefined);
  const fail = (code: string | undefined, status = 503, route: string | undefined = '/api') =>
    history.record(route, status, 1, { code, method: 'POST', requestId: `id-${code}` });
  return { time, history, call, fail };
}

const sum = (counts: readonly number[]) => counts.reduce((one, other) => one + other, 0);
const last5m = (history: History) => history.route('/api').last5m;

describe('admin/history', () => {
  it('knows nothing of a route that was not called', () => {
    const { history } = createWorld();
    expect(history.route('/api')).toEqual({
      last5m: { requests: 0, errors: 0, p50Ms: undefined, p99Ms: undefined },
      last30m: { requests: Array(30).fill(0), errors: Array(30).fill(0) },
      last: { successAt: undefined, failure: undefined, failingSince: undefined },
    });
    expect(history.errors()).toEqual([]);
  });

  it('counts errors of the sidecar and of the API as such, and keeps routes apart', () => {
    const { history, call, fail } = createWorld();
    call();
    call(1, '/other');
    fail('TOKEN_UNAVAILABLE');
    fail(undefined, 502);
    expect(last5m(history)).toMatchObject({ requests: 3, errors: 2 });
    expect(history.route('/other').last5m).toMatchObject({ requests: 1, errors: 0 });
  });

  it('forgets calls after five minutes, and bars after thirty', () => {
    const { time, history, call } = createWorld();
    call();
    time.ms += 5 * MINUTE - 10_000;
    expect(last5m(history).requests).toBe(1);
    time.ms += 10_000;
    expect(last5m(history)).toMatchObject({ requests: 0, p50Ms: undefined });
    expect(sum(history.route('/api').last30m.requests)).toBe(1);
    time.ms += 25 * MINUTE;
    expect(sum(history.route('/api').last30m.requests)).toBe(0);
  });

  it('puts every call into its minute, the latest last', () => {
    const { time, history, call, fail } = createWorld();
    for (let minute = 0; minute < 30; minute += 1) {
      time.ms = minute * MINUTE;
      for (let count = 0; count <= minute; count += 1) call();
    }
    time.ms += MINUTE - 1;
    fail('CALLER_KEY');
    const { requests, errors } = history.route('/api').last30m;
    expect(requests).toEqual([...Array(30).keys()].map((minute) => minute + (minute === 29 ? 2 : 1)));
    expect(errors).toEqual([...Array(29).fill(0), 1]);
  });

  it('does not take what was there thirty minutes ago for what is there now', () => {
    const { time, history, call, fail } = createWorld();
    for (let count = 0; count < 9; count += 1) fail('CALLER_KEY');
    time.ms += 30 * MINUTE;
    call(100);
    expect(last5m(history)).toMatchObject({ requests: 1, errors: 0 });
    expect(last5m(history).p50Ms).toBeGreaterThan(80);
  });

  it('keeps latencies of an older lap apart when calls come rarely', () => {
    const { time, history, call } = createWorld();
    call(1000);
    // The same place in the circle of latencies, another one in that of counts.
    time.ms += 5 * MINUTE;
    call(1);
    expect(last5m(history).p99Ms).toBeLessThan(2);
  });

  it('has no latency for a tunnel, which lasts as long as it is wanted', () => {
    const { history, call } = createWorld();
    history.record('/api', 101, 3_600_000, undefined);
    expect(last5m(history)).toEqual({ requests: 1, errors: 0, p50Ms: undefined, p99Ms: undefined });
    call(2);
    expect(last5m(history).p99Ms).toBeLessThan(3);
  });

  it('lists errors latest first with code, route, time and request id, and nothing else', () => {
    const { time, history, fail } = createWorld();
    fail('CALLER_HOST', 421, undefined);
    time.ms += 1000;
    fail(undefined, 500);
    expect(history.errors()).toEqual([
      { at: START + 1000, route: '/api', code: undefined, status: 500, method: 'POST', requestId: 'id-undefined' },
      { at: START, route: '/api', code: 'CALLER_HOST', status: 421, method: 'POST', requestId: 'id-CALLER_HOST' },
    ]);
  });

  it('keeps the last fifty errors', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200 }), (count) => {
        const { history, fail } = createWorld();
        for (let index = 0; index < count; index += 1) fail(String(index));
        const latest = [...Array(count).keys()].reverse().slice(0, 50).map(String);
        expect(history.errors().map(({ code }) => code)).toEqual(latest);
      }),
    );
  });

  it('counts what a list of all calls would count', () => {
    const calls = fc.array(
      fc.record({
        pauseMs: fc.integer({ min: 0, max: 3 * MINUTE }),
        ms: fc.double({ min: 0, max: 60_000, noNaN: true }),
        failed: fc.boolean(),
      }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(calls, (sequence) => {
        const { time, history } = createWorld();
        const all = sequence.map(({ pauseMs, ms, failed }) => {
          time.ms += pauseMs;
          history.record('/api', 200, ms, failed ? { code: 'CALLER_KEY', method: 'GET', requestId: '1' } : undefined);
          return { slot: Math.floor(time.ms / 10_000), ms, failed };
        });
        const now = Math.floor(time.ms / 10_000);
        const recent = all.filter(({ slot }) => slot > now - 30);
        const { p50Ms, p99Ms, ...counted } = last5m(history);
        expect(counted).toEqual({ requests: recent.length, errors: recent.filter(({ failed }) => failed).length });
        expect(sum(history.route('/api').last30m.requests)).toBe(all.filter(({ slot }) => slot > now - 180).length);
        const sorted = recent.map(({ ms }) => ms).sort((one, other) => one - other);
        for (const [share, found] of [
          [0.5, p50Ms],
          [0.99, p99Ms],
        ] as const) {
          const exact = sorted[Math.ceil(sorted.length * share) - 1];
          if (exact === undefined) expect(found).toBeUndefined();
          else if (exact < 1) expect(Math.abs((found ?? 0) - exact)).toBeLessThanOrEqual(0.125);
          else expect(Math.abs((found ?? 0) / exact - 1)).toBeLessThanOrEqual(0.125);
        }
      }),
    );
  });

  it.each([-1, 0, 1e9, Number.POSITIVE_INFINITY])('takes a latency of %d without harm', (ms) => {
    const { history, call } = createWorld();
    call(ms);
    expect(last5m(history).requests).toBe(1);
    expect(last5m(history).p50Ms).toBeGreaterThan(0);
  });

  it('says what the last calls met: a failure with its account and since when, until a call that began later works', () => {
    const { time, history, call, fail } = createWorld();
    const account = { cause: 'refused', host: 'api.example:443', message: 'nothing listens', fix: 'start it' };
    const down = { code: 'UPSTREAM_UNREACHABLE', requestId: '1', method: 'GET', failure: account };
    call();
    time.ms = MINUTE;
    history.record('/api', 502, 1, down);
    time.ms = 2 * MINUTE;
    history.record('/api', 502, 1, down);
    fail('CALLER_KEY', 403);
    expect(history.route('/api').last).toEqual({
      successAt: START,
      failingSince: START + MINUTE,
      failure: {
        ...{ at: START + 2 * MINUTE, status: 502, code: 'UPSTREAM_UNREACHABLE', failure: account },
        ...{ agoMs: 0, inARow: 2, calls5m: 4, failed5m: 2 },
      },
    });
    time.ms = 3 * MINUTE;
    call(5 * MINUTE);
    expect(history.route('/api').last.failingSince).toBe(START + MINUTE);
    call();
    expect(history.route('/api').last).toMatchObject({ failingSince: undefined, successAt: START + 3 * MINUTE });
  });

  it('has a 401 of the API for a failure to be told of, but neither for an error of the list nor of the counts', () => {
    const { history } = createWorld();
    history.record('/api', 401, 1, undefined);
    expect(history.route('/api').last.failure).toMatchObject({ status: 401, code: undefined, inARow: 1 });
    expect(last5m(history)).toMatchObject({ requests: 1, errors: 0 });
    expect(history.errors()).toEqual([]);
  });

  it('holds at most 256 routes: another one has its turn once one has been idle for thirty minutes', () => {
    const { time, history, call } = createWorld();
    for (let index = 0; index < 300; index += 1) call(1, `/route-${index}`);
    expect(history.route('/route-255').last5m.requests).toBe(1);
    expect(history.route('/route-256').last5m.requests).toBe(0);
    time.ms += 30 * MINUTE;
    call(1, '/route-256');
    expect(history.route('/route-256').last5m.requests).toBe(1);
  });

  it('takes the memory it has taken, however many calls there are', () => {
    const { time, history, fail } = createWorld();
    const lap = () => {
      for (let index = 0; index < 20_000; index += 1) {
        time.ms += 97;
        history.record(`/route-${index % 40}`, 200, index % 5000, undefined);
        fail('CALLER_KEY');
      }
    };
    const used = () => {
      collectGarbage();
      const { heapUsed, arrayBuffers } = process.memoryUsage();
      return heapUsed + arrayBuffers;
    };
    lap();
    const before = used();
    for (let laps = 0; laps < 10; laps += 1) lap();
    // 400 000 calls more: at a byte each it would be too much.
    expect(used() - before).toBeLessThan(400_000);
    expect(history.errors()).toHaveLength(50);
  });
});
