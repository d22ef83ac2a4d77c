/** Mistakes planted into the modules as they are loaded: each has to be found, or an invariant is missing. */
export interface Mistake {
  /** Below `src/`. */
  readonly file: string;
  readonly right: string;
  readonly wrong: string;
}

export const MISTAKES: Readonly<Record<string, Mistake>> = {
  usesExpiredTokens: {
    file: 'oauth/refresh-policy.ts',
    right: "if (age >= lifespan.usableForMs) return 'expired';",
    wrong: "if (age >= lifespan.usableForMs + 3_600_000) return 'expired';",
  },
  forgetsTimeAsleep: {
    file: 'core/clock.ts',
    right: 'Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs)',
    wrong: 'now.monotonicMs - since.monotonicMs',
  },
  trustsTheWallClock: {
    file: 'core/clock.ts',
    right: 'Math.max(now.wallMs - since.wallMs, now.monotonicMs - since.monotonicMs)',
    wrong: 'now.wallMs - since.wallMs',
  },
  asksTwice: { file: 'oauth/token-source.ts', right: 'this.#flight ??= this.#fetch', wrong: 'this.#flight = this.#fetch' },
  ignoresRetryAfter: {
    file: 'oauth/request-pace.ts',
    right: '(response.retryAfterS ?? 0) * 1000',
    wrong: '0',
  },
  dropsTokenWithServer: {
    file: 'oauth/token-source.ts',
    right: 'this.#pace.fail(response);',
    wrong: 'this.#pace.fail(response); this.#token = undefined;',
  },
  keepsRefusedToken: {
    file: 'oauth/token-source.ts',
    right: 'this.#refused = stale;\n    this.#token = undefined;',
    wrong: 'this.#refused = stale;',
  },
  sendsPaymentsAgain: { file: 'proxy/replay.ts', right: 'untouched && methods.every(isSafe)', wrong: 'untouched' },
  promisesTooMuch: {
    file: 'proxy/failed-call.ts',
    right: 'mayHaveExecuted: started',
    wrong: 'mayHaveExecuted: false',
  },
  forgetsToTryAgain: {
    file: 'oauth/token-source.ts',
    right: "if (this.#phase() !== 'fresh' && this.#mayFetchNow()) void this.#fetchShared();",
    wrong: "if (this.#phase() === 'early' && this.#mayFetchNow()) void this.#fetchShared();",
  },
  readsHalfFiles: {
    file: 'config/watch.ts',
    right: 'is !== known.get(file) && is === candidate.get(file)',
    wrong: 'is !== known.get(file)',
  },
};

/** @throws Error when the module has changed so that the mistake has to be written anew */
export function plant({ file, right, wrong }: Mistake, url: string, source: string): string {
  if (!url.endsWith(`/src/${file}`)) return source;
  if (!source.includes(right)) throw new Error(`${file} has no ${right} any more`);
  return source.replace(right, wrong);
}
