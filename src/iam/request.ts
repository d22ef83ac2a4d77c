/**
 * Sends one request to Aritma IAM and judges the response. Hides the token, deadlines, size bounds and the format of
 * error bodies. Promises that no error repeats the request's body, which may hold a secret.
 */
import type { Dispatcher } from 'undici';
import { SidecarError } from '../core/errors.ts';
import type { Secret } from '../core/secret.ts';
import { sendBounded } from '../net/bounded-request.ts';
import { problemText } from './problem-text.ts';

export interface IamConnection {
  readonly dispatcher: Dispatcher;
  /** The path before `/v1`, without a slash at the end. */
  readonly basePath: string;
  /**
   * Returns the value for `Authorization`. With `refused`, IAM just responded with 401 to that one: returns another, if
   * any.
   * @throws SidecarError TOKEN_UNAVAILABLE | CREDENTIALS_REJECTED
   */
  readonly authorize: (refused?: Secret) => Promise<Secret>;
  /** Limit for one request, from connecting to the last byte, in ms. */
  readonly deadlineMs: number;
}

export interface IamRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path after the base path, percent-encoded, with its query. */
  readonly path: string;
  readonly body?: unknown;
  /** Masked in errors, like the token. */
  readonly secret?: Secret;
}

export interface IamResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Parsed JSON; undefined for an empty body. */
  readonly json: unknown;
}

/** Far more than a page of 200 long descriptions. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;
const MAX_RETRY_AFTER_S = 300;

/**
 * Sends one request. After a 401, retries once with another token, if there is one.
 * @throws SidecarError IAM_REFUSED (401, 403 and other 4xx), IAM_NOT_FOUND (404), IAM_CONFLICT (409), IAM_UNAVAILABLE
 * (network, 408, 429, 5xx), IAM_INVALID (a response the API does not document); with `mayHaveExecuted` when IAM may
 * have made the change; TOKEN_UNAVAILABLE, CREDENTIALS_REJECTED
 */
export async function sendIam(connection: IamConnection, request: IamRequest): Promise<IamResponse> {
  const token = await connection.authorize();
  const response = await exchange(connection, request, token);
  if (response.status !== 401) return judge(request, response);
  const other = await connection.authorize(token);
  return judge(
    request,
    other.fingerprint() === token.fingerprint() ? response : await exchange(connection, request, other),
  );
}

interface RawResponse {
  readonly status: number;
  readonly headers: IamResponse['headers'];
  readonly text: string;
  /** The token of the request. */
  readonly token: Secret;
}

async function exchange(connection: IamConnection, request: IamRequest, token: Secret): Promise<RawResponse> {
  const { dispatcher, basePath, deadlineMs } = connection;
  const outcome = await sendBounded(dispatcher, {
    method: request.method,
    path: basePath + request.path,
    headers: {
      authorization: token.reveal(),
      accept: 'application/json',
      ...(request.body !== undefined && { 'content-type': 'application/json' }),
    },
    body: request.body === undefined ? undefined : JSON.stringify(request.body),
    ...{ deadlineMs, maxBytes: MAX_BODY_BYTES },
  });
  if (outcome.failed) throw unavailable(request, outcome.isLate ? 'timeout' : errnoOf(outcome.failed), outcome.failed);
  const { status, headers, body: text } = outcome.response;
  if (outcome.tooLarge) throw invalid(request, status, 'the response is larger than 4 MiB');
  return { status, headers, text, token };
}

function judge(request: IamRequest, response: RawResponse): IamResponse {
  const { status, headers, text } = response;
  const json = parse(text);
  if (status >= 200 && status < 300) {
    if (json === NOT_JSON) throw invalid(request, status, 'not JSON');
    return { status, headers, json };
  }
  throw refusal(request, response, json === NOT_JSON ? undefined : json);
}

function refusal(request: IamRequest, { status, headers, token }: RawResponse, body: unknown): SidecarError {
  const problem = problemText(body, request.secret ? [token, request.secret] : [token]);
  const fields = { ...about(request), status, ...(problem !== '' && { problem }) };
  if (status === 404) return new SidecarError('IAM_NOT_FOUND', { fields });
  if (status === 409) return new SidecarError('IAM_CONFLICT', { fields });
  if (status === 408 || status === 429 || status >= 500) {
    const retryAfterS = seconds(headers['retry-after']);
    // 429 means that nothing was done; after a gateway's 5xx, IAM may have made the change.
    const mayHaveExecuted = isChange(request) && status !== 429;
    return new SidecarError('IAM_UNAVAILABLE', { fields, mayHaveExecuted, ...(retryAfterS && { retryAfterS }) });
  }
  if (status >= 400) return new SidecarError('IAM_REFUSED', { fields });
  return invalid(request, status, 'a redirect; redirects are not followed');
}

/** undici's parser errors have a name but no code. */
function errnoOf(error: unknown): string {
  const { code, name } = error as { code?: unknown; name?: unknown };
  return String(code ?? name);
}

const isChange = ({ method }: IamRequest) => method !== 'GET';

/** Method and path, without the query: a search text does not belong in a log. */
function about({ method, path }: IamRequest) {
  return { operation: `${method} ${path.replace(/\?.*$/, '')}` };
}

function unavailable(request: IamRequest, errno: string, cause?: unknown): SidecarError {
  const fields = { ...about(request), errno };
  // With these errors the server received nothing.
  const mayHaveExecuted =
    isChange(request) && !/^(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|UND_ERR_CONNECT_TIMEOUT)$/.test(errno);
  return new SidecarError('IAM_UNAVAILABLE', { fields, mayHaveExecuted, cause });
}

function invalid(request: IamRequest, status: number, reason: string): SidecarError {
  return new SidecarError('IAM_INVALID', {
    fields: { ...about(request), status, reason },
    mayHaveExecuted: isChange(request),
  });
}

const NOT_JSON = Symbol('not JSON');

function parse(text: string): unknown {
  if (text.trim() === '') return undefined;
  try {
    return JSON.parse(text.replace(/^\uFEFF/, '')) as unknown;
  } catch {
    return NOT_JSON;
  }
}

/** Reads `Retry-After` in seconds (RFC 9110 §10.2.3). A date is rare: the usual back-off applies. */
function seconds(value: string | string[] | undefined): number | undefined {
  return typeof value === 'string' && /^\d{1,6}$/.test(value) ? Math.min(Number(value), MAX_RETRY_AFTER_S) : undefined;
}
