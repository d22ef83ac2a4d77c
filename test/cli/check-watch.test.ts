import { describe, expect, it } from 'vitest';
import type { Finding } from '../../src/check/finding.ts';
import { type Change, watch } from '../../src/cli/check-watch.ts';

const OK: Finding = { level: 'ok', subject: 'token default', message: 'valid for 3600 s' };
const REFUSED: Finding = {
  ...{ level: 'error', subject: 'token default', code: 'CREDENTIALS_REJECTED', cause: 'token_invalid_client' },
  ...{ message: 'refused, 7 s ago', fix: 'create a secret' },
};
const DOWN: Finding = { level: 'error', subject: 'upstream /api', code: 'UPSTREAM_UNREACHABLE', message: 'down' };

const result = (...findings: readonly Finding[]) => ({
  code: findings.some(({ level }) => level === 'error') ? 5 : 0,
  findings,
});

interface Plan {
  /** The result of each check; the last one repeats. */
  readonly results: readonly ReturnType<typeof result>[];
  /** Changes the configuration at this time. */
  readonly changeAt?: number;
  /** Interrupts at this time. */
  readonly stopAt?: number;
}

/** Runs a watch by a clock of its own, and returns when it checked and what it told. */
async function watched({ results, changeAt = Number.POSITIVE_INFINITY, stopAt = 2_000_000 }: Plan) {
  let now = 0;
  const fingerprint = () => (now >= changeAt ? 'changed' : 'as it was');
  const checkedAt: number[] = [];
  const told: string[] = [];
  const stop = Promise.withResolvers<void>();
  const ended = await watch({
    async check() {
      checkedAt.push(now / 1000);
      return { ...(results[Math.min(checkedAt.length, results.length) - 1] ?? result(OK)), fingerprint: fingerprint() };
    },
    fingerprint,
    async wait(ms) {
      now += ms;
      if (now >= stopAt) stop.resolve();
      await new Promise((resolve) => setImmediate(resolve));
    },
    interrupted: stop.promise,
    everyMs: 5000,
    onFirst: ({ findings }) => told.push(`first: ${findings.length}`),
    onChange: ({ text }: Change) => told.push(text),
  });
  return { checkedAt, told, code: ended.code };
}

describe('check --watch', () => {
  it('ends with 0 as soon as nothing is wrong, and tells what changed in one line each', async () => {
    const results = [result(REFUSED, DOWN), result(OK, DOWN), result(OK)];
    const { told, code, checkedAt } = await watched({ results });
    expect(code).toBe(0);
    expect(checkedAt).toEqual([0, 5, 10]);
    expect(told).toEqual([
      'first: 2',
      'FAIL → ok  token default: valid for 3600 s',
      'FAIL → ok  upstream /api: no longer found',
    ]);
  });

  it('tells nothing while only numbers change', async () => {
    const again = { ...REFUSED, message: 'refused, 12 s ago' };
    const { told } = await watched({ results: [result(REFUSED), result(again), result(OK)] });
    expect(told).toHaveLength(2);
  });

  it('waits longer and longer while a server refuses the same secret, up to five minutes', async () => {
    const { checkedAt, code } = await watched({ results: [result(REFUSED)] });
    const pauses = checkedAt.slice(1).map((at, index) => at - (checkedAt[index] ?? 0));
    expect(pauses.slice(0, 8)).toEqual([5, 10, 20, 40, 80, 160, 300, 300]);
    expect(code).toBe(5);
  });

  it('waits longer for a refused secret even while other findings come and go', async () => {
    const results = [0, 1, 2, 3, 4, 5].map((turn) => (turn % 2 ? result(REFUSED, DOWN) : result(REFUSED)));
    const { checkedAt } = await watched({ results, stopAt: 100_000 });
    expect(checkedAt).toEqual([0, 5, 15, 35, 75]);
  });

  it('waits at most a minute while no server refuses the secret', async () => {
    const { checkedAt } = await watched({ results: [result(DOWN)], stopAt: 400_000 });
    expect(checkedAt.slice(-2)).toEqual([315, 375]);
  });

  it('checks within one interval after a change of the configuration', async () => {
    const { checkedAt } = await watched({ results: [result(REFUSED)], changeAt: 200_000, stopAt: 230_000 });
    expect(checkedAt).toEqual([0, 5, 15, 35, 75, 155, 200, 205, 215]);
  });

  it('ends with the last code when interrupted, and with 10 before there is one', async () => {
    expect((await watched({ results: [result(DOWN)], stopAt: 7000 })).code).toBe(5);
    const stopped = Promise.resolve();
    const never = new Promise<never>(() => undefined);
    const options = { fingerprint: () => '', wait: async () => undefined, everyMs: 5000 };
    const quiet = { onFirst: () => undefined, onChange: () => undefined };
    expect(await watch({ ...options, ...quiet, check: () => never, interrupted: stopped })).toEqual({
      ...{ result: undefined, code: 10 },
    });
  });
});
