/**
 * One HTTP request that ends: within its time, whatever the other side does, and with no more of a body than is wanted.
 * Servers asked for tokens, keys and lists send a few KiB, and whatever is larger must not cost memory.
 */
import { type Dispatcher, Pool } from 'undici';

export interface BoundedRequest extends Pick<Dispatcher.RequestOptions, 'method' | 'path'> {
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  /** From the start to the last byte of the body, ms. */
  readonly deadlineMs: number;
  /** 0 = only the head counts. */
  readonly maxBytes: number;
}

export interface BoundedResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export type BoundedOutcome =
  /** `tooLarge`: the head is the server's, the body is left out. */
  | { readonly response: BoundedResponse; readonly tooLarge: boolean; readonly failed?: never; readonly isLate?: never }
  /** `code` is ETIMEDOUT when the time is up, `isConnected` false if not even a connection was there by then. */
  | {
      readonly failed: Error & { readonly code?: unknown };
      readonly isLate: boolean;
      readonly isConnected?: boolean;
      readonly response?: never;
      readonly tooLarge?: never;
    };

/** Never throws, never follows a redirect. A connection that has not delivered everything is ended. */
export async function sendBounded(dispatcher: Dispatcher, request: BoundedRequest): Promise<BoundedOutcome> {
  const abort = new AbortController();
  // undici hears an abort only once it is connected, so the deadline also has a voice of its own.
  return await within(request.deadlineMs, send(dispatcher, request, abort.signal), () => {
    const isConnected = !(dispatcher instanceof Pool) || dispatcher.stats.connected > 0;
    abort.abort();
    return { failed: Object.assign(new Error('too late'), { code: 'ETIMEDOUT' }), isLate: true, isConnected };
  });
}

async function send(dispatcher: Dispatcher, request: BoundedRequest, signal: AbortSignal): Promise<BoundedOutcome> {
  const { method, path, body = null, maxBytes } = request;
  // A compressed response could be a decompression bomb, so none is asked for and none is unpacked.
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
 * Resolves with `late()` when `work` takes longer than `limitMs`; rejects with what `late` throws. What `work` comes to
 * afterwards is nobody's concern.
 */
export async function within<T>(limitMs: number, work: Promise<T>, late: () => T): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, limitMs);
  try {
    // Thrown in the timer itself, it would end the process.
    return await Promise.race([work, promise.then(late)]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}

/** The text, or undefined past `maxBytes`; the connection is then ended. */
async function readCapped(body: Dispatcher.ResponseData['body'], maxBytes: number): Promise<string | undefined> {
  if (maxBytes === 0) {
    body.on('error', () => undefined).destroy();
    return '';
  }
  const chunks: Buffer[] = [];
  let length = 0;
  // Leaving the loop early destroys the stream and with it the connection.
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** A JSON object, or undefined for everything else. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text.replace(/^\uFEFF/, ''));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
