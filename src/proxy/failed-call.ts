/**
 * What is kept of a call that did not get an ordinary response, besides its route, status and time: enough to ask the API what
 * became of it, and nothing of its content.
 */
import type { Failure } from '../core/failure.ts';

export interface FailedCall {
  /** Undefined where the API itself responded with an error. */
  readonly code: string | undefined;
  readonly method: string;
  readonly requestId: string;
  readonly failure: Failure | undefined;
  /** By what had left when it failed; undefined where the API responded. */
  readonly mayHaveExecuted: boolean | undefined;
  /** With which it was sent. */
  readonly idempotencyKey: string | undefined;
}

/** Told of every request that is over; `failed` of one that did not get an ordinary response. */
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
 * The key under which a call was sent, the caller's or one of ours; it is shown to operators. Undefined where there is none, and
 * where it is anything but printable ASCII without blanks. Cut after 64 characters.
 * @param headers flat lists of names and values; the first that has a key counts
 */
export function idempotencyKeyOf(...headers: readonly (readonly string[])[]): string | undefined {
  const key = headers.flatMap((flat) => {
    const index = flat.findIndex((name, at) => at % 2 === 0 && KEY_NAME.test(name));
    return index === -1 ? [] : (flat[index + 1] ?? '');
  })[0];
  if (key === undefined || !PRINTABLE.test(key)) return undefined;
  return key.length > MAX_KEY_LENGTH ? `${key.slice(0, MAX_KEY_LENGTH)}…` : key;
}
