/** Many connections at once, and the times of a well-behaved caller meanwhile. */
import { readdirSync, readlinkSync } from 'node:fs';
import { type Caller, openCaller } from './caller.ts';

export interface Flood extends Disposable {
  readonly callers: readonly Caller[];
  /** Those that the sidecar has not closed. */
  open(): number;
}

/** Opens connections in rounds that fit any backlog. */
export async function openFlood(port: number, count: number, { paused = false } = {}): Promise<Flood> {
  const callers: Caller[] = [];
  while (callers.length < count) {
    const round = Math.min(100, count - callers.length);
    callers.push(...(await Promise.all(Array.from({ length: round }, () => openCaller(port, { paused })))));
  }
  return {
    callers,
    open: () => callers.filter(({ ending }) => ending === undefined).length,
    [Symbol.dispose]() {
      for (const { socket } of callers) socket.destroy();
    },
  };
}

/** Durations of calls made one after the other, ms, sorted. */
export async function timesOf(call: () => Promise<unknown>, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let made = 0; made < count; made += 1) {
    const startedAt = performance.now();
    await call();
    times.push(performance.now() - startedAt);
  }
  return times.sort((a, b) => a - b);
}

/** The 99th percentile of sorted values. */
export function p99(sorted: readonly number[]): number {
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN;
}

/** Open file descriptors of a process, without the one for file events, which comes and goes; only where there is /proc. */
export function descriptorsOf(pid: number | 'self'): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => !isForFileEvents(`/proc/${pid}/fd/${fd}`)).length;
}

function isForFileEvents(link: string): boolean {
  try {
    return readlinkSync(link) === 'anon_inode:inotify';
  } catch {
    // Closed meanwhile.
    return false;
  }
}

/** The next descriptor of the process: as its limit, it leaves the process none. */
export function nextDescriptorOf(pid: number): number {
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  let next = 0;
  while (used.has(next)) next += 1;
  return next;
}
