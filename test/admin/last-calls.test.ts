// Which of a route's calls is the latest evidence, whatever order they end in.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LastCalls } from '../../src/admin/history.ts';

const START = Date.UTC(2026, 0, 1);
const MINUTE = 60_000;

interface Call {
  readonly began: number;
  readonly ended: number;
  readonly code?: string;
}

/** Records them in the order in which they end. */
function read(calls: readonly Call[], nowMs?: number) {
  const last = new LastCalls();
  const ordered = [...calls].sort((one, other) => one.ended - other.ended);
  for (const { began, ended, code } of ordered) {
    if (code === undefined) last.succeed(began, START + ended);
    else last.fail({ at: START + ended, status: 502, code }, { began, ended });
  }
  const monotonicMs = nowMs ?? Math.max(0, ...calls.map(({ ended }) => ended));
  return last.read({ wallMs: START + monotonicMs, monotonicMs }, () => calls.length);
}

const DOWN = 'UPSTREAM_UNREACHABLE';

describe('admin/last-calls', () => {
  it('knows nothing without calls', () => {
    expect(read([])).toEqual({ successAt: undefined, failure: undefined, failingSince: undefined });
  });

  it.each<[string, readonly Call[], number | undefined]>([
    ['a success alone', [{ began: 0, ended: 1 }], undefined],
    ['a failure alone', [{ began: 0, ended: 1, code: DOWN }], 1],
    [
      'a failure after a success',
      [
        { began: 0, ended: 1 },
        { began: 2, ended: 3, code: DOWN },
      ],
      3,
    ],
    [
      'a success after a failure',
      [
        { began: 0, ended: 1, code: DOWN },
        { began: 2, ended: 3 },
      ],
      undefined,
    ],
    [
      'three failures after a success: the first of them',
      [{ began: 0, ended: 1 }, ...[2, 4, 6].map((began) => ({ began, ended: began + 1, code: DOWN }))],
      3,
    ],
    [
      'a failure, a success, a failure: the second',
      [
        { began: 0, ended: 1, code: DOWN },
        { began: 2, ended: 3 },
        { began: 4, ended: 5, code: DOWN },
      ],
      5,
    ],
    [
      'a call that hung since before a success and fails after it',
      [
        { began: 0, ended: 30_000, code: 'UPSTREAM_TIMEOUT' },
        { began: 12_000, ended: 12_100 },
      ],
      undefined,
    ],
    [
      'a failure, a success, and the end of a call that hung since before both',
      [
        { began: 0, ended: 30_000, code: DOWN },
        { began: 5000, ended: 5001, code: DOWN },
        { began: 12_000, ended: 12_100 },
      ],
      undefined,
    ],
    [
      'a download from before a failure that ends after it',
      [
        { began: 0, ended: 60_000 },
        { began: 50_000, ended: 50_001, code: DOWN },
      ],
      50_001,
    ],
    [
      'two that began and ended at the same time, the failure told last',
      [
        { began: 0, ended: 0 },
        { began: 0, ended: 0, code: DOWN },
      ],
      0,
    ],
    [
      'two that began and ended at the same time, the success told last',
      [
        { began: 0, ended: 0, code: DOWN },
        { began: 0, ended: 0 },
      ],
      undefined,
    ],
  ])('says since when it fails after %s', (_what, calls, since) => {
    expect(read(calls).failingSince).toBe(since === undefined ? undefined : START + since);
  });

  it.each(['CALLER_ABORTED', 'CALLER_LIMIT', 'ROUTE_NOT_ALLOWED'])('leaves %s out', (code) => {
    expect(
      read([
        { began: 0, ended: 1 },
        { began: 2, ended: 3, code },
      ]),
    ).toMatchObject({
      failure: undefined,
      failingSince: undefined,
    });
  });

  it('fails exactly where no success began after the failure that began last, and counts those in a row', () => {
    // Times apart, for what began at the same time has no order but that of its end.
    const times = fc.uniqueArray(fc.nat(100_000), { minLength: 2, maxLength: 60 });
    fc.assert(
      fc.property(times, fc.infiniteStream(fc.boolean()), (drawn, fails) => {
        const calls: Call[] = [];
        for (let index = 0; index + 1 < drawn.length; index += 2) {
          const [began = 0, ended = 0] = drawn.slice(index, index + 2).sort((one, other) => one - other);
          calls.push({ began, ended, ...(fails.next().value && { code: DOWN }) });
        }
        const lastOf = (failed: boolean) =>
          Math.max(-1, ...calls.filter(({ code }) => (code !== undefined) === failed).map(({ began }) => began));
        const { failingSince, failure } = read(calls);
        expect(failingSince !== undefined).toBe(lastOf(true) > lastOf(false));
        expect((failure?.inARow ?? 0) > 0).toBe(failingSince !== undefined);
        expect(failure?.at).toBe(
          lastOf(true) < 0 ? undefined : START + (calls.find(({ began }) => began === lastOf(true))?.ended ?? 0),
        );
      }),
    );
  });

  it('counts the failures of the last five minutes, to ten seconds, and forgets older ones', () => {
    const calls = [0, 1, 2].map((minute) => ({ began: minute * MINUTE, ended: minute * MINUTE, code: DOWN }));
    const counts = [2, 4.9, 5, 6, 7, 60].map((minutes) => read(calls, minutes * MINUTE).failure?.failed5m);
    expect(counts).toEqual([3, 3, 2, 1, 0, 0]);
  });

  it('keeps laps of five minutes apart', () => {
    const calls = [0, 5 * MINUTE].map((ended) => ({ began: ended, ended, code: DOWN }));
    expect(read(calls).failure?.failed5m).toBe(1);
  });

  it('says how long ago by whichever clock says more, so that neither a clock set back nor sleep keeps a failure young', () => {
    const last = new LastCalls();
    last.fail({ at: START, status: 502, code: DOWN }, { began: 0, ended: 0 });
    const ago = (wallMs: number, monotonicMs: number) =>
      last.read({ wallMs: START + wallMs, monotonicMs }, () => 1).failure?.agoMs;
    expect([ago(-60 * MINUTE, 6 * MINUTE), ago(60 * MINUTE, 0)]).toEqual([6 * MINUTE, 60 * MINUTE]);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1])(
    'takes a beginning of %d without harm',
    (began) => {
      const last = new LastCalls();
      last.fail({ at: START, status: 502, code: DOWN }, { began, ended: 1 });
      last.succeed(began, START);
      last.succeed(2, START + 2);
      last.fail({ at: START + 4, status: 502, code: DOWN }, { began: 3, ended: 4 });
      expect(last.read({ wallMs: START + 4, monotonicMs: 4 }, () => 4).successAt).toBe(START + 2);
    },
  );
});
