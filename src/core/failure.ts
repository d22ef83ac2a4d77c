/**
 * One description of a failure: between the sidecar and a server, or something a caller or an operator has to change.
 * It is created where the failure happens. The log, the response to the caller, `/status`, the page and `check` all use
 * it, so they all say the same.
 */

/** What is wrong and what to do about it. Contains no secret and nothing of a response body. */
export interface Words {
  /** Stable and finer than the error code: `tls_unknown_ca`. From closed tables, so it may be a metric label. */
  readonly cause: string;
  /** What is wrong and where, as a clause without its full stop. */
  readonly message: string;
  /** What to do, as a clause without its full stop. */
  readonly fix: string;
}

export interface Failure extends Words {
  /** The server, `id.aritma.io:443`; absent when no server is involved. */
  readonly host?: string;
}

/**
 * Returns message and fix as two sentences.
 * @example sentences({ cause: 'disk_full', message: 'the disk is full', fix: 'free space' })
 * // 'The disk is full. Free space.'
 */
export function sentences({ message, fix }: Words): string {
  return `${sentence(message)} ${sentence(fix)}`;
}

/** Adds the capital letter and the full stop. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** The failure as fields of the log. */
export function failureFields(failure: Failure | undefined) {
  if (failure === undefined) return undefined;
  const { cause, host, message: reason, fix } = failure;
  return { cause, host, reason, fix };
}
