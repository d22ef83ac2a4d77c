// Do calls of a route work? Every state, with its cause, words, advice and since when, as a function of what is known.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Last, LastFailure } from '../../src/admin/history-view.ts';
import type { StatusInput, TokenView } from '../../src/admin/status-input.ts';
import { type RouteVerdict, verdictOf, worst } from '../../src/admin/verdict.ts';

const NOW = Date.UTC(2026, 0, 1, 12);
const MINUTE = 60_000;

const TOKEN: TokenView = {
  key: { credential: 'default', scope: 'api' },
  state: 'fresh',
  expiresAt: NOW + 34 * MINUTE,
  lastSuccessAt: NOW - MINUTE,
  lastError: undefined,
  consecutiveFailures: 0,
  generation: 1,
};

const WORDS = {
  cause: 'tls_unknown_ca',
  message: 'id.example:443 has a certificate of an unknown CA',
  fix: 'name the CA',
};
const TOKEN_FAILS: Partial<TokenView> = {
  lastError: {
    code: 'TOKEN_UNAVAILABLE',
    result: 'tls',
    at: NOW - MINUTE,
    since: NOW - 9 * MINUTE,
    failure: { ...WORDS, host: 'id.example:443' },
  },
  consecutiveFailures: 4,
};

const GOOD: Last = { successAt: NOW - 1000, failure: undefined, failingSince: undefined };
const UNCALLED: Last = { ...GOOD, successAt: undefined };

/** A failure and, where it is not over, since when. */
function met(failure: Partial<LastFailure>, rest: Partial<Last> = {}): Last {
  const { agoMs = MINUTE } = failure;
  const whole = {
    code: undefined,
    status: 502,
    inARow: 1,
    calls5m: 9,
    failed5m: 2,
    agoMs,
    at: NOW - agoMs,
    ...failure,
  };
  return { successAt: NOW - 10 * MINUTE, failingSince: NOW - 2 * MINUTE, ...rest, failure: whole };
}

const recovered = (failure: Partial<LastFailure>) =>
  met({ inARow: 0, ...failure }, { failingSince: undefined, successAt: NOW - 1 });

interface Known {
  readonly last?: Last;
  readonly token?: Partial<TokenView>;
  readonly allow?: readonly string[];
  readonly rest?: Partial<StatusInput>;
}

function judged({ last = GOOD, token = {}, allow, rest = {} }: Known): RouteVerdict {
  const nothing = { requests: 0, errors: 0, p50Ms: undefined, p99Ms: undefined };
  const history = { last, last5m: nothing, last30m: { requests: [], errors: [] } };
  const route = { path: '/api', upstream: 'https://api.example', credential: 'default', scope: 'api', allow, history };
  return verdictOf(route, {
    version: '1.2.3',
    environment: 'dev',
    startedAt: NOW - 90 * MINUTE,
    now: NOW,
    listening: true,
    draining: false,
    startup: 'lenient',
    inFlight: 0,
    generation: 1,
    lastReload: undefined,
    logLinesLost: 0,
    warnings: [],
    unsafe: [],
    recentErrors: [],
    errorGroups: [],
    unknownOutcomes: [],
    routes: [route],
    credentials: [],
    tokens: [{ ...TOKEN, ...token }],
    upstreams: [],
    ...rest,
  });
}

const audit = (whenFailing: 'refuse' | 'report') => ({
  audit: { file: '/a', seq: 1, hash: 'h', failing: 'ENOSPC', whenFailing },
});
const shed = (agoMs: number) => ({
  at: NOW - agoMs,
  route: undefined,
  code: 'SIDECAR_OVERLOADED',
  status: 503,
  requestId: 'none',
  method: '',
});

