/**
 * Server-sent events for open pages (WHATWG HTML §9.2): the new state after a change, at most once a second. A closed
 * page leaves nothing behind. A page that reads too slowly misses states instead of queueing them.
 */
import type { ServerResponse } from 'node:http';

export interface LiveOptions<Kind> {
  /** Renders the current content of that kind of page. */
  readonly render: (kind: Kind) => string;
  readonly headers: Readonly<Record<string, string>>;
  readonly intervalMs?: number;
  /** Without a change for this long, a heartbeat is sent: the page counts as stale after five seconds. */
  readonly heartbeatMs?: number;
}

export interface Live<Kind> {
  /**
   * Sends the current state and every later one. Returns false, without a response, for too many pages or after
   * `drain`.
   */
  attach(res: ServerResponse, kind: Kind): boolean;
  /** Sends the last state, ends every response and accepts no more. */
  drain(): void;
  listeners(): number;
}

interface Listener<Kind> {
  readonly res: ServerResponse;
  readonly kind: Kind;
  sent: string | undefined;
  /** Time since the last write. */
  quietMs: number;
}

const MAX_LISTENERS = 20;
/** A reader that took nothing for this long is disconnected. */
const STALLED_MS = 60_000;

/** Creates the event streams of all pages; sends only while pages are open. */
export function createLive<Kind>(options: LiveOptions<Kind>): Live<Kind> {
  const { render, intervalMs = 1000, heartbeatMs = 2000 } = options;
  const listeners = new Set<Listener<Kind>>();
  let timer: NodeJS.Timeout | undefined;
  let draining = false;

  const leave = (listener: Listener<Kind>) => {
    listeners.delete(listener);
    if (listeners.size === 0) clearInterval(timer);
  };
  const tell = () => {
    const states = new Map<Kind, string>();
    for (const listener of listeners) {
      const state = states.get(listener.kind) ?? render(listener.kind);
      states.set(listener.kind, state);
      update(listener, state, { intervalMs, heartbeatMs });
    }
  };
  const tick = () => {
    try {
      tell();
    } catch {
      // A bug in the page must not end a process that serves callers; `GET /` shows the error.
      for (const { res } of listeners) res.destroy();
    }
  };

  return {
    attach(res, kind) {
      if (draining || listeners.size >= MAX_LISTENERS) return false;
      const state = render(kind);
      const listener: Listener<Kind> = { res, kind, sent: undefined, quietMs: 0 };
      res.once('close', () => leave(listener)).on('error', () => leave(listener));
      res.writeHead(200, { ...options.headers, 'Content-Type': 'text/event-stream; charset=utf-8' });
      if (listeners.size === 0) timer = setInterval(tick, intervalMs).unref();
      listeners.add(listener);
      update(listener, state, { intervalMs, heartbeatMs });
      return true;
    },
    drain() {
      draining = true;
      tick();
      for (const { res } of listeners) res.end();
    },
    listeners: () => listeners.size,
  };
}

function update<Kind>(
  listener: Listener<Kind>,
  state: string,
  { intervalMs, heartbeatMs }: { readonly intervalMs: number; readonly heartbeatMs: number },
): void {
  const { res } = listener;
  if (res.destroyed) return;
  listener.quietMs += intervalMs;
  if (res.writableNeedDrain) {
    if (listener.quietMs > STALLED_MS) res.destroy();
    return;
  }
  if (state !== listener.sent) {
    listener.sent = state;
    // JSON has no line break, which would end the event.
    res.write(`data: ${JSON.stringify({ now: Date.now(), main: state })}\n\n`);
  } else if (listener.quietMs >= heartbeatMs) res.write(`event: heartbeat\ndata: ${Date.now()}\n\n`);
  else return;
  listener.quietMs = 0;
}
