/**
 * The log of a command that keeps running: opened in the format that suits its output, flushed before it ends.
 */
import type { LoadedConfig } from '../config/load.ts';
import { createLog, type Log } from '../core/log.ts';

/** `auto` means text for a terminal and JSON for anything else. */
export function openLog({ level, format }: LoadedConfig['config']['log']): Log {
  const text = format === 'text' || (format === 'auto' && process.stdout.isTTY);
  return createLog({ level, format: text ? 'text' : 'json' });
}

/** Waits for the exit code, then until the last line is out. */
export async function finish(log: Log, code: Promise<number>): Promise<number> {
  const result = await code;
  await log.flush();
  return result;
}
