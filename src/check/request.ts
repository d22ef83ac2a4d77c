/**
 * Sends one GET within a deadline and returns the response, or why there is none.
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

/**
 * Never throws, never follows a redirect. The status and headers are enough for a response: the body may be too large.
 */
export async function ask(dispatcher: Dispatcher, { limitMs: deadlineMs, ...question }: Question): Promise<Outcome> {
  const { response, failed } = await sendBounded(dispatcher, { method: 'GET', deadlineMs, ...question });
  return response ? { response } : { failed };
}

/**
 * Time limits in ms. `credential` is for all steps of a credential; `credential` plus `upstream` is the longest a check
 * takes.
 */
export const LIMIT_MS = {
  credential: 18_000,
  network: 4000,
  discovery: 3000,
  tokens: 8000,
  keys: 2000,
  upstream: 5000,
  listener: 1500,
};

/** Returns the configuration with shorter time limits: what takes longer gets a finding. */
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
