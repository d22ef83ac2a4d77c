/**
 * One GET within a deadline, as a value: what came back, or why nothing did.
 */
import type { Dispatcher } from 'undici';
import type { LoadedConfig } from '../config/load.ts';
import { type BoundedRequest, type BoundedResponse, sendBounded } from '../net/bounded-request.ts';

export interface Question extends Pick<BoundedRequest, 'path' | 'headers' | 'maxBytes'> {
  readonly limitMs: number;
}

export type Outcome =
  | { readonly response: BoundedResponse; failed?: never }
  | { readonly failed: unknown; response?: never };

/** Never throws, never follows a redirect. A response is one once its head is there; a body that is too large is as good as none. */
export async function ask(dispatcher: Dispatcher, { limitMs: deadlineMs, ...question }: Question): Promise<Outcome> {
  const { response, failed } = await sendBounded(dispatcher, { method: 'GET', deadlineMs, ...question });
  return response ? { response } : { failed };
}

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

/** The same configuration with shorter time limits: what takes longer is worth a finding. */
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
