/**
 * Notifies systemd of the state of the process: ready, reloading, stopping, alive (sd_notify(3)). Node cannot send to datagram
 * sockets, so `systemd-notify` sends the messages; a unit needs `NotifyAccess=all` for that.
 */
import { execFile } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';

/** How long the end of the process waits for the last message. */
const LAST_MESSAGE_MS = 1000;

export interface SupervisorSettings {
  /** From NOTIFY_SOCKET. */
  readonly socket: string;
  /** From WATCHDOG_USEC; undefined = no watchdog. */
  readonly watchdogMs: number | undefined;
}

export interface Supervisor {
  ready(status: string): void;
  reloading(): void;
  /** Also ends the watchdog: draining may take longer than its interval. Resolves when sent, or after one second. */
  stopping(): Promise<void>;
}

/** @param onFailure called once, with the error code of the system, when systemd cannot be notified */
export function createSupervisor(
  settings: SupervisorSettings | undefined,
  onFailure: (errno: string) => void,
): Supervisor {
  if (!settings) return { ready: nothing, reloading: nothing, stopping: async () => undefined };
  const notify = notifier(settings.socket, onFailure);
  let stopWatching = nothing;
  return {
    ready(status) {
      void notify(['READY=1', `STATUS=${status}`]);
      stopWatching();
      stopWatching = watch(settings.watchdogMs, notify);
    },
    reloading() {
      // CLOCK_MONOTONIC, as Type=notify-reload wants it.
      void notify(['RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`]);
    },
    async stopping() {
      stopWatching();
      const limit = setTimeout(LAST_MESSAGE_MS, undefined, { ref: false });
      await Promise.race([notify(['STOPPING=1', 'STATUS=draining']), limit]);
    },
  };
}

function nothing(): void {
  // No supervisor.
}

/** Resolves when the message is sent or has failed. */
type Notify = (lines: readonly string[]) => Promise<void>;

/** Sends one message after the other: `READY` must arrive after `RELOADING`. */
function notifier(socket: string, onFailure: (errno: string) => void): Notify {
  let last = Promise.resolve();
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
    return last;
  };
}

/**
 * Sends no sign of life while the event loop is too slow to serve, so that systemd restarts the process. On a busy machine one
 * message may take longer than the interval: the next one is left out, so that no other message waits behind a queue of them.
 */
function watch(watchdogMs: number | undefined, notify: Notify): () => void {
  if (watchdogMs === undefined) return nothing;
  // It wakes an idle process that often, and finds every delay longer than this.
  const delay = monitorEventLoopDelay({ resolution: Math.max(20, Math.floor(watchdogMs / 20)) });
  delay.enable();
  let isSending = false;
  const timer = setInterval(async () => {
    const worstMs = delay.max / 1e6;
    delay.reset();
    if (isSending || worstMs >= watchdogMs / 2) return;
    isSending = true;
    await notify(['WATCHDOG=1']);
    isSending = false;
  }, watchdogMs / 3).unref();
  return () => {
    clearInterval(timer);
    delay.disable();
  };
}