const ROWS: readonly (readonly [what: string, known: Known, expected: Partial<RouteVerdict>])[] = [
  // Works.
  ['a call that worked', {}, { state: 'works', from: 'api', message: 'calls get responses' }],
  [
    'a token and no call',
    { last: UNCALLED },
    { state: 'works', from: 'token', message: 'there is a valid token; no calls yet' },
  ],
  [
    'a last call six minutes ago',
    { last: { ...GOOD, successAt: NOW - 6 * MINUTE } },
    { state: 'works', message: 'no calls since 11:54 UTC; the last call got a response' },
  ],
  [
    'a last call the day before',
    { last: { ...GOOD, successAt: NOW - 24 * 60 * MINUTE } },
    { state: 'works', message: 'no calls since 2025-12-31 12:00 UTC; the last call got a response' },
  ],
  ...(['none', 'expired'] as const).map(
    (state) =>
      [
        `token ${state} and no failure to get one`,
        { token: { state, expiresAt: undefined }, last: UNCALLED },
        { state: 'works', from: 'token', message: 'the token is being fetched; calls wait for it' },
      ] as const,
  ),
  // The process.
  [
    'a stop',
    { rest: { draining: true }, token: { state: 'none', ...TOKEN_FAILS } },
    {
      state: 'fails',
      from: 'sidecar',
      cause: 'draining',
      code: 'SIDECAR_STOPPED',
      fix: expect.stringMatching(/start it/),
    },
  ],
  ['a start', { rest: { listening: false } }, { state: 'fails', from: 'sidecar', cause: 'starting' }],
  // The token.
  ...(['none', 'expired'] as const).map(
    (state) =>
      [
        `token ${state} and failures to get one`,
        { token: { state, ...TOKEN_FAILS } },
        { state: 'fails', from: 'token', code: 'TOKEN_UNAVAILABLE', ...WORDS, since: NOW - 9 * MINUTE },
      ] as const,
  ),
  [
    'credentials that are refused, without an account of it',
    {
      token: {
        state: 'none',
        consecutiveFailures: 1,
        lastError: { code: 'CREDENTIALS_REJECTED', result: 'invalid_client', at: NOW - 3000 },
      },
    },
    {
      state: 'fails',
      from: 'token',
      code: 'CREDENTIALS_REJECTED',
      cause: 'credentials_rejected',
      message: 'the identity server refuses the credentials',
      fix: expect.stringMatching(/^it does not accept client id.*check`$/),
      since: NOW - 3000,
    },
  ],
  [
    'failures before a token that an operator dropped',
    { token: { state: 'none', consecutiveFailures: 2 } },
    { state: 'fails', from: 'token', code: 'TOKEN_UNAVAILABLE', since: undefined },
  ],
  ...(['fresh', 'early'] as const).map(
    (state) =>
      [
        `a token ${state} that cannot be renewed`,
        { token: { state, ...TOKEN_FAILS } },
        {
          state: 'warning',
          from: 'token',
          cause: WORDS.cause,
          message: `the token is valid until 12:34 UTC, but its refresh fails: ${WORDS.message}`,
          fix: WORDS.fix,
          since: NOW - 9 * MINUTE,
        },
      ] as const,
  ),
  [
    'the token of another purpose that fails',
    { rest: { tokens: [{ ...TOKEN, ...TOKEN_FAILS, state: 'none', key: { ...TOKEN.key, audience: 'x' } }, TOKEN] } },
    { state: 'works' },
  ],
  // The audit log.
  [
    'an audit log that fails and refuses',
    { rest: audit('refuse') },
    {
      state: 'fails',
      from: 'audit',
      code: 'SIDECAR_AUDIT_FAILED',
      cause: 'audit_failing',
      message: 'the audit log cannot be written (ENOSPC): calls that change something get 503',
      fix: expect.stringMatching(/free disk space/),
    },
  ],
  [
    'an audit log that fails and refuses, on a route that only reads',
    { rest: audit('refuse'), allow: ['GET /accounts/**', 'HEAD /**'] },
    { state: 'warning', from: 'audit', message: expect.stringMatching(/but this route allows none$/) },
  ],
  [
    'an audit log that fails and refuses, on a route with one method that changes something',
    { rest: audit('refuse'), allow: ['GET /**', 'POST /payments'] },
    { state: 'fails', from: 'audit' },
  ],
  [
    'an audit log that fails and reports',
    { rest: audit('report') },
    { state: 'warning', from: 'audit', message: expect.stringMatching(/calls continue without it$/) },
  ],
  [
    'a call that the failing audit log stopped',
    { rest: audit('refuse'), last: met({ code: 'SIDECAR_AUDIT_FAILED', status: 503 }) },
    { state: 'fails', from: 'audit', since: NOW - 2 * MINUTE },
  ],
  [
    'a call that the audit log stopped, which is written again',
    { last: met({ code: 'SIDECAR_AUDIT_FAILED', status: 503 }) },
    { state: 'warning', from: 'audit', message: expect.stringMatching(/^2 of 9 calls .* Last failure: the audit log/) },
  ],
  // Too much at once.
  [
    'requests shed a minute ago',
    { rest: { recentErrors: [shed(MINUTE), shed(2 * MINUTE)] } },
    { state: 'warning', from: 'sidecar', code: 'SIDECAR_OVERLOADED', since: NOW - 2 * MINUTE },
  ],
  ['requests shed six minutes ago', { rest: { recentErrors: [shed(6 * MINUTE)] } }, { state: 'works' }],
  [
    'one full queue',
    { last: met({ code: 'UPSTREAM_BUSY', status: 503 }) },
    { state: 'warning', code: 'UPSTREAM_BUSY' },
  ],
  [
    'full queues and nothing else',
    { last: met({ code: 'UPSTREAM_BUSY', status: 503, inARow: 3 }) },
    { state: 'fails', code: 'UPSTREAM_BUSY', since: NOW - 2 * MINUTE },
  ],
  // The API.
  ...(['UPSTREAM_UNREACHABLE', 'UPSTREAM_RESET', 'UPSTREAM_TIMEOUT', 'UPSTREAM_INVALID'] as const).map(
    (code) => [code, { last: met({ code }) }, { state: 'fails', from: 'api', code, since: NOW - 2 * MINUTE }] as const,
  ),
  [
    'a failure with an account of it',
    { last: met({ code: 'UPSTREAM_UNREACHABLE', failure: { ...WORDS, host: 'h' } }) },
    { state: 'fails', ...WORDS },
  ],
  [
    'an error response of the API',
    { last: met({ status: 503 }) },
    {
      state: 'fails',
      from: 'api',
      cause: 'api_error',
      message: 'the API responds with HTTP 503',
    },
  ],
  [
    'one 401 of an API that others worked with',
    { last: met({ status: 401 }) },
    {
      state: 'warning',
      code: 'UPSTREAM_REFUSED_TOKEN',
      message: expect.stringMatching(/Last failure: the API refuses the token$/),
    },
  ],
  [
    'a 401 to three calls in a row',
    { last: met({ status: 401, inARow: 3 }) },
    { state: 'fails', from: 'api', code: 'UPSTREAM_REFUSED_TOKEN', since: NOW - 2 * MINUTE },
  ],
  [
    'a 401 to the first call ever',
    { last: met({ status: 401 }, { successAt: undefined }) },
    { state: 'fails', from: 'api', code: 'UPSTREAM_REFUSED_TOKEN', fix: expect.stringMatching(/scope and audience$/) },
  ],
  [
    'a defect',
    { last: met({ code: 'SIDECAR_INTERNAL', status: 500 }) },
    { state: 'fails', from: 'sidecar', code: 'SIDECAR_INTERNAL' },
  ],
  ['a code that no table has', { last: met({ code: 'constructor' }) }, { state: 'fails', code: 'SIDECAR_INTERNAL' }],
  // Over, or long ago.
  [
    'a success after failures',
    { last: recovered({ code: 'UPSTREAM_UNREACHABLE', agoMs: MINUTE }) },
    {
      state: 'warning',
      from: 'api',
      message: '2 of 9 calls failed in the last five minutes. Last failure: the API cannot be reached',
      since: NOW - MINUTE,
    },
  ],
  [
    'a success after failures of long ago',
    { last: recovered({ agoMs: 6 * MINUTE, failed5m: 0 }) },
    { state: 'works', message: 'calls get responses' },
  ],
  [
    'a call without a token, and a token by now',
    { last: met({ code: 'TOKEN_UNAVAILABLE', status: 503 }) },
    { state: 'warning', from: 'token', message: expect.stringMatching(/^2 of 9 calls/) },
  ],
  [
    'a call that waited in vain for a token whose first fetch is still under way',
    { last: met({ code: 'TOKEN_UNAVAILABLE', status: 503 }), token: { state: 'none' } },
    { state: 'fails', from: 'token', code: 'TOKEN_UNAVAILABLE', since: NOW - 2 * MINUTE },
  ],
  [
    'a failure six minutes ago and no call since',
    { last: met({ code: 'UPSTREAM_UNREACHABLE', agoMs: 6 * MINUTE, failed5m: 0 }) },
    {
      state: 'warning',
      message: 'no calls since 11:54 UTC, and the last call failed: the API cannot be reached',
      since: NOW - 2 * MINUTE,
    },
  ],
  // One above the other.
  [
    'an API that is down and a token that cannot be renewed',
    { last: met({ code: 'UPSTREAM_UNREACHABLE' }), token: TOKEN_FAILS },
    { state: 'fails', from: 'api' },
  ],
  [
    'an API that is down and no token',
    { last: met({ code: 'UPSTREAM_UNREACHABLE' }), token: { ...TOKEN_FAILS, state: 'expired' } },
    { state: 'fails', from: 'token' },
  ],
];

describe('admin/verdict', () => {
  it.each(ROWS)('after %s says so', (_what, known, expected) => {
    expect(judged(known)).toMatchObject(expected);
  });

  it.each(ROWS)('after %s has cause and fix unless it works, each a clause of one line', (_what, known) => {
    const { state, cause, message, fix } = judged(known);
    for (const text of state === 'works' ? [message] : [message, fix]) expect(text).toMatch(/^[^A-Z\n][^\n]*[^.\n]$/);
    expect(cause === undefined).toBe(state === 'works');
  });

  it('is a verdict of one of three states for whatever servers and callers have sent', () => {
    const wild = fc.oneof(fc.double(), fc.constantFrom(8.64e15 + 1, -8.64e15 - 1, Number.MAX_VALUE, undefined));
    const text = fc.oneof(fc.string(), fc.constantFrom('__proto__', 'toString', 'x'.repeat(100_000)));
    const states = fc.constantFrom('fresh' as const, 'early' as const, 'expired' as const, 'none' as const);
    fc.assert(
      fc.property(fc.array(wild, { minLength: 6, maxLength: 6 }), text, states, (times, code, state) => {
        const [expiresAt, at = 0, agoMs = 0, successAt, failingSince, consecutiveFailures = 1] = times;
        const token = { state, expiresAt, consecutiveFailures, lastError: { code, result: code, at } };
        const last = met({ code, agoMs, at }, { successAt, failingSince });
        for (const known of [{ token }, { last }, { token, last, rest: { now: at } }])
          expect(['works', 'warning', 'fails']).toContain(judged(known).state);
      }),
    );
  });

  it('names an expiry that is no date as unknown', () => {
    const token = { ...TOKEN_FAILS, expiresAt: Number.MAX_VALUE };
    expect(judged({ token }).message).toMatch(/^the token is valid until an unknown time, but/);
  });

  it('has the worst of several states for the worst, and nothing to say against none', () => {
    expect(worst(['works', 'fails', 'warning'])).toBe('fails');
    expect(worst(['works', 'warning'])).toBe('warning');
    expect(worst([])).toBe('works');
  });
});
