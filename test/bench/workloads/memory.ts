/** Resident memory after the start, and during a million requests of some callers at once. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Lanes, World } from '../lanes.ts';
import { anonymousBytes, residentBytes, treeOf } from '../load/processes.ts';
import type { Subject } from '../subjects/subject.ts';
import { PLAIN, SMALL_BYTES } from './workload.ts';

export interface MemoryResult {
  readonly subject: string;
  readonly connections: number;
  readonly idleBytes: number;
  /** Without mapped files: all processes that run the program share them. */
  readonly idleAnonymousBytes: number;
  /** Evenly spread over the requests. */
  readonly loadedBytes: readonly number[];
  readonly requests: number;
  readonly errors: Readonly<Record<string, number>>;
}

const READINGS = 10;
/** Time to collect the garbage of a start. */
const SETTLE_MS = 1000;

export interface MemoryOptions {
  readonly subject: Subject;
  readonly connections: number;
  /** Total number; 0 = only idle. */
  readonly requests: number;
}

export async function watchMemory(
  world: World,
  lanes: Lanes,
  { subject, connections, requests }: MemoryOptions,
): Promise<MemoryResult> {
  const running = await lanes.fresh({ subject, variant: PLAIN });
  const errors: Record<string, number> = {};
  const loadedBytes: number[] = [];
  try {
    await pause(SETTLE_MS);
    const tree = treeOf(running.pids);
    const [idleBytes, idleAnonymousBytes] = [residentBytes(tree), anonymousBytes(tree)];
    for (let reading = 0; requests > 0 && reading < READINGS; reading += 1) {
      const result = await world.generator.run({
        ...{ port: running.port, method: 'GET', path: '/api/small', sendBytes: 0, expectBytes: SMALL_BYTES },
        ...{ shape: 'closed', connections, warmMs: 0, measureMs: 0, requests: Math.ceil(requests / READINGS) },
        ...{ pids: running.pids, measuringPids: [] },
      });
      loadedBytes.push(result.residentBytes);
      for (const [error, count] of Object.entries(result.errors)) errors[error] = (errors[error] ?? 0) + count;
    }
    return { subject: subject.name, connections, idleBytes, idleAnonymousBytes, loadedBytes, requests, errors };
  } finally {
    await running.stop();
  }
}

/** Returns the last three readings divided by the three in the middle: above 1, memory still grows. */
export function driftOf({ loadedBytes }: Pick<MemoryResult, 'loadedBytes'>): number | undefined {
  if (loadedBytes.length < READINGS) return undefined;
  const sum = (from: number) => loadedBytes.slice(from, from + 3).reduce((all, bytes) => all + bytes, 0);
  return sum(READINGS - 3) / sum(3);
}
