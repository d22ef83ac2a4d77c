/**
 * Every error the sidecar responds or exits with, in one table. The code is the API: RFC 9457 member `code`, header
 * `X-Sidecar-Error`, metric label, `check` finding. The text is static and public. Evidence goes into `fields` (logged
 * by allow-list), the original error into `cause` (never leaves the process).
 */
import type { Failure } from './failure.ts';

interface ErrorRow {
  /** HTTP status of the response to a caller. */
  readonly status: number;
  /** Exit code of a command that ends with this error. */
  readonly exit: number;
  readonly title: string;
  /** What to do about it. */
  readonly detail: string;
}

export const ERRORS = {
  CONFIG_INVALID: {
    status: 500,
    exit: 2,
    title: 'The configuration is not valid',
    detail: 'Correct every problem listed, then start again. `aritma-sidecar config schema` prints what is allowed.',
  },
  SIDECAR_LISTEN_FAILED: {
    status: 500,
    exit: 3,
    title: 'Cannot listen',
    detail: 'Another program may use the address, or the sidecar lacks permission. The output or log has the reason.',
  },
  SIDECAR_AUDIT_FAILED: {
    status: 503,
    exit: 2,
    title: 'The audit log cannot be written',
    detail: 'Free disk space or correct the logged problem, or set `audit.whenFailing: report`.',
  },
  SIDECAR_INTERNAL: {
    status: 500,
    exit: 1,
    title: 'Unexpected error in the sidecar',
    detail: 'This is a bug in the sidecar. Its log has the details under this request id: report them.',
  },
  SIDECAR_STOPPED: {
    status: 503,
    exit: 4,
    title: 'The sidecar stopped before the request finished',
    detail: 'If `mayHaveExecuted` is true, ask the API whether it executed the request before you send it again.',
  },
  SIDECAR_OVERLOADED: {
    status: 503,
    exit: 1,
    title: 'The sidecar is overloaded',
    detail: 'Too many connections (`limits.connections`) or too little memory (`limits.heapShare`). Try again later.',
  },
  CALLER_REQUEST_INVALID: {
    status: 400,
    exit: 1,
    title: 'The request is malformed',
    detail: 'Host, request target or headers are not valid HTTP/1.1 (RFC 9112). Correct the calling program.',
  },
  CALLER_HEADERS_TOO_LARGE: {
    status: 431,
    exit: 1,
    title: 'Request headers are too large',
    detail: 'Send fewer or shorter headers: at most 100 headers and 16 KiB in total.',
  },
  CALLER_TARGET_TOO_LONG: {
    status: 414,
    exit: 1,
    title: 'The request target is too long',
    detail: 'Send at most 8192 characters of path and query.',
  },
  CALLER_BODY_TOO_LARGE: {
    status: 413,
    exit: 1,
    title: 'The request body is too large',
    detail: 'The body is larger than `limits.requestBody`. The API did not receive a complete request.',
  },
  CALLER_METHOD_REFUSED: {
    status: 405,
    exit: 1,
    title: 'The sidecar never forwards this method',
    detail: 'TRACE and CONNECT would expose the token or bypass the checks of the sidecar.',
  },
  CALLER_TIMEOUT: {
    status: 408,
    exit: 1,
    title: 'The request did not arrive in time',
    detail: 'The calling program stopped in the middle of its request. The API did not receive a complete request.',
  },
  CALLER_ABORTED: {
    status: 499,
    exit: 1,
    title: 'The caller closed the connection',
    detail: 'The calling program did not wait for the complete response. Only log and metrics show this code.',
  },
  CALLER_EXPECTATION: {
    status: 417,
    exit: 1,
    title: 'The Expect header is not supported',
    detail: 'The sidecar supports only `Expect: 100-continue`.',
  },
  CALLER_KEY: {
    status: 403,
    exit: 1,
    title: 'The caller sent no valid key',
    detail: 'Send the key in `X-Sidecar-Key`, or with HTTP Basic: user = name of the caller, password = key.',
  },
  CALLER_LIMIT: {
    status: 429,
    exit: 1,
    title: 'Too many requests',
    detail: 'This caller or route reached a limit; the sidecar forwarded nothing. Try again after `Retry-After`.',
  },
  CALLER_TOKEN_IN_QUERY: {
    status: 400,
    exit: 1,
    title: 'The query contains an access token',
    detail: 'Remove `access_token`: the sidecar adds the token, and a URL must not contain one (RFC 6750 §2).',
  },
  CALLER_HOST: {
    status: 421,
    exit: 1,
    title: 'The Host header does not name this sidecar',
    detail: 'Use an address the sidecar listens on, or add the name to `callers.hosts`.',
  },
  CALLER_ORIGIN: {
    status: 403,
    exit: 1,
    title: 'Requests from web pages are refused',
    detail: 'Origin, Sec-Fetch-Site or Referer shows that a web page sent it. Only programs may call this port.',
  },
  CALLER_FORWARDED: {
    status: 403,
    exit: 1,
    title: 'Forwarded requests are refused',
    detail: 'Another proxy sent this request. Set `callers.allowForwarded: true` if that proxy is yours.',
  },
  CALLER_LOOP: {
    status: 403,
    exit: 1,
    title: 'The request loops',
    detail: 'It already passed through a sidecar (`Via`): the upstream of a route points back here. Correct it.',
  },
  ROUTE_NOT_FOUND: {
    status: 404,
    exit: 1,
    title: 'No route for this path',
    detail: 'The path matches no configured route. `/status` on the admin port lists the routes.',
  },
  ROUTE_NOT_ALLOWED: {
    status: 403,
    exit: 1,
    title: 'The route does not allow this method and path',
    detail: 'To permit this call, add it to `allow` of the route. `POST /shutdown` needs `adminActions: true`.',
  },
  TOKEN_UNAVAILABLE: {
    status: 503,
    exit: 6,
    title: 'No access token is available right now',
    detail: 'The identity server is unreachable, or its response is malformed. The log has the cause.',
  },
  CREDENTIALS_REJECTED: {
    status: 503,
    exit: 5,
    title: 'The identity server refuses the credentials',
    detail: 'It does not accept client id, client secret, grant or scope. Run `aritma-sidecar check`.',
  },
  UPSTREAM_UNREACHABLE: {
    status: 502,
    exit: 7,
    title: 'The API cannot be reached',
    detail: 'The connection failed (DNS, network or TLS). If `mayHaveExecuted` is false, it is safe to try again.',
  },
  UPSTREAM_BUSY: {
    status: 503,
    exit: 7,
    title: 'All connections to the API are in use',
    detail: 'None became free within `timeouts.queue`. If `mayHaveExecuted` is false, it is safe to try again.',
  },
  UPSTREAM_RESET: {
    status: 502,
    exit: 7,
    title: 'The connection to the API broke before the response',
    detail: 'If `mayHaveExecuted` is true, ask the API whether it executed the request before you send it again.',
  },
  UPSTREAM_TIMEOUT: {
    status: 504,
    exit: 7,
    title: 'The API did not respond in time',
    detail: 'If `mayHaveExecuted` is true, ask the API whether it executed the request before you send it again.',
  },
  UPSTREAM_INVALID: {
    status: 502,
    exit: 7,
    title: 'The API’s response is not valid HTTP',
    detail: 'If `mayHaveExecuted` is true, ask the API whether it executed the request before you send it again.',
  },
  UPSTREAM_REFUSED_TOKEN: {
    status: 502,
    exit: 7,
    title: 'The API refuses the token',
    detail: 'The identity server issued the token, but the API responds with 401. Check scope and audience.',
  },
  IAM_REFUSED: {
    status: 502,
    exit: 8,
    title: 'Aritma IAM refuses the operation',
    detail: 'The token needs the scope `services.iam` and administrator rights. Read the problem that IAM returned.',
  },
  IAM_NOT_FOUND: {
    status: 502,
    exit: 8,
    title: 'Aritma IAM does not find the object',
    detail: 'Check the id, and that the token is for the right tenant.',
  },
  IAM_CONFLICT: {
    status: 502,
    exit: 8,
    title: 'The operation conflicts with data in Aritma IAM',
    detail: 'List the existing objects with `aritma-sidecar iam`. Correct them or the operation.',
  },
  IAM_UNAVAILABLE: {
    status: 502,
    exit: 6,
    title: 'Aritma IAM does not respond',
    detail: 'Try again later. Before you create something again, check that it does not exist; `rotate` checks itself.',
  },
  IAM_INVALID: {
    status: 502,
    exit: 6,
    title: 'Aritma IAM sent a malformed response',
    detail: 'Check `iam.url`: a proxy or another program may respond instead of IAM.',
  },
  ROTATION_LOCKED: {
    status: 503,
    exit: 8,
    title: 'Another process is rotating this secret',
    detail: 'Nothing to do: the others pick up the new secret. The lock of a dead process is removed automatically.',
  },
  ROTATION_NOT_VERIFIED: {
    status: 503,
    exit: 9,
    title: 'The new secret did not work',
    detail: 'It was deleted; the old secret stays in use. Try again, or raise `rotation.verifyFor`.',
  },
  ROTATION_NOT_RETIRED: {
    status: 503,
    exit: 9,
    title: 'The old secret was not deleted',
    detail: 'The new one may not be in use yet; the last working one is never deleted. Find the cause, then try again.',
  },
  ROTATION_TOO_MANY_SECRETS: {
    status: 503,
    exit: 8,
    title: 'The client has too many secrets for a rotation',
    detail: 'Delete unused ones (`iam secrets delete`). A program that needs its own secret needs its own client.',
  },
  ROTATION_STORE_FAILED: {
    status: 503,
    exit: 8,
    title: 'Cannot save the secret or the rotation journal',
    detail: 'Make the folder writable. EPERM: run as owner of the file. EBUSY: mount its folder. Fleet: see `reason`.',
  },
  ROTATION_JOURNAL_INVALID: {
    status: 503,
    exit: 8,
    title: 'The rotation journal is not valid',
    detail: 'It was edited, or a later version wrote it. Restore a backup: without it, secrets it created remain.',
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorExtras {
  /** Seconds, sent as `Retry-After`. */
  readonly retryAfterS?: number;
  /** Whether the server may have executed the request. */
  readonly mayHaveExecuted?: boolean;
  /** Evidence for the log (allow-listed there), never for a caller. */
  readonly fields?: Readonly<Record<string, string | number | boolean>>;
  /** The concrete failure; replaces the text of the table. */
  readonly failure?: Failure | undefined;
  readonly cause?: unknown;
  /** For CONFIG_INVALID; contains no values. */
  readonly problems?: readonly { readonly where: string; readonly path: string; readonly message: string }[];
}

/** An expected failure with a stable code. Anything else that is thrown becomes SIDECAR_INTERNAL. */
export class SidecarError extends Error {
  readonly code: ErrorCode;
  readonly extras: ErrorExtras;

  constructor(code: ErrorCode, extras: ErrorExtras = {}) {
    super(`${code}: ${ERRORS[code].title}`, { cause: extras.cause });
    this.name = 'SidecarError';
    this.code = code;
    this.extras = extras;
  }
}
