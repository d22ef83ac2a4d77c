/**
 * Every error the sidecar responds or exits with, in one table: the code is the API (RFC 9457 member `code`, header
 * `X-Sidecar-Error`, metric label, `check` finding). Text here is static and public; evidence travels in `fields`
 * (logged by allow-list) and the original in `cause` (never leaves the process).
 */
import type { Failure } from './failure.ts';

interface ErrorRow {
  /** HTTP status when a caller sees it. */
  readonly status: number;
  /** Process exit code when a command ends with it. */
  readonly exit: number;
  readonly title: string;
  /** What to do about it, for a person. */
  readonly detail: string;
}

export const ERRORS = {
  CONFIG_INVALID: {
    status: 500,
    exit: 2,
    title: 'Configuration is not valid',
    detail: 'Correct every problem listed, then start again. `aritma-sidecar config schema` prints what is allowed.',
  },
  SIDECAR_LISTEN_FAILED: {
    status: 500,
    exit: 3,
    title: 'Cannot listen',
    detail: 'Another program may have the address, or this one no permission for it. The reason is listed or logged.',
  },
  SIDECAR_AUDIT_FAILED: {
    status: 503,
    exit: 2,
    title: 'The audit log cannot be written',
    detail: 'Correct what is listed or logged: make room on its disk, or set `audit.whenFailing: report`.',
  },
  SIDECAR_INTERNAL: {
    status: 500,
    exit: 1,
    title: 'Unexpected error in the sidecar',
    detail: 'This is a defect in the sidecar. Its log has the details under this request id; please report them.',
  },
  SIDECAR_STOPPED: {
    status: 503,
    exit: 4,
    title: 'The sidecar was stopped before the request was finished',
    detail: 'If `mayHaveExecuted` is true, ask the API what became of the request before you send it again.',
  },
  SIDECAR_OVERLOADED: {
    status: 503,
    exit: 1,
    title: 'The sidecar has more to do than it can hold',
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
    detail: 'Send fewer or shorter headers: at most 100 of them and 16 KiB in all.',
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
    detail: 'It exceeds `limits.requestBody`. Nothing incomplete was passed on as complete.',
  },
  CALLER_METHOD_REFUSED: {
    status: 405,
    exit: 1,
    title: 'The method is never forwarded',
    detail: 'TRACE and CONNECT would expose the token or bypass the gate, so they are refused.',
  },
  CALLER_TIMEOUT: {
    status: 408,
    exit: 1,
    title: 'The request did not arrive in time',
    detail: 'The calling program stopped in the middle of its request. Nothing incomplete was passed on as complete.',
  },
  CALLER_ABORTED: {
    status: 499,
    exit: 1,
    title: 'The caller went away',
    detail: 'The calling program closed the connection before the response was complete; seen in log and metrics only.',
  },
  CALLER_EXPECTATION: {
    status: 417,
    exit: 1,
    title: 'Unknown expectation',
    detail: 'The only expectation understood is `Expect: 100-continue`.',
  },
  CALLER_KEY: {
    status: 403,
    exit: 1,
    title: 'The caller did not prove who it is',
    detail: 'Send a key: in `X-Sidecar-Key`, or unasked as HTTP Basic password with the caller’s name as user.',
  },
  CALLER_LIMIT: {
    status: 429,
    exit: 1,
    title: 'Too many requests',
    detail: 'A limit of this caller or route is reached; the request was not sent on. Try again after `Retry-After`.',
  },
  CALLER_TOKEN_IN_QUERY: {
    status: 400,
    exit: 1,
    title: 'The query holds an access token',
    detail: 'The sidecar adds the token itself, and none may stand in a URL (RFC 6750 §2). Leave `access_token` out.',
  },
  CALLER_HOST: {
    status: 421,
    exit: 1,
    title: 'Not a name of this sidecar',
    detail: 'The Host header must be an address the sidecar listens on. Add other names under `callers.hosts`.',
  },
  CALLER_ORIGIN: {
    status: 403,
    exit: 1,
    title: 'Browsers are refused',
    detail: 'Origin, Sec-Fetch-Site or Referer says that a web page sent it. Only programs may call this port.',
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
    title: 'The request goes in a circle',
    detail: 'It has passed through a sidecar already (`Via`): a route’s upstream points back here. Correct that route.',
  },
  ROUTE_NOT_FOUND: {
    status: 404,
    exit: 1,
    title: 'No route for this path',
    detail: 'The path starts with none of the configured route prefixes. `/status` on the admin port lists them.',
  },
  ROUTE_NOT_ALLOWED: {
    status: 403,
    exit: 1,
    title: 'Method and path are not on the route’s allow-list',
    detail: 'Add an entry to the route’s `allow` if this call is wanted. `POST /shutdown` needs `adminActions: true`.',
  },
  TOKEN_UNAVAILABLE: {
    status: 503,
    exit: 6,
    title: 'No access token is available right now',
    detail: 'The identity server cannot be reached, or its response is malformed. The log says which.',
  },
  CREDENTIALS_REJECTED: {
    status: 503,
    exit: 5,
    title: 'The identity server refuses the credentials',
    detail: 'Client id, secret, grant or scope is not accepted: run `aritma-sidecar check`.',
  },
  UPSTREAM_UNREACHABLE: {
    status: 502,
    exit: 7,
    title: 'The API cannot be reached',
    detail: 'No connection could be made (DNS, network or TLS). If `mayHaveExecuted` is false, trying again is safe.',
  },
  UPSTREAM_BUSY: {
    status: 503,
    exit: 7,
    title: 'All connections to the API are in use',
    detail: 'None became free within `timeouts.queue`. If `mayHaveExecuted` is false, trying again is safe.',
  },
  UPSTREAM_RESET: {
    status: 502,
    exit: 7,
    title: 'The API broke the connection before it responded',
    detail: 'If `mayHaveExecuted` is true, ask the API what became of the request before you send it again.',
  },
  UPSTREAM_TIMEOUT: {
    status: 504,
    exit: 7,
    title: 'The API did not respond in time',
    detail: 'If `mayHaveExecuted` is true, ask the API what became of the request before you send it again.',
  },
  UPSTREAM_INVALID: {
    status: 502,
    exit: 7,
    title: 'The API’s response is not valid HTTP',
    detail: 'If `mayHaveExecuted` is true, ask the API what became of the request before you send it again.',
  },
  UPSTREAM_REFUSED_TOKEN: {
    status: 502,
    exit: 7,
    title: 'The API refuses the token',
    detail: 'The token was issued but the API responds with 401: check scope and audience.',
  },
  IAM_REFUSED: {
    status: 502,
    exit: 8,
    title: 'Aritma IAM refuses the operation',
    detail: 'The token needs the scope `services.iam` and an administrator’s rights; see what IAM says of the problem.',
  },
  IAM_NOT_FOUND: {
    status: 502,
    exit: 8,
    title: 'Aritma IAM knows no such thing',
    detail: 'Check the id, and that the token belongs to the right tenant.',
  },
  IAM_CONFLICT: {
    status: 502,
    exit: 8,
    title: 'What Aritma IAM has contradicts the operation',
    detail: 'Look at what is there, with `aritma-sidecar iam`, and correct one or the other.',
  },
  IAM_UNAVAILABLE: {
    status: 502,
    exit: 6,
    title: 'Aritma IAM does not respond',
    detail: 'Try again later. Before you create something again, look if it is there; `rotate` does so by itself.',
  },
  IAM_INVALID: {
    status: 502,
    exit: 6,
    title: 'Aritma IAM sent a malformed response',
    detail: 'Check `iam.url`; a proxy or another program may be responding in its place.',
  },
  ROTATION_LOCKED: {
    status: 503,
    exit: 8,
    title: 'Somebody else is rotating this secret',
    detail: 'One does it, the others notice: nothing is left to do here. A holder that died is recognised by itself.',
  },
  ROTATION_NOT_VERIFIED: {
    status: 503,
    exit: 9,
    title: 'The new secret did not work',
    detail: 'It has been deleted again; the old one is still in force. Try again, or raise `rotation.verifyFor`.',
  },
  ROTATION_NOT_RETIRED: {
    status: 503,
    exit: 9,
    title: 'The old secret has not been deleted',
    detail: 'The new one may not be in use yet; the last that works is never deleted. Look why, then run it again.',
  },
  ROTATION_TOO_MANY_SECRETS: {
    status: 503,
    exit: 8,
    title: 'The client has more secrets than a rotation may replace',
    detail: 'Delete unused ones (`iam secrets delete`); programs that need their own secret need their own client.',
  },
  ROTATION_STORE_FAILED: {
    status: 503,
    exit: 8,
    title: 'The secret or the journal of its rotation cannot be kept',
    detail: 'Create the folder of the file, or make it writable; EPERM: run as owner; EBUSY: mount the folder.',
  },
  ROTATION_JOURNAL_INVALID: {
    status: 503,
    exit: 8,
    title: 'The journal of the rotation cannot be understood',
    detail: 'Changed by hand or of a later version. Restore it; without it, secrets it has created stay behind.',
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorExtras {
  /** Seconds; becomes `Retry-After`. */
  readonly retryAfterS?: number;
  /** Whether the other side may have acted on the request. */
  readonly mayHaveExecuted?: boolean;
  /** Evidence for the log (allow-listed there), never for a caller. */
  readonly fields?: Readonly<Record<string, string | number | boolean>>;
  /** What was met, for everybody; else the table's own words stand. */
  readonly failure?: Failure | undefined;
  readonly cause?: unknown;
  /** For CONFIG_INVALID. Holds no values. */
  readonly problems?: readonly { readonly where: string; readonly path: string; readonly message: string }[];
}

/** An expected failure with a stable code; whatever else is thrown counts as SIDECAR_INTERNAL. */
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
