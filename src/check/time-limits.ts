/**
 * How long the doctor waits: every probe ends, whatever the other side does, so that the whole check takes less than
 * half a minute even when everything hangs.
 */
import type { LoadedConfig } from '../config/load.ts';

/** `credential` is for all of its steps together; with `upstream` after it, that is the longest way through. */
export const LIMIT_MS = {
  credential: 18_000,
  network: 4000,
  discovery: 3000,
  tokens: 8000,
  keys: 2000,
  upstream: 5000,
  listener: 1500,
};

/** Resolves with `late()` when `work` takes longer. What `work` comes to afterwards is nobody's concern. */
export async function within<T>(limitMs: number, work: Promise<T>, late: () => T): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  const timer = setTimeout(() => resolve(late()), limitMs);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}

/** The same configuration with less patience: what takes longer than this is worth a finding. */
export function withShortTimeLimits(loaded: LoadedConfig): LoadedConfig {
  const { config } = loaded;
  const { connect, firstByte, idle } = config.timeouts;
  const timeouts = {
    ...config.timeouts,
    connect: Math.min(connect, LIMIT_MS.network),
    firstByte: Math.min(firstByte, LIMIT_MS.upstream),
    idle: Math.min(idle, LIMIT_MS.upstream),
  };
  const token = { ...config.token, attemptTimeout: Math.min(config.token.attemptTimeout, LIMIT_MS.tokens / 2) };
  return { ...loaded, config: { ...config, timeouts, token } };
}
