/**
 * Calls the admin listener of a running sidecar: waits until it is ready, reads its state, asks it to stop.
 */

import { type Dispatcher, Pool } from 'undici';
import type { Address } from '../config/parsers.ts';
import { sleep } from '../core/clock.ts';
import { formatAddress } from '../net/listen.ts';

export type Probe = 'live' | 'started' | 'ready';

const PATHS: Readonly<Record<Probe, string>> = { live: '/livez', started: '/startupz', ready: '/readyz' };
const POLL_MS = 100;
const ATTEMPT_MS = 2000;
/** Even a busy process responds within this time. */
const LEAST_ATTEMPT_MS = 500;

/** Polls until the probe returns 200, at least once. Returns false when `maxMs` pass first. */
export async function waitFor(admin: Address, probe: Probe, maxMs: number): Promise<boolean> {
  const giveUpAt = performance.now() + maxMs;
  for (;;) {
    const attemptMs = Math.min(ATTEMPT_MS, Math.max(LEAST_ATTEMPT_MS, giveUpAt - performance.now()));
    if ((await call(admin, 'GET', PATHS[probe], attemptMs)) === 200) return true;
    if (performance.now() + POLL_MS > giveUpAt) return false;
    await sleep(POLL_MS);
  }
}

/** Asks for a drain and stop. Returns the HTTP status: 202 accepted, 403 not allowed; undefined without a response. */
export function requestShutdown(admin: Address): Promise<number | undefined> {
  return call(admin, 'POST', '/shutdown');
}

/** With hundreds of routes, `/status` has some 100 KiB, and metrics more. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024;

/** Reads a path; undefined without a response. `text` is undefined when it is longer than any sidecar sends, or does not end. */
export function requestText(
  admin: Address,
  path: '/status' | '/metrics' | '/support?doctor=no',
  timeoutMs = ATTEMPT_MS,
): Promise<{ readonly status: number; readonly text: string | undefined } | undefined> {
  return ask(admin, { method: 'GET', path, timeoutMs }, async ({ statusCode: status, body }) => {
    const text = await wholeText(body).catch(() => undefined);
    return { status, text };
  });
}

async function wholeText(body: AsyncIterable<Buffer>): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let left = MAX_TEXT_BYTES;
  for await (const chunk of body) {
    left -= chunk.length;
    if (left < 0) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function call(
  admin: Address,
  method: 'GET' | 'POST',
  path: string,
  timeoutMs = ATTEMPT_MS,
): Promise<number | undefined> {
  return ask(admin, { method, path, timeoutMs }, async ({ statusCode, body }) => {
    await body.dump();
    return statusCode;
  });
}

interface Question {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly timeoutMs: number;
}

async function ask<T>(
  admin: Address,
  { method, path, timeoutMs }: Question,
  read: (response: Dispatcher.ResponseData) => Promise<T>,
): Promise<T | undefined> {
  const origin = admin.kind === 'unix' ? 'http://localhost' : `http://${formatAddress(reachable(admin))}`;
  const pool = new Pool(origin, admin.kind === 'unix' ? { socketPath: admin.path } : {});
  try {
    return await read(await pool.request({ method, path, signal: AbortSignal.timeout(timeoutMs) }));
  } catch {
    // Not listening yet, or not responding: `waitFor` tries again.
    return undefined;
  } finally {
    await pool.destroy();
  }
}

/** Replaces "all addresses" with loopback. */
function reachable(address: Extract<Address, { kind: 'tcp' }>): Address {
  if (address.host === '0.0.0.0') return { ...address, host: '127.0.0.1' };
  return address.host === '::' ? { ...address, host: '::1' } : address;
}
