/** Reads CPU time, wake-ups and resident memory of a process and its children from Linux. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

/** Unit of /proc/PID/stat; the same on every Linux that Node runs on. */
const TICKS_PER_S = 100;

/** Returns the processes and all their descendants. */
export function treeOf(pids: readonly number[]): number[] {
  return pids.flatMap((pid) => [pid, ...treeOf(childrenOf(pid))]);
}

/** Returns the CPU seconds (user and system) of exactly these processes so far, in nanoseconds if the kernel counts them. */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (scheduledSeconds(pid) ?? statSeconds(pid)), 0);
}

/** Returns how often all their threads have waited for something and gone on, so far. Misses threads that have ended. */
export function wakeUps(pids: readonly number[]): number {
  const tasks = pids.flatMap((pid) => tasksOf(pid).map((task) => `/proc/${pid}/task/${task}/status`));
  const counts = tasks.map((file) => /^voluntary_ctxt_switches:\s+(\d+)$/m.exec(read(file) ?? '')?.[1]);
  return counts.reduce((sum, count) => sum + Number(count ?? 0), 0);
}

/** Returns bytes; shared memory counts for each process. */
export function residentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + kibOf(pid, 'VmRSS') * 1024, 0);
}

/** Returns the bytes of it that are not mapped files. */
export function anonymousBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + kibOf(pid, 'RssAnon') * 1024, 0);
}

/** Returns the maximum so far, in bytes. */
export function peakResidentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + kibOf(pid, 'VmHWM') * 1024, 0);
}

/** Resets the maximum, if the kernel allows it. */
export function resetPeak(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, '5');
    } catch {
      // Then the maximum is since the start, which can only make a subject look worse.
    }
  }
}

function childrenOf(pid: number): number[] {
  return tasksOf(pid).flatMap((task) =>
    (read(`/proc/${pid}/task/${task}/children`) ?? '').split(' ').filter(Boolean).map(Number),
  );
}

/** Misses threads that have ended, but subjects keep theirs. */
function scheduledSeconds(pid: number): number | undefined {
  const times = tasksOf(pid).map((task) => read(`/proc/${pid}/task/${task}/schedstat`));
  if (times.length === 0 || times.includes(undefined)) return undefined;
  return times.reduce((sum, line) => sum + Number(line?.split(' ')[0]) / 1e9, 0);
}

function statSeconds(pid: number): number {
  // The name in brackets may contain anything.
  const fields = (read(`/proc/${pid}/stat`) ?? '').replace(/^.*\) /s, '').split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_S;
}

function kibOf(pid: number, field: 'VmRSS' | 'VmHWM' | 'RssAnon'): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(read(`/proc/${pid}/status`) ?? '')?.[1] ?? 0);
}

function tasksOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
