/**
 * Tells systemd what the process is up to: ready, reloading, stopping, and alive (sd_notify(3)). Node cannot send to
 * datagram sockets, so systemd's own small program does; units need `NotifyAccess=all` for that.
 */
import { execFile } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface SupervisorSettings {
  /** From NOTIFY_SOCKET. */
  readonly socket: string;
  /** From WATCHDOG_USEC; undefined = no watchdog. */
  readonly watchdogMs: number | undefined;
}

export interface Supervisor {
  ready(status: string): void;
  reloading(): void;
  /** Ends the watchdog, too: draining may take as long as it is configured to. */
  stopping(): void;
}

/** @param onFailure told once when systemd cannot be told anything, with the system's code */
export function createSupervisor(
  settings: SupervisorSettings | undefined,
  onFailure: (errno: string) => void,
): Supervisor {
  if (!settings) return { ready: nothing, reloading: nothing, stopping: nothing };
  const notify = notifier(settings.socket, onFailure);
  let stopWatching = nothing;
  return {
    ready(status) {
      notify(['READY=1', `STATUS=${status}`]);
      stopWatching();
      stopWatching = watch(settings.watchdogMs, notify);
    },
    reloading() {
      // CLOCK_MONOTONIC, as Type=notify-reload wants it.
      notify(['RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`]);
    },
    stopping() {
      stopWatching();
      notify(['STOPPING=1', 'STATUS=draining']);
    },
  };
}

function nothing(): void {
  // Nobody is listening.
}

type Notify = (lines: readonly string[]) => void;

/** One after the other: systemd has to hear `READY` after `RELOADING`. */
function notifier(socket: string, onFailure: (errno: string) => void): Notify {
  let last: Promise<unknown> = Promise.resolve();
  let failed = false;
  return (lines) => {
    last = last.then(
      () =>
        new Promise<void>((resolve) => {
          const options = { env: { NOTIFY_SOCKET: socket, PATH: '/usr/bin:/bin' }, timeout: 5000 };
          const told = (error: { code?: unknown } | null) => {
            if (error && !failed) {
              failed = true;
              onFailure(String(error.code ?? 'failed'));
            }
            resolve();
          };
          try {
            execFile('systemd-notify', lines, options, told);
          } catch (error) {
            // Under Node's permission model without --allow-child-process.
            told(error as { code?: unknown });
          }
        }),
    );
  };
}

/** A loop that is too slow to serve must not look alive: then systemd starts a new one. */
function watch(watchdogMs: number | undefined, notify: Notify): () => void {
  if (watchdogMs === undefined) return nothing;
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  const timer = setInterval(() => {
    const worstMs = delay.max / 1e6;
    delay.reset();
    if (worstMs < watchdogMs / 2) notify(['WATCHDOG=1']);
  }, watchdogMs / 3).unref();
  return () => {
    clearInterval(timer);
    delay.disable();
  };
}
