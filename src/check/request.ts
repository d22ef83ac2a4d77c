/**
 * One GET within a deadline, as a value: what came back, or why nothing did.
 */
import type { Dispatcher } from 'undici';
import { readCapped } from '../net/bounded-body.ts';
import type { RawResponse } from '../oauth/token-endpoint.ts';
import { within } from './time-limits.ts';

export interface Question {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly limitMs: number;
  /** How much of the body to read; the rest is cut. */
  readonly maxBytes: number;
}

export type Outcome =
  | { readonly response: RawResponse; failed?: never }
  | { readonly failed: unknown; response?: never };

/** Never throws, never follows a redirect. */
export async function ask(dispatcher: Dispatcher, question: Question): Promise<Outcome> {
  const { path, headers, limitMs, maxBytes } = question;
  const get = async (): Promise<Outcome> => {
    const response = await dispatcher.request({ method: 'GET', path, headers, signal: AbortSignal.timeout(limitMs) });
    const body = await read(response.body, maxBytes);
    return { response: { status: response.statusCode, headers: response.headers, body } };
  };
  // undici hears a signal only once it is connected, so the deadline also has a voice of its own.
  return within(
    limitMs,
    get().catch((failed: unknown) => ({ failed })),
    () => ({ failed: { code: 'ETIMEDOUT' } }),
  );
}

/** An answer is an answer once its head is there; a body that breaks off is as good as none. */
async function read(body: Dispatcher.ResponseData['body'], maxBytes: number): Promise<string> {
  if (maxBytes > 0) return (await readCapped(body, maxBytes)) ?? '';
  body.on('error', () => undefined).destroy();
  return '';
}
