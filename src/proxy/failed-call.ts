/**
 * The record of a failed call, beside its route, status and time: enough to ask the API about its outcome, and nothing of
 * its content.
 */
import type { Failure } from '../core/failure.ts';

export interface FailedCall {
  /** Undefined when the API itself responded with an error. */
  readonly code: string | undefined;
  readonly method: string;
  readonly requestId: string;
  readonly failure: Failure | undefined;
  /** True when bytes may have left before it failed; undefined when the API responded. */
  readonly mayHaveExecuted: boolean | undefined;
  /** The key it was sent with. */
  readonly idempotencyKey: string | undefined;
}

/** Called at the end of every request. @param failed set when the request failed @param ms duration */
export type OnFinished = (
  route: string | undefined,
  status: number,
  ms: number,
  failed: FailedCall | undefined,
) => void;

const MAX_KEY_LENGTH = 64;
const KEY_NAME = /^idempotency[-_]key$/i;
const PRINTABLE = /^[!-~]+$/;

/**
 * Returns the idempotency key of a call, from the caller or from the sidecar, to show to operators: at most 64 characters.
 * Undefined when there is none, or when it is not printable ASCII without blanks.
 * @param headers flat lists of names and values; the first list with a key counts
 * @example
 * idempotencyKeyOf(['Idempotency-Key', 'a-1']); // 'a-1'
 */
export function idempotencyKeyOf(...headers: readonly (readonly string[])[]): string | undefined {
  const key = headers.flatMap((flat) => {
    const index = flat.findIndex((name, at) => at % 2 === 0 && KEY_NAME.test(name));
    return index === -1 ? [] : (flat[index + 1] ?? '');
  })[0];
  if (key === undefined || !PRINTABLE.test(key)) return undefined;
  return key.length > MAX_KEY_LENGTH ? `${key.slice(0, MAX_KEY_LENGTH)}…` : key;
}
