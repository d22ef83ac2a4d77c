/**
 * From "it runs" to an exit code: waits for a stop signal, drains, and makes a second signal mean now. The log of what keeps
 * running is opened in the format that suits its output, and flushed before the end.
 */

import type { LoadedConfig } from '../config/load.ts';
import { createLog, type Log } from '../core/log.ts';

export interface LifecycleOptions {
  readonly log: Log;
  /** Drains and closes; true when everything running could finish. */
  readonly stop: () => Promise<boolean>;
  /** Resolves when somebody asks for a stop by other means than a signal. */
  readonly requested?: Promise<void>;
  /** What SIGHUP does; absent = nothing but a line in the log. */
  readonly onHangup?: () => void;
  /** This one by default. */
  readonly platform?: NodeJS.Platform;
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGBREAK'] as const;
const DRAINED = 0;
const CUT_SHORT = 4;

/** Resolves with the exit code: 0 asked to stop and drained, 4 drain limit hit or second signal. */
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
    // On Windows it means that the console is being closed: ten seconds later the process is gone, whatever it does.
    if (platform === 'win32') process.on('SIGHUP', () => begin('SIGHUP'));
    // Without a listener a hang-up would end the process and every request in it.
    else process.on('SIGHUP', onHangup ?? (() => log.warn('SIGHUP ignored')));
    requested?.then(() => begin('POST /shutdown'), reject);
  });
}

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
