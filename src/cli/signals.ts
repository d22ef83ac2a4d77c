/**
 * From start to exit code: waits for a stop signal and drains; a second signal stops at once. Opens the log in the format that
 * suits its output and flushes it before the end.
 */

import type { LoadedConfig } from '../config/load.ts';
import { createLog, type Log } from '../core/log.ts';

export interface LifecycleOptions {
  readonly log: Log;
  /** Drains and closes. Returns true when every running request finished. */
  readonly stop: () => Promise<boolean>;
  /** Resolves when a stop is requested by other means than a signal. */
  readonly requested?: Promise<void>;
  /** What SIGHUP does; by default it writes a line to the log. */
  readonly onHangup?: () => void;
  /** The current platform by default. */
  readonly platform?: NodeJS.Platform;
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGBREAK'] as const;
const DRAINED = 0;
const CUT_SHORT = 4;

/** Resolves with the exit code: 0 stopped and drained, 4 drain limit reached or second signal. */
export function untilStopped(options: LifecycleOptions): Promise<number> {
  const { log, stop, requested, onHangup, platform = process.platform } = options;
  return new Promise((resolve, reject) => {
    let stopping = false;
    const begin = (reason: string) => {
      if (stopping) {
        log.warn('second signal, stopping at once', { signal: reason });
        resolve(CUT_SHORT);
        return;
      }
      stopping = true;
      log.info('stopping', { signal: reason });
      stop().then((drained) => {
        log.info(drained ? 'stopped' : 'drain limit reached, running requests were cut off');
        resolve(drained ? DRAINED : CUT_SHORT);
      }, reject);
    };
    for (const signal of SIGNALS) process.on(signal, () => begin(signal));
    // On Windows, SIGHUP means that the console closes: Windows ends the process ten seconds later.
    if (platform === 'win32') process.on('SIGHUP', () => begin('SIGHUP'));
    // Without a listener, SIGHUP would end the process and every running request.
    else process.on('SIGHUP', onHangup ?? (() => log.warn('SIGHUP ignored')));
    requested?.then(() => begin('POST /shutdown'), reject);
  });
}

/** `auto` means text on a terminal and JSON elsewhere. */
export function openLog({ level, format }: LoadedConfig['config']['log']): Log {
  const text = format === 'text' || (format === 'auto' && process.stdout.isTTY);
  return createLog({ level, format: text ? 'text' : 'json' });
}

/** Waits for the exit code, then until the last log line is written. */
export async function finish(log: Log, code: Promise<number>): Promise<number> {
  const result = await code;
  await log.flush();
  return result;
}
