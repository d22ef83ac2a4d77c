/**
 * One account of a failure between the sidecar and a server, or of what a caller or an operator has to change: made where the failure is met, and carried as it is to the
 * log, the problem a caller gets, `/status`, the page and the doctor, so that all of them say the same.
 */

/** What is wrong, in plain words, and what to do about it. Holds no secret and nothing of a response's body. */
export interface Words {
  /** Stable and finer than the code: `tls_unknown_ca`, `proxy_credentials`. From closed tables, so it may be a label. */
  readonly cause: string;
  /** What and where. */
  readonly message: string;
  readonly fix: string;
}

export interface Failure extends Words {
  /** The server's, `id.aritma.io:443`; absent of what no server has a part in. */
  readonly host?: string;
}

/** As two sentences. */
export function sentences({ message, fix }: Words): string {
  return `${sentence(message)} ${sentence(fix)}`;
}

/** With a capital and a full stop. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** For the log, by its fields. */
export function failureFields(failure: Failure | undefined) {
  if (failure === undefined) return undefined;
  const { cause, host, message: reason, fix } = failure;
  return { cause, host, reason, fix };
}
