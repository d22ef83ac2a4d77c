/**
 * Two connections as one, after an upgrade: bytes both ways with backpressure, for as long as both sides like, and one end
 * for both. What one side has sent before it ended still reaches the other.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** Firewalls forget idle connections silently; probes keep them open, and find out when the other machine is gone. */
const KEEP_ALIVE_PROBE_MS = 30_000;
/** When one side has ended and the other says nothing for this long, nothing more is to come. */
const QUIET_MS = 500;

/**
 * @param stallMs how long bytes may wait for a side that does not read them, once the other side has ended
 */
export function joinConnections(caller: Socket, upstream: Duplex, stallMs: number): void {
  for (const socket of [caller, upstream]) {
    if (socket instanceof Socket) socket.setTimeout(0).setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_PROBE_MS);
  }
  const wait = linger([caller, upstream], stallMs);
  follow(caller, upstream, wait);
  follow(upstream, caller, wait);
  caller.pipe(upstream);
  upstream.pipe(caller);
}

/** An orderly end of `from` gives `to` the time to take what is under way; anything else ends it at once. */
function follow(from: Duplex, to: Duplex, wait: () => void): void {
  from.on('error', () => from.destroy());
  from.once('end', wait);
  from.once('close', () => {
    if (from.readableEnded && !from.errored) to.end();
    else to.destroy();
  });
}

/** Returns what starts the wait for both sides to be done; then both are closed. */
function linger(sides: readonly [Duplex, Duplex], stallMs: number): () => void {
  let timer: NodeJS.Timeout | undefined;
  let seen = '';
  let stillMs = 0;
  const look = () => {
    const now = sides.map(progressOf).join();
    stillMs = now === seen ? stillMs + QUIET_MS : 0;
    seen = now;
    const pending = sides.some(({ destroyed, writableLength }) => !destroyed && writableLength > 0);
    if (stillMs < (pending ? stallMs : QUIET_MS) && !isOver(sides)) return;
    clearInterval(timer);
    for (const side of sides) side.destroy();
  };
  return () => {
    timer ??= setInterval(look, QUIET_MS);
  };
}

function progressOf(side: Duplex): string {
  return `${side.writableLength} ${side instanceof Socket ? side.bytesRead : 0}`;
}

/** Whether one side is closed, so that nobody wants what the other says, and the other has all that was said to it. */
function isOver([one, other]: readonly [Duplex, Duplex]): boolean {
  const unsaid = one.destroyed ? other.writableLength : one.writableLength;
  return (one.destroyed && other.destroyed) || ((one.destroyed || other.destroyed) && unsaid === 0);
}
