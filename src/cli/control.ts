/**
 * Talks to a running sidecar through its admin listener: waits until it is ready, asks how it is, asks it to stop.
 */

import { type Dispatcher, Pool } from 'undici';
import type { Address } from '../config/parsers.ts';
import { sleep } from '../core/clock.ts';
import { formatAddress } from '../net/listen.ts';

export type Probe = 'live' | 'started' | 'ready';

const PATHS: Readonly<Record<Probe, string>> = { live: '/livez', started: '/startupz', ready: '/readyz' };
const POLL_MS = 100;
const ATTEMPT_MS = 2000;
/** Even a busy process responds within this. */
const LEAST_ATTEMPT_MS = 500;

/** Polls until the probe says 200. False when `maxMs` pass first; asks at least once. */
export async function waitFor(admin: Address, probe: Probe, maxMs: number): Promise<boolean> {
  const giveUpAt = performance.now() + maxMs;
  for (;;) {
    const attemptMs = Math.min(ATTEMPT_MS, Math.max(LEAST_ATTEMPT_MS, giveUpAt - performance.now()));
    if ((await call(admin, 'GET', PATHS[probe], attemptMs)) === 200) return true;
    if (performance.now() + POLL_MS > giveUpAt) return false;
    await sleep(POLL_MS);
  }
}

/** Asks for a drain and stop. The status of the response: 202 accepted, 403 switched off; undefined without one. */
export function requestShutdown(admin: Address): Promise<number | undefined> {
  return call(admin, 'POST', '/shutdown');
}

/** With hundreds of routes it is some 100 KiB. */
const MAX_STATUS_BYTES = 16 * 1024 * 1024;

/** What `/status` responds with, undefined without a response. `text` is undefined where it is none of a sidecar's size. */
export function requestStatus(
  admin: Address,
): Promise<{ readonly status: number; readonly text: string | undefined } | undefined> {
  return ask(admin, { method: 'GET', path: '/status', timeoutMs: ATTEMPT_MS }, async ({ statusCode: status, body }) => {
    const chunks: Buffer[] = [];
    let left = MAX_STATUS_BYTES;
    for await (const chunk of body) {
      left -= (chunk as Buffer).length;
      if (left < 0) return { status, text: undefined };
      chunks.push(chunk as Buffer);
    }
    return { status, text: Buffer.concat(chunks).toString() };
  });
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
    // Not there yet, or not responding: the caller waits until both have passed.
    return undefined;
  } finally {
    await pool.destroy();
  }
}

/** A listener on every address is reached on loopback. */
function reachable(address: Extract<Address, { kind: 'tcp' }>): Address {
  if (address.host === '0.0.0.0') return { ...address, host: '127.0.0.1' };
  return address.host === '::' ? { ...address, host: '::1' } : address;
}
