/**
 * Ten thousand callers at once before there is a token: the identity server holds its response back until all of them have
 * sent their request. One token request should be enough for all.
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

/** Deadlines long enough to open ten thousand connections on a slow machine. */
const CONFIG = { limits: { connections: 20_000 }, token: { attemptTimeout: '60s', waitTimeout: '60s' } };
const ANSWERED_MS = 60_000;
/** File descriptors for everything except callers' connections. */
const SPARE = 1000;

/** @param wanted number of callers; fewer if the system does not allow enough open files */
export async function runCold(world: World, wanted: number): Promise<ColdResult> {
  const callers = Math.min(wanted, openFilesLimit() - SPARE);
  const { upstream, generator } = world;
  const setup = setupFor(world, PLAIN);
  // A separate one, because the other sidecars of the bench keep renewing their tokens.
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

/** Returns the hard limit: Node raises its own limit to it. */
function openFilesLimit(): number {
  try {
    const hard = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    return Number(hard ?? Infinity);
  } catch {
    return Infinity;
  }
}
