/**
 * Sends one token request; `interpretTokenResponse` decides what the response means. Every outcome is a value, and no part of
 * a response body gets into an error or a log line.
 */
import { type Dispatcher, errors } from 'undici';
import { type BoundedOutcome, sendBounded } from '../net/bounded-request.ts';
import { failureAt } from '../net/connection-errors.ts';
import type { Place } from '../net/place.ts';
import { refusalWords } from './token-errors.ts';
import { interpretTokenResponse, type RawResponse, type TokenResponse } from './token-response.ts';

export interface TokenRequest {
  readonly dispatcher: Dispatcher;
  readonly path: string;
  readonly form: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  /** Time limit from connecting to the last byte, ms. */
  readonly deadlineMs: number;
  /** Epoch ms; default: this machine's clock. */
  readonly now?: (() => number) | undefined;
  /** Gets the raw response before it is interpreted: `check` reports more than the result keeps. */
  readonly onResponse?: (response: RawResponse) => void;
  /** Names the server in failure messages. */
  readonly place?: Place | undefined;
}

/** A token response has a few KiB; anything larger is something else. */
const MAX_BODY_BYTES = 64 * 1024;

/**
 * Sends one token request (RFC 6749 §4.4.2) and interprets the response. Never throws, never follows a redirect.
 * @example
 * const response = await sendTokenRequest({ dispatcher, path: '/connect/token', form, headers: {}, deadlineMs: 5000 });
 */
export async function sendTokenRequest(request: TokenRequest): Promise<TokenResponse> {
  const outcome = await sendBounded(request.dispatcher, {
    method: 'POST',
    path: request.path,
    headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded', ...request.headers },
    body: request.form.toString(),
    deadlineMs: request.deadlineMs,
    maxBytes: MAX_BODY_BYTES,
  });
  if (outcome.failed && !outcome.isLate) return unreachable(outcome.failed, request.place);
  if (outcome.failed && outcome.isConnected === false) return notConnected(outcome.failed, request);
  if (outcome.response && !outcome.tooLarge) request.onResponse?.(outcome.response);
  return withFailure(interpretOutcome(outcome, (request.now ?? Date.now)()), outcome.response, request.place?.target);
}

function unreachable(error: Error, place: Place | undefined): TokenResponse {
  return { kind: 'unavailable', result: transportClass(error), failure: place && failureAt(error, place) };
}

/** The total time limit ended before the connect time limit: reported as a connect timeout. */
function notConnected(error: Error, { place, deadlineMs }: TokenRequest): TokenResponse {
  const late = place?.proxy === undefined ? error : PROXY_SILENT;
  const seconds = Math.min(place?.seconds ?? Number.POSITIVE_INFINITY, deadlineMs / 1000);
  return { kind: 'unavailable', result: 'timeout', failure: place && failureAt(late, { ...place, seconds }) };
}

const PROXY_SILENT = { code: 'PROXY_TUNNEL', cause: { code: 'ETIMEDOUT' } };

function interpretOutcome(outcome: BoundedOutcome, nowMs: number): TokenResponse {
  if (outcome.failed) return { kind: 'unavailable', result: 'timeout' };
  if (outcome.tooLarge) return { kind: 'malformed', result: 'body_too_large' };
  return interpretTokenResponse(outcome.response, nowMs);
}

/** Adds the failure message to a failed response that has none. @param host `id.aritma.io:443` */
export function withFailure(
  response: TokenResponse,
  raw: RawResponse | undefined,
  host: string | undefined,
): TokenResponse {
  if (response.kind === 'token' || response.failure || host === undefined) return response;
  return { ...response, failure: { ...refusalWords(response, raw), host } };
}

/** Returns one of a closed list, because it becomes a metric label. */
function transportClass(error: unknown): string {
  const code = String((error as { code?: unknown }).code);
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') return 'timeout';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'dns';
  if (code === 'ECONNREFUSED') return 'refused';
  if (/^(CERT_|ERR_TLS|ERR_SSL|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH)/.test(code)) return 'tls';
  if (error instanceof errors.HTTPParserError || code === 'UND_ERR_HEADERS_OVERFLOW') return 'not_http';
  return 'network';
}
