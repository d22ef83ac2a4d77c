/**
 * One HTTP request with a bound on time and on the size of the response, whatever the server does. Tokens, keys and
 * lists are a few KiB; a larger response must not cost memory.
 */
import { type Dispatcher, Pool } from 'undici';

export interface BoundedRequest extends Pick<Dispatcher.RequestOptions, 'method' | 'path'> {
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | undefined;
  /** Ms from the start to the last byte of the body. */
  readonly deadlineMs: number;
  /** Limit of the body; 0 = read only status and headers. */
  readonly maxBytes: number;
}

export interface BoundedResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export type BoundedOutcome =
  /** `tooLarge`: status and headers are the server's, the body is empty. */
  | { readonly response: BoundedResponse; readonly tooLarge: boolean; readonly failed?: never; readonly isLate?: never }
  /** `code` is ETIMEDOUT when the time is up; `isConnected` is false if there was no connection by then. */
  | {
      readonly failed: Error & { readonly code?: unknown };
      readonly isLate: boolean;
      readonly isConnected?: boolean;
      readonly response?: never;
      readonly tooLarge?: never;
    };

/** Sends the request. Never throws, never follows a redirect. Closes a connection that did not deliver everything. */
export async function sendBounded(dispatcher: Dispatcher, request: BoundedRequest): Promise<BoundedOutcome> {
  const abort = new AbortController();
  // undici ignores an abort until it is connected, so the deadline also resolves by itself.
  return await within(request.deadlineMs, send(dispatcher, request, abort.signal), () => {
    const isConnected = !(dispatcher instanceof Pool) || dispatcher.stats.connected > 0;
    abort.abort();
    return { failed: Object.assign(new Error('too late'), { code: 'ETIMEDOUT' }), isLate: true, isConnected };
  });
}

async function send(dispatcher: Dispatcher, request: BoundedRequest, signal: AbortSignal): Promise<BoundedOutcome> {
  const { method, path, body = null, maxBytes } = request;
  // A compressed response could be a decompression bomb: it is not requested and never decompressed.
  const headers = { 'accept-encoding': 'identity', ...request.headers };
  try {
    const response = await dispatcher.request({ method, path, headers, body, signal });
    const text = await readCapped(response.body, maxBytes);
    const head = { status: response.statusCode, headers: response.headers };
    return { response: { ...head, body: text ?? '' }, tooLarge: text === undefined };
  } catch (failed) {
    return { failed: failed as Error, isLate: false };
  }
}

/**
 * Resolves with `late()` when `work` takes longer than `limitMs`; rejects with what `late` throws. The later result of
 * `work` is ignored.
 */
export async function within<T>(limitMs: number, work: Promise<T>, late: () => T): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, limitMs);
  try {
    // `late` runs in a promise: an error thrown in the timer would end the process.
    return await Promise.race([work, promise.then(late)]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}

/** Returns the text, or undefined beyond `maxBytes`; the connection is then closed. */
async function readCapped(body: Dispatcher.ResponseData['body'], maxBytes: number): Promise<string | undefined> {
  if (maxBytes === 0) {
    body.on('error', () => undefined).destroy();
    return '';
  }
  const chunks: Buffer[] = [];
  let length = 0;
  // Leaving the loop early destroys the stream and the connection.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Parses a JSON object; undefined for anything else. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text.replace(/^\uFEFF/, ''));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
