/** Worker processes of a sidecar, seen from outside; Linux only. */
import { readdirSync, readFileSync } from 'node:fs';

/** Those whose parent this is, oldest first. */
export function workersOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => parentOf(child) === pid && read(`/proc/${child}/cmdline`).endsWith('\0worker\0'))
    .sort((one, other) => one - other);
}

export function isAlive(pid: number): boolean {
  return !/^State:\s+Z/m.test(read(`/proc/${pid}/status`) || 'State: Z');
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(read(`/proc/${pid}/status`))?.[1]);
}

/** Empty when it has gone since. */
function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
