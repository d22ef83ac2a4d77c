/**
 * Sends an admitted request to its upstream, with the token added last, and streams the response back with backpressure.
 * When one side ends, the other is ended, too. A request is sent again only before the caller has received anything, see
 * replay.ts: with a new token after a 401 that blames the token, or a safe one whose reused connection was dead.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Dispatcher, errors } from 'undici';
import { SidecarError } from '../core/errors.ts';
import type { ResponseStage } from '../net/place.ts';
import type { Token } from '../oauth/token.ts';
import type { Exchange, Underway } from './exchange.ts';
import { type ResponseHead, readResponseHead } from './headers.ts';
import { mayTryAgain, renewedToken, translate } from './replay.ts';
import { ResponseWriter, type Settle } from './response-writer.ts';
import { outOfTime, type Route } from './route.ts';
import { createUpgrade } from './upgrade-fence.ts';

/** RFC 9110 §7.6.3. */
const VIA = '1.1 aritma-sidecar';
/** Largest discarded 401 body; a longer one is not worth keeping the connection. */
const MAX_DISCARD_BYTES = 64 * 1024;
const busy = () => new SidecarError('UPSTREAM_BUSY', { retryAfterS: 1 });

/**
 * Resolves when the whole response is handed to the caller's connection.
 * @throws SidecarError UPSTREAM_* with `mayHaveExecuted`, CALLER_ABORTED, CALLER_TIMEOUT, or the errors of `renew`. If
 * `res.headersSent` is true then, the response has begun and the caller's connection must be destroyed.
 */
export function forward(exchange: Exchange, route: Route, token: Token): Promise<void> {
  return new Promise((resolve, reject) => new Attempt({ exchange, route, token }, { resolve, reject }).send());
}

interface Sending {
  readonly exchange: Exchange;
  readonly route: Route;
  readonly token: Token;
}

/** One try on the upstream. It is undici's handler itself, to save an object per request. */
class Attempt extends ResponseWriter implements Dispatcher.DispatchHandler, Underway {
  readonly #exchange: Exchange;
  readonly #route: Route;
  readonly #token: Token;
  readonly #settle: Settle;
  #controller: Dispatcher.DispatchController | undefined;
  /** Discarded bytes of a 401; undefined = the response goes to the caller. */
  #discarded: number | undefined;
  /** The head of a response has arrived. */
  #responded = false;
  /** The head was written to the caller. */
  #responding = false;
  #leaveQueue: (() => void) | undefined;
  #givenUp = false;
  #sentAt = 0;
  /** When the body was sent, too. */
  #allSentAt: number | undefined;
  /** Time limit from an interim response to the final one. */
  #final: NodeJS.Timeout | undefined;

  constructor({ exchange, route, token }: Sending, settle: Settle) {
    super(exchange, settle);
    this.#exchange = exchange;
    this.#route = route;
    this.#token = token;
    this.#settle = settle;
  }

