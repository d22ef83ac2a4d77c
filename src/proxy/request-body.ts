/**
 * Receives a caller's request body, to be framed anew: nothing, a buffer small enough to be sent twice, or a stream with
 * backpressure that the upstream side can destroy without closing the caller's connection.
 */
import type { Hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { SidecarError } from '../core/errors.ts';
import type { RequestHead } from './headers.ts';

export type RequestBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'buffer'; readonly data: Buffer }
  /** `length` in bytes as the caller announced it; undefined = chunked. */
  | { readonly kind: 'stream'; readonly stream: Readable; readonly length: number | undefined };

export interface BodyLimits {
  /** Bodies up to this many bytes are kept in memory. */
  readonly replayBytes: number;
  /** Time limit for every further KiB, ms. */
  readonly idleMs: number;
  /** Larger bodies are refused; undefined = no limit. */
  readonly maxBytes?: number | undefined;
  /** Called with the size of every piece of a stream. */
  readonly onForwarded: (bytes: number) => void;
  /** Gets every byte, for the audit log. */
  readonly digest?: Hash | undefined;
}

/** Checks Content-Length, before the body is received or a token is fetched. @throws SidecarError CALLER_BODY_TOO_LARGE */
export function checkAnnounced({ contentLength }: RequestHead, { maxBytes }: Pick<BodyLimits, 'maxBytes'>): void {
  if (Number(contentLength ?? 0) > (maxBytes ?? Number.POSITIVE_INFINITY)) throw tooLarge();
}

function tooLarge(): SidecarError {
  return new SidecarError('CALLER_BODY_TOO_LARGE');
}

/** Fewer bytes are no progress: a caller that sends a byte now and then could hold its connection for days. */
const PROGRESS_BYTES = 1024;

const NONE: RequestBody = { kind: 'none' };

/**
 * Receives a body; synchronous when there is nothing to wait for.
 * @throws SidecarError CALLER_ABORTED | CALLER_TIMEOUT | CALLER_BODY_TOO_LARGE, as a rejection while a small body is
 * received; a stream fails with the same errors
 * @example
 * const body = await receiveBody(req, head, limits); // { kind: 'buffer', data }
 */
export function receiveBody(
  req: IncomingMessage,
  head: RequestHead,
  limits: BodyLimits,
): RequestBody | Promise<RequestBody> {
  const length = head.contentLength === undefined ? undefined : Number(head.contentLength);
  if (length === 0 || (length === undefined && head.transferEncoding === undefined)) return NONE;
  if (length !== undefined && length > limits.replayBytes) {
    return { kind: 'stream', stream: new CallerBody(req, undefined, limits), length };
  }
  return buffer(req, limits);
}

/** Collects a body until its end, or until it exceeds the limit and has to be streamed. */
function buffer(req: IncomingMessage, limits: BodyLimits): Promise<RequestBody> {
  return new Promise((resolve, reject) => {
    let held: Buffer = Buffer.alloc(0);
    let length = 0;
    const idle = setTimeout(() => settle(() => reject(new SidecarError('CALLER_TIMEOUT'))), limits.idleMs);
    let progressAt = PROGRESS_BYTES;
    const onData = (chunk: Buffer) => {
      held = append(held, length, chunk);
      limits.digest?.update(chunk);
      length += chunk.length;
      if (length >= progressAt) {
        progressAt = length + PROGRESS_BYTES;
        idle.refresh();
      }
      if (length > (limits.maxBytes ?? Number.POSITIVE_INFINITY)) settle(() => reject(tooLarge()));
      else if (length > limits.replayBytes) hand();
    };
    const hand = () => {
      req.pause();
      settle(() =>
        resolve({ kind: 'stream', stream: new CallerBody(req, held.subarray(0, length), limits), length: undefined }),
      );
    };
    const onEnd = () => settle(() => resolve({ kind: 'buffer', data: held.subarray(0, length) }));
    const onClose = () => settle(() => reject(new SidecarError('CALLER_ABORTED')));
    const settle = (done: () => void) => {
      clearTimeout(idle);
      req.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
      done();
    };
    req.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
}

/** Requests whose body is forwarded before it is complete. */
const STREAMED = new WeakSet<IncomingMessage>();

/** Whether part of this request's body may have been sent to the upstream before it is complete. */
export function isStreamed(req: IncomingMessage): boolean {
  return STREAMED.has(req);
}

/** Copies the pieces together: a body in tiny pieces would take a hundred times its size. */
function append(held: Buffer, length: number, chunk: Buffer): Buffer {
  const needed = length + chunk.length;
  const room = needed <= held.length ? held : Buffer.allocUnsafeSlow(Math.max(needed, 2 * held.length));
  if (room !== held) held.copy(room, 0, 0, length);
  chunk.copy(room, length);
  return room;
}

/**
 * A stream of the body, separate from the IncomingMessage: undici destroys the stream it gets when the upstream responds
 * early. Destroying the IncomingMessage would close the caller's connection and lose that response.
 */
class CallerBody extends Readable {
  readonly #req: IncomingMessage;
  readonly #idleMs: number;
  readonly #onForwarded: BodyLimits['onForwarded'];
  readonly #digest: Hash | undefined;
  /** Bytes still allowed. */
  #room: number;
  /** Runs only while the sidecar waits for the caller, not while the upstream is slow. */
  #idle: NodeJS.Timeout | undefined;
  /** Bytes since the timer was last restarted. */
  #progress = 0;

  constructor(req: IncomingMessage, first: Buffer | undefined, { idleMs, maxBytes, digest, onForwarded }: BodyLimits) {
    super({ highWaterMark: 16 * 1024 });
    STREAMED.add(req);
    this.#req = req;
    this.#idleMs = idleMs;
    this.#onForwarded = onForwarded;
    this.#digest = digest;
    this.#room = maxBytes ?? Number.POSITIVE_INFINITY;
    if (first) {
      this.#room -= first.length;
      this.push(first);
    }
    req.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose).on('error', this.#onClose);
    req.pause();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#digest?.update(chunk);
    this.#onForwarded(chunk.length);
    this.#room -= chunk.length;
    if (this.#room < 0) {
      this.destroy(tooLarge());
      return;
    }
    this.#progress += chunk.length;
    if (this.push(chunk)) {
      if (this.#progress < PROGRESS_BYTES) return;
      this.#progress = 0;
      this.#idle?.refresh();
      return;
    }
    this.#req.pause();
    this.#stopWaiting();
  };

  readonly #onEnd = (): void => {
    this.#stopWaiting();
    this.push(null);
  };

  readonly #onClose = (): void => {
    if (!this.#req.complete) this.destroy(new SidecarError('CALLER_ABORTED'));
  };

  #stopWaiting(): void {
    clearTimeout(this.#idle);
    this.#idle = undefined;
  }

  override _read(): void {
    this.#idle ??= setTimeout(() => this.destroy(new SidecarError('CALLER_TIMEOUT')), this.#idleMs);
    this.#req.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stopWaiting();
    this.#req.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose);
    // Read the rest: a caller that sends everything before it reads must still get the response.
    this.#req.resume();
    done(error);
  }
}
