/** In getting, keeping and renewing tokens. */
import type { Mistake } from './mistakes.ts';

const SOURCE = 'oauth/token-source.ts';
const PACE = 'oauth/request-pace.ts';

export const OAUTH_MISTAKES: Readonly<Record<string, Mistake>> = {
  'age-by-wall-clock-only': {
    file: 'core/clock.ts',
    from: 'return Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs);',
    to: 'return now.wallMs - since.wallMs;',
  },
  'age-by-monotonic-clock-only': {
    file: 'core/clock.ts',
    from: 'return Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs);',
    to: 'return now.monotonicMs - since.monotonicMs;',
  },
  'callers-wait-for-early-refresh': {
    file: SOURCE,
    from: "if (this.#token === undefined || phase === 'expired') return this.#wait(false);",
    to: "if (this.#token === undefined || phase !== 'fresh') return this.#wait(false);",
  },
  'used-to-the-last-second': {
    file: 'oauth/refresh-policy.ts',
    from: 'const usableForMs = lifetimeMs - Math.min(MAX_MARGIN_MS, lifetimeMs * MARGIN_SHARE);',
    to: 'const usableForMs = lifetimeMs;',
  },
  'renews-without-pause': {
    file: PACE,
    from: 'return Math.max(0, INTERVAL_MS - (isRenewal ? this.#creditMs + sinceMs : sinceMs));',
    to: 'return isRenewal ? 0 : Math.max(0, INTERVAL_MS - sinceMs);',
  },
  'asks-twice-a-second': {
    file: PACE,
    from: 'const INTERVAL_MS = 1000;',
    to: 'const INTERVAL_MS = 500;',
  },
  'refusal-not-kept': {
    file: 'oauth/secret-failover.ts',
    from: '      refusedAt.set(fingerprint, clock.now());\n',
    to: '',
  },
  'next-try-too-late-for-callers': {
    file: PACE,
    from: 'Math.max(INTERVAL_MS, apartMs - this.#sinceMs())',
    to: 'Math.max(INTERVAL_MS, apartMs + this.#sinceMs())',
  },
  'two-flights': {
    file: SOURCE,
    from: 'this.#flight ??= this.#fetch(isRenewal)',
    to: 'this.#flight = this.#fetch(isRenewal)',
  },
  'older-401-drops-newer-token': {
    file: SOURCE,
    from: '    if (!isStill(stale, this.#token)) return this.get();\n',
    to: '',
  },
  'unhandled-background-failure': {
    file: SOURCE,
    from: "if (this.#phase() !== 'fresh' && this.#mayFetchNow()) void this.#fetchShared();",
    to: "if (this.#phase() !== 'fresh' && this.#mayFetchNow()) void this.getOnce();",
  },
  'retry-after-ignored': {
    file: PACE,
    from: "const askedMs = response.kind === 'unavailable' ? (response.retryAfterS ?? 0) * 1000 : 0;",
    to: 'const askedMs = 0;',
  },
  'retry-after-without-limit': {
    file: 'oauth/token-response.ts',
    from: 'return seconds > 0 ? Math.min(Math.ceil(seconds), MAX_RETRY_AFTER_S) : undefined;',
    to: 'return seconds > 0 ? Math.ceil(seconds) : undefined;',
  },
  'back-off-resets': {
    file: PACE,
    from: 'isRefused ? rejectionBackoffMs(random) : backoffMs(this.#failures, random)',
    to: 'isRefused ? rejectionBackoffMs(random) : backoffMs(1, random)',
  },
  'refused-secret-retried-soon': {
    file: PACE,
    from: "const isRefused = response.kind === 'rejected';",
    to: 'const isRefused = false;',
  },
  'waiters-fail-at-first-try': {
    file: SOURCE,
    from: 'else this.#waiters.fail(outcome.error, this.#pace.retryInMs(true));',
    to: 'else this.#waiters.fail(outcome.error, Number.POSITIVE_INFINITY);',
  },
  'working-secret-forgotten': {
    file: 'oauth/secret-failover.ts',
    from: "      if (accepted) accepted = sameIn(next, accepted) ?? { ...accepted, name: 'replaced' };\n      all = withOlder(next);",
    to: '      all = next;',
  },
  'token-dropped-with-server': {
    file: SOURCE,
    from: '    this.#pace.fail(response);\n',
    to: '    this.#pace.fail(response);\n    this.#token = undefined;\n',
  },
  'no-retry-while-nobody-calls': {
    file: SOURCE,
    from: "if (this.#phase() !== 'fresh' && this.#mayFetchNow()) void this.#fetchShared();",
    to: "if (this.#phase() === 'early' && this.#mayFetchNow()) void this.#fetchShared();",
  },
  'no-renewal-while-nobody-calls': {
    file: SOURCE,
    from: '#wake(): void {\n',
    to: "#wake(): void {\n    if (this.#phase() === 'early') return;\n",
  },
};
