/**
 * Ten thousand callers at once before there is any token: the identity server holds its answer back until all of them
 * have asked. One token request should do for all.
 */
import { readFileSync } from 'node:fs';
import { setupFor, type World } from '../lanes.ts';
import type { LoadResult } from '../load/job.ts';
import { SIDECAR } from '../subjects/sidecar.ts';
import { startUpstream } from '../upstream.ts';
import { PLAIN, SMALL_BYTES } from './workload.ts';

export interface ColdResult {
  readonly callers: number;
  readonly tokenRequests: number;
  readonly result: LoadResult;
}

/** Nobody's deadline is to pass while ten thousand connections are being opened on a slow machine. */
const CONFIG = { limits: { connections: 20_000 }, token: { attemptTimeout: '60s', waitTimeout: '60s' } };
const ANSWERED_MS = 60_000;
/** Of descriptors, for what is not a caller's connection. */
const SPARE = 1000;

/** @param wanted callers; fewer where the system does not allow so many open files */
export async function runCold(world: World, wanted: number): Promise<ColdResult> {
  const callers = Math.min(wanted, openFilesLimit() - SPARE);
  const { upstream, generator } = world;
  const setup = setupFor(world, PLAIN);
  // Its own, because the other sidecars of the bench go on renewing their tokens.
  const identity = await startUpstream();
  const subject = await SIDECAR.start({
    ...setup,
    tokenEndpoint: `http://127.0.0.1:${identity.port}/connect/held`,
    sidecar: { ...setup.sidecar, config: CONFIG, cold: true },
  });
  try {
    const result = await generator.run(
      {
        ...{ port: subject.port, method: 'GET', path: '/api/small', sendBytes: 0, expectBytes: SMALL_BYTES },
        ...{ shape: 'once', connections: callers, warmMs: 0, measureMs: ANSWERED_MS },
        ...{ pids: subject.pids, measuringPids: [upstream.pid] },
      },
      identity.release,
    );
    return { callers, tokenRequests: await identity.tokenRequests(), result };
  } finally {
    await Promise.all([subject.stop(), identity.stop()]);
  }
}

/** Node raises its own to what it may have. */
function openFilesLimit(): number {
  try {
    const hard = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return Number(hard ?? Infinity);
  } catch {
    return Infinity;
  }
}
