/**
 * One HTTP request that ends: within its time, whatever the other side does, and with no more of a body than is wanted.
 * Servers asked for tokens, keys and lists send a few KiB, and whatever is larger must not cost memory.
 */
import type { Dispatcher } from 'undici';

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

/** `too large` also comes with what the server said before. */
export type BoundedOutcome =
  | { readonly response: BoundedResponse; readonly tooLarge: boolean; readonly failed?: never }
  /** `code` is ETIMEDOUT when the time is up. */
  | { readonly failed: Error & { readonly code?: unknown }; readonly isLate: boolean; readonly response?: never };

/** Never throws, never follows a redirect. A connection that has not delivered everything is ended. */
export async function sendBounded(dispatcher: Dispatcher, request: BoundedRequest): Promise<BoundedOutcome> {
  const { deadlineMs, maxBytes, body = null, ...rest } = request;
  const signal = AbortSignal.timeout(deadlineMs);
  const late = () => ({ failed: Object.assign(new Error('too late'), { code: 'ETIMEDOUT' }), isLate: true });
  const send = async (): Promise<BoundedOutcome> => {
    try {
      const { statusCode: status, headers, body: content } = await dispatcher.request({ ...rest, body, signal });
      const text = await readCapped(content, maxBytes);
      return { response: { status, headers, body: text ?? '' }, tooLarge: text === undefined };
    } catch (failed) {
      return signal.aborted ? late() : { failed: failed as Error, isLate: false };
    }
  };
  // undici hears a signal only once it is connected, so the deadline also has a voice of its own.
  return await within(deadlineMs, send(), late);
}

/** Resolves with `late()` when `work` takes longer. What `work` comes to afterwards is nobody's concern. */
export async function within<T>(limitMs: number, work: Promise<T>, late: () => T): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  const timer = setTimeout(() => resolve(late()), limitMs);
  try {
    return await Promise.race([work, promise]);
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
