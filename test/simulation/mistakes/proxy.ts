/** In sending a call, and sending it again. */
import type { Mistake } from './mistakes.ts';

const REPLAY = 'proxy/replay.ts';

export const PROXY_MISTAKES: Readonly<Record<string, Mistake>> = {
  'payment-again-on-stale-connection': {
    file: REPLAY,
    from: 'return untouched && methods.every(isSafe) && route.wasReused(error);',
    to: 'return untouched && route.wasReused(error);',
  },
  'again-with-same-token': {
    file: REPLAY,
    from: '  return tokens.renew(stale);',
    to: '  tokens.renewLater(stale);\n  return stale;',
  },
  'reset-cannot-have-executed': {
    file: 'proxy/exchange.ts',
    from: 'return this.sent > 0 || this.error?.extras.mayHaveExecuted === true;',
    to: "return this.sent > 0 && this.error?.code !== 'UPSTREAM_RESET';",
  },
  'any-401-blames-token': {
    file: REPLAY,
    from: '  if (challenges.length === 0) return isSafe;',
    to: '  if (challenges.length === 0) return true;',
  },
  'missing-scope-blames-token': {
    file: REPLAY,
    from: 'return bearers.length > 0 && !bearers.some(wantsScope);',
    to: 'return bearers.length > 0;',
  },
  'ended-token-after-wait': {
    file: 'proxy/forward.ts',
    from: 'else if (this.#route.tokens.isOver(this.#token)) {',
    to: 'else if (this.#givenUp) {',
  },
  'streamed-body-again': {
    file: REPLAY,
    from: "if (route.replayOn401 === 'once' && body.kind !== 'stream') {",
    to: "if (route.replayOn401 === 'once') {",
  },
  'again-and-again': {
    file: REPLAY,
    from: 'if (sent > most || !blamesToken(',
    to: 'if (!blamesToken(',
  },
};
