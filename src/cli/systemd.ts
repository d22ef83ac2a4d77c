/**
 * Notifies systemd of the state of the process: ready, reloading, stopping, alive (sd_notify(3)). Node cannot send to datagram
 * sockets, so `systemd-notify` sends the messages; a unit needs `NotifyAccess=all` for that.
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
  /** Also ends the watchdog: draining may take longer than its interval. */
  stopping(): void;
}

/** @param onFailure called once, with the error code of the system, when systemd cannot be notified */
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
  // No supervisor.
}

type Notify = (lines: readonly string[]) => void;

/** Sends one message after the other: `READY` must arrive after `RELOADING`. */
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
            // Node's permission model without --allow-child-process throws.
            told(error as { code?: unknown });
          }
        }),
    );
  };
}

/** Sends no sign of life while the event loop is too slow to serve, so that systemd restarts the process. */
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
