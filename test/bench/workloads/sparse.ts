/**
 * Calls as an ERP makes them: one every few seconds, over TLS to an API some way off that does not say how long it keeps a
 * connection. What counts is how long a call takes, and whether it needed a connection of its own.
 */
import { get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { setupFor, type World } from '../lanes.ts';
import { startDelayedWay } from '../load/delay.ts';
import { originOf, type Subject } from '../subjects/subject.ts';

export interface SparseResult {
  readonly subject: string;
  /** Between two calls; 0 = in a row. */
  readonly pauseS: number;
  /** Of each call. */
  readonly ms: readonly number[];
  /** To the API, that these calls made. */
  readonly connections: number;
  readonly errors: number;
}

export interface SparseOptions {
  readonly subject: Subject;
  /** With a connection that is kept ready. */
  readonly warm?: boolean;
  /** How often with which pause, in this order. */
  readonly calls: readonly { readonly pauseS: number; readonly count: number }[];
}

/** Half of what a call of 40 ms takes. */
const ONE_WAY_MS = 20;
/** The first calls compile code, fill the pool, and get the ticket of a TLS session. */
const WARM_UP = 10;

export async function runSparse(
  world: World,
  { subject, warm = false, calls }: SparseOptions,
): Promise<SparseResult[]> {
  // After a pause, this process must not have to compile its own code again: that would count for the subject.
  setFlagsFromString('--no-flush-bytecode');
  const setup = setupFor(world, { name: 'tls' });
  const way = await startDelayedWay(setup.upstreamPort, ONE_WAY_MS);
  const delayed = { ...setup, upstreamPort: way.port };
  const config = { routes: [{ path: '/api', upstream: `${originOf(delayed)}/api`, warm: true }] };
  const running = await subject.start(warm ? { ...delayed, sidecar: { ...setup.sidecar, config } } : delayed);
  const results: SparseResult[] = [];
  try {
    for (let index = 0; index < WARM_UP; index += 1) await callOnce(running.port);
    for (const { pauseS, count } of calls) {
      const before = way.connections();
      const ms: number[] = [];
      let errors = 0;
      for (let index = 0; index < count; index += 1) {
        await pause(pauseS * 1000);
        const took = await callOnce(running.port);
        if (took === undefined) errors += 1;
        else ms.push(took);
      }
      const connections = way.connections() - before;
      results.push({ subject: subject.name + (warm ? ', warm' : ''), pauseS, ms, connections, errors });
    }
    return results;
  } finally {
    await running.stop();
    way.close();
  }
}

/** @returns ms until the last byte; undefined where it is no 200 */
function callOnce(port: number): Promise<number | undefined> {
  const startedAt = performance.now();
  return new Promise((resolve) => {
    get({ port, host: '127.0.0.1', path: '/api/small', agent: false }, (response) => {
      response
        .resume()
        .on('end', () => resolve(response.statusCode === 200 ? performance.now() - startedAt : undefined));
    }).on('error', () => resolve(undefined));
  });
}