  send(): void {
    const { res, error } = this.#exchange;
    if (error || res.destroyed || res.headersSent) this.#giveUp(new SidecarError('CALLER_ABORTED'));
    else if (this.#route.queue.count >= this.#route.queue.most) this.#giveUp(busy());
    else this.#dispatch();
  }

  #dispatch(): void {
    const { req, path, body, upgrade } = this.#exchange;
    const { direct, dispatcher, queue } = this.#route;
    this.#exchange.attempt = this;
    const options: Dispatcher.DispatchOptions = {
      method: req.method ?? 'GET',
      path,
      headers: this.#headers(),
      body: body.kind === 'none' ? null : body.kind === 'buffer' ? body.data : body.stream,
      // Routes share the connections to an API, but not their time limits.
      headersTimeout: direct.firstByteMs,
      bodyTimeout: direct.idleMs,
    };
    const isTaken = (upgrade ? createUpgrade(direct, req.socket) : dispatcher).dispatch(options, this);
    if (isTaken || this.#controller !== undefined || this.#exchange.attempt !== this) return;
    this.#leaveQueue = queue.enter(() => this.#giveUp(busy()));
  }

  #headers(): string[] {
    const { forward: kept, requestId, body, added, trace } = this.#exchange;
    const headers = [...kept, ...added, 'Via', VIA, 'X-Request-Id', requestId];
    if (body.kind === 'stream' && body.length !== undefined) headers.push('Content-Length', String(body.length));
    if (trace) headers.push('traceparent', trace.sends());
    headers.push('Authorization', this.#token.authorization.reveal());
    return headers;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#leaveQueue?.();
    this.#controller = controller;
    this.#sentAt = performance.now();
    // The caller may have gone while the request waited for a connection.
    if (this.#exchange.res.destroyed || this.#givenUp) controller.abort(new SidecarError('CALLER_ABORTED'));
    else this.#exchange.countSent();
  }

  onRequestSent(): void {
    this.#allSentAt = this.#exchange.body.kind === 'none' ? this.#sentAt : performance.now();
  }

  /** Called only for a request that offered an upgrade; any other 101 is a failure. */
  onRequestUpgrade(
    { rawHeaders }: Dispatcher.DispatchController,
    status: number,
    { upgrade: protocol }: IncomingHttpHeaders,
    upstream: Duplex,
  ): void {
    this.#release();
    const exchange = this.#exchange;
    const { headers, hasRequestId } = readResponseHead(rawHeaders as Buffer[], status, this.#bearer);
    if (!hasRequestId) headers.push('X-Request-Id', exchange.requestId);
    const onEnd = (bytes: number) => {
      exchange.bytesOut = bytes;
    };
    const about = { protocol: String(protocol), headers, stallMs: exchange.idleMs, onEnd };
    if (exchange.upgrade?.switchTo(upstream, about)) this.#settle.resolve();
    else this.#settle.reject(new SidecarError('UPSTREAM_INVALID', { mayHaveExecuted: true }));
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    fields: IncomingHttpHeaders,
    statusMessage?: string,
  ): void {
    if (status < 200) {
      this.#inform(status, controller.rawHeaders as Buffer[]);
      return;
    }
    clearTimeout(this.#final);
    // 407 comes from a proxy, never from the API (RFC 9110 §11.7.1).
    if (status > 599 || status === 407) throw new SidecarError('UPSTREAM_INVALID', { mayHaveExecuted: true });
    const head = readResponseHead(controller.rawHeaders as Buffer[], status, this.#bearer);
    if (status === 401 && this.#renew(head)) return;
    this.#exchange.upstreamMs = Math.round((performance.now() - this.#sentAt) * 100) / 100;
    const { res, requestId, added } = this.#exchange;
    const headers = this.#route.rewrite?.response(head.headers, this.#exchange.callerOrigin) ?? head.headers;
    headers.push(...added);
    // An API page opened in a browser has this sidecar's origin: its scripts could send requests through this port.
    if (this.#exchange.head.navigates) headers.push('Content-Security-Policy', 'sandbox');
    if (!head.hasRequestId) headers.push('X-Request-Id', requestId);
    const reason = statusMessage !== undefined && /^[\t\x20-\x7e]+$/.test(statusMessage) ? statusMessage : undefined;
    res.writeHead(status, reason?.replaceAll(this.#bearer, '[token]'), headers);
    this.begin(controller, fields['content-length']);
    this.#responding = true;
  }

  onResponseStarted(): void {
    this.#responded = true;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#discarded !== undefined) {
      this.#discarded += chunk.length;
      if (this.#discarded > MAX_DISCARD_BYTES) controller.abort(new errors.RequestAbortedError());
      return;
    }
    if (this.#responding) this.write(chunk);
  }

  onResponseEnd(): void {
    if (this.#discarded !== undefined) return;
    this.#release();
    if (this.#responding) this.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#leaveQueue?.();
    if (this.#discarded !== undefined || this.#givenUp) return;
    this.#release();
    // undici does not destroy the body of a request that it never started.
    if (this.#exchange.body.kind === 'stream') this.#exchange.body.stream.destroy();
    if (mayTryAgain(this.#exchange, this.#route, { responded: this.#responded, error }))
      this.#again('stale_connection', Promise.resolve(this.#token));
    else this.#settle.reject(translate(error, this.#route.place, this.#controller !== undefined));
  }

  callerClosed(): void {
    if (this.#exchange.res.writableFinished) return;
    this.#controller?.abort(new SidecarError('CALLER_ABORTED'));
    if (this.#controller === undefined) this.#settle.reject(new SidecarError('CALLER_ABORTED'));
  }

  #inform(status: number, raw: readonly Buffer[]): void {
    // undici restarts its timeout after each interim response, so the limit for the final one is kept here.
    if (this.#allSentAt !== undefined) {
      const leftMs = this.#allSentAt + this.#route.direct.firstByteMs - performance.now();
      this.#final ??= setTimeout(() => this.expire('response'), leftMs);
    }
    const { headers } = readResponseHead(raw, status, this.#bearer);
    this.inform(status, this.#route.rewrite?.response(headers, this.#exchange.callerOrigin) ?? headers);
  }

  expire(stage?: ResponseStage): void {
    const error = outOfTime(this.#route, this.#controller !== undefined, stage);
    if (this.#controller === undefined) this.#giveUp(error);
    else this.#controller.abort(error);
  }

  /** Ends a request that waits for a connection: undici cannot cancel it, `onRequestStart` aborts it before any byte. */
  #giveUp(error: SidecarError): void {
    if (this.#givenUp) return;
    this.#givenUp = true;
    this.#release();
    if (this.#exchange.body.kind === 'stream') this.#exchange.body.stream.destroy();
    this.#settle.reject(error);
  }

  #release(): void {
    this.#exchange.attempt = undefined;
    this.#exchange.trace?.released();
    clearTimeout(this.#final);
    this.stopWaiting();
  }

  /** Starts the one replay if this 401 allows it; returns whether it did. */
  #renew({ challenges }: ResponseHead): boolean {
    const renewed = renewedToken(this.#exchange, this.#route, { stale: this.#token, challenges });
    if (renewed === undefined) return false;
    this.#discarded = 0;
    this.#release();
    this.#again('unauthorized', renewed);
    return true;
  }

  #again(reason: Exchange['again'], token: Promise<Token>): void {
    this.#exchange.again = reason;
    this.#settle.resolve(token.then((next) => forward(this.#exchange, this.#route, next)));
  }

  /** The token without `Bearer `, to remove it from response headers. */
  get #bearer(): string {
    return this.#token.authorization.reveal().slice('Bearer '.length);
  }
}
