// What is kept of calls that failed: groups of the same trouble, and the calls that may have been executed.
import { describe, expect, it } from 'vitest';
import { createErrorHistory, type RecentError } from '../../src/admin/error-history.ts';

const ERROR: RecentError = {
  at: 1000,
  route: '/banking',
  code: 'UPSTREAM_RESET',
  status: 502,
  method: 'POST',
  requestId: 'r-1',
  mayHaveExecuted: true,
};

const failure = (cause: string) => ({ cause, host: 'api.example:443', message: 'm', fix: 'f' });

function recorded(...errors: readonly Partial<RecentError>[]) {
  const history = createErrorHistory();
  for (const error of errors) history.record({ ...ERROR, ...error });
  return history;
}

describe('admin/error-history: groups', () => {
  it('counts errors of the same code, cause and route as one, with the first time and the latest error', () => {
    const [group, ...others] = recorded({}, { at: 2000 }, { at: 3000, requestId: 'r-3' }).errorGroups();
    expect(group).toEqual({ count: 3, firstAt: 1000, latest: { ...ERROR, at: 3000, requestId: 'r-3' } });
    expect(others).toEqual([]);
  });

  it.each([
    ['route', { route: '/events' }],
    ['code', { code: 'UPSTREAM_TIMEOUT' }],
    ['cause', { failure: failure('dns') }],
  ] as const)('keeps apart what differs in its %s, the one with the latest error first', (_what, other) => {
    expect(recorded({}, other).errorGroups()).toHaveLength(2);
    expect(recorded({}, other, {}).errorGroups()[0]).toMatchObject({ count: 2, latest: ERROR });
  });

  it('keeps apart responses of the API with different status, and not those of one status', () => {
    const ofApi = (status: number) => ({ code: undefined, status });
    expect(
      recorded(ofApi(500), ofApi(502), ofApi(500))
        .errorGroups()
        .map(({ count }) => count),
    ).toEqual([2, 1]);
  });

  it('forgets the one that has been quiet for longest beyond fifty', () => {
    const names = Array.from({ length: 51 }, (_, index) => `/${index}`);
    const history = recorded(
      { route: '/0' },
      { route: '/1' },
      { route: '/0' },
      ...names.slice(2).map((route) => ({ route })),
    );
    const kept = history.errorGroups().map(({ latest }) => latest.route);
    expect(kept).toHaveLength(50);
    expect(kept).toContain('/0');
    expect(kept).not.toContain('/1');
  });
});

describe('admin/error-history: unknown outcomes', () => {
  it('lists calls that change something and may have been executed, latest first', () => {
    const history = recorded({ requestId: 'a' }, { requestId: 'b', method: 'DELETE' });
    expect(history.unknownOutcomes().map(({ requestId }) => requestId)).toEqual(['b', 'a']);
  });

  it.each([
    ['was not sent', { mayHaveExecuted: false }],
    ['got a response', { mayHaveExecuted: undefined, code: undefined }],
    ['only reads', { method: 'GET' }],
  ] as const)('leaves out a call that %s', (_what, error) => {
    expect(recorded(error).unknownOutcomes()).toEqual([]);
    expect(recorded(error).errors()).toHaveLength(1);
  });

  it('keeps them through a flood of other errors, and the last fifty of a flood of their own', () => {
    const history = recorded({ requestId: 'payment' });
    for (let count = 0; count < 1000; count += 1)
      history.record({ ...ERROR, code: `C${count}`, mayHaveExecuted: false });
    expect(history.unknownOutcomes().map(({ requestId }) => requestId)).toEqual(['payment']);
    for (let count = 0; count < 60; count += 1) history.record({ ...ERROR, requestId: String(count) });
    const kept = history.unknownOutcomes().map(({ requestId }) => requestId);
    expect([kept.length, kept[0], kept[49]]).toEqual([50, '59', '10']);
  });
});
