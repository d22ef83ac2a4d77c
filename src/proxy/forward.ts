/**
 * Sends an admitted request to its upstream with the token injected last, and streams the answer back with
 * backpressure; an end on either side ends the other. Sends at most one request a second time, and only where nothing has
 * gone down to the caller: with a new token after a 401 that blames the token, or a safe one whose kept connection
 * turned out to be dead.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { type Dispatcher, errors } from 'undici';
import { SidecarError } from '../errors.ts';
import type { Token } from '../oauth/token.ts';
import type { Exchange } from './exchange.ts';
import { type AnswerHead, readAnswerHead, VIA } from './headers.ts';
import { blamesToken, translate } from './upstream-errors.ts';

const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
/** More of a discarded 401 is not worth a connection. */
const MAX_DISCARD_BYTES = 64 * 1024;

/**
 * Resolves when the whole answer has been handed to the caller's connection.
 * @throws SidecarError UPSTREAM_* with `mayHaveExecuted`, CALLER_ABORTED, CALLER_TIMEOUT, or what `renew` throws. If the
 * answer had begun, `res.headersSent` is true and the caller's connection has to be cut.
 */
export function forward(exchange: Exchange, token: Token): Promise<void> {
  return new Promise((resolve, reject) => new Attempt(exchange, token, { resolve, reject }).send());
}

interface Settle {
  readonly resolve: (value?: Promise<void>) => void;
  readonly reject: (error: SidecarError) => void;
}

/** One try on the upstream; undici's handler object, because it is the hottest object there is. */
class Attempt implements Dispatcher.DispatchHandler {
  readonly #exchange: Exchange;
  readonly #token: Token;
  readonly #settle: Settle;
  #controller: Dispatcher.DispatchController | undefined;
  /** Bytes of a 401 that is thrown away; undefined while answering. */
  #discarded: number | undefined;
  #answered = false;
  #stall: NodeJS.Timeout | undefined;

  constructor(exchange: Exchange, token: Token, settle: Settle) {
    this.#exchange = exchange;
    this.#token = token;
    this.#settle = settle;
  }

  send(): void {
    const { req, res, route, path, body, upgrade } = this.#exchange;
    if (res.destroyed) {
      this.#settle.reject(new SidecarError('CALLER_ABORTED'));
      return;
    }
    res.on('close', this.#onCallerClose);
    const options: Dispatcher.DispatchOptions = {
      method: req.method ?? 'GET',
      path,
      headers: this.#headers(),
      body: body.kind === 'none' ? null : body.kind === 'buffer' ? body.data : body.stream,
      ...(upgrade && { upgrade: 'websocket' }),
    };
    route.dispatcher.dispatch(options, this);
  }

  #headers(): string[] {
    const { head, requestId, body } = this.#exchange;
    const headers = [...head.forward, 'Via', VIA, 'X-Request-Id', requestId];
    if (body.kind === 'stream' && body.length !== undefined) headers.push('Content-Length', String(body.length));
    headers.push('Authorization', this.#token.authorization.reveal());
    return headers;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It may have waited for a connection; what nobody waits for any more is not sent.
    if (this.#exchange.res.destroyed) controller.abort(new SidecarError('CALLER_ABORTED'));
  }

  /** Only for a request that offered it; undici fails any other 101. */
  onRequestUpgrade(
    { rawHeaders }: Dispatcher.DispatchController,
    status: number,
    { upgrade: protocol }: IncomingHttpHeaders,
    upstream: Duplex,
  ): void {
    this.#release();
    const exchange = this.#exchange;
    const { headers, hasRequestId } = readAnswerHead(rawHeaders as Buffer[], status, this.#bearer);
    if (!hasRequestId) headers.push('X-Request-Id', exchange.requestId);
    const onEnd = (bytes: number) => {
      exchange.bytesOut = bytes;
    };
    const about = { protocol: String(protocol), headers, stallMs: exchange.stallMs, onEnd };
    if (exchange.upgrade?.switchTo(upstream, about)) this.#settle.resolve();
    else this.#settle.reject(new SidecarError('UPSTREAM_INVALID', { mayHaveExecuted: true }));
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    statusMessage?: string,
  ): void {
    if (status < 200) return;
    // 407 would be our own proxy speaking, never the API (RFC 9110 §11.7.1).
    if (status > 599 || status === 407) throw new SidecarError('UPSTREAM_INVALID', { mayHaveExecuted: true });
    const head = readAnswerHead(controller.rawHeaders as Buffer[], status, this.#bearer);
    if (status === 401 && this.#renew(head)) return;
    const { res, requestId } = this.#exchange;
    if (!head.hasRequestId) head.headers.push('X-Request-Id', requestId);
    const reason = statusMessage !== undefined && /^[\t\x20-\x7e]+$/.test(statusMessage) ? statusMessage : undefined;
    if (reason === undefined) res.writeHead(status, head.headers);
    else res.writeHead(status, reason, head.headers);
  }

  onResponseStarted(): void {
    this.#answered = true;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#discarded !== undefined) {
      this.#discarded += chunk.length;
      if (this.#discarded > MAX_DISCARD_BYTES) controller.abort(new errors.RequestAbortedError());
      return;
    }
    const { res } = this.#exchange;
    this.#exchange.bytesOut += chunk.length;
    if (res.write(chunk)) return;
    controller.pause();
    this.#stall = setTimeout(() => this.#abort('CALLER_TIMEOUT'), this.#exchange.stallMs);
    res.once('drain', this.#onDrain);
  }

  onResponseEnd(): void {
    if (this.#discarded !== undefined) return;
    this.#release();
    this.#exchange.res.end();
    this.#settle.resolve();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#discarded !== undefined) return;
    this.#release();
    // undici leaves the body of a request it never began alone; the rest of it has to go somewhere.
    if (this.#exchange.body.kind === 'stream') this.#exchange.body.stream.destroy();
    if (this.#mayTryAgain(error)) this.#again('stale_connection', Promise.resolve(this.#token));
    else this.#settle.reject(translate(error, this.#controller !== undefined));
  }

  readonly #onDrain = (): void => {
    clearTimeout(this.#stall);
    this.#controller?.resume();
  };

  readonly #onCallerClose = (): void => {
    if (this.#exchange.res.writableFinished) return;
    this.#abort('CALLER_ABORTED');
    // Not dispatched yet: undici cannot take it back, `onRequestStart` will.
    if (this.#controller === undefined) this.#settle.reject(new SidecarError('CALLER_ABORTED'));
  };

  #abort(code: 'CALLER_ABORTED' | 'CALLER_TIMEOUT'): void {
    this.#controller?.abort(new SidecarError(code));
  }

  #release(): void {
    clearTimeout(this.#stall);
    this.#exchange.res.off('close', this.#onCallerClose).off('drain', this.#onDrain);
  }

  /** Starts the one replay if this 401 allows it; true when it did. */
  #renew(head: AnswerHead): boolean {
    const { route, body, replayed, req } = this.#exchange;
    if (replayed || route.replayOn401 === 'never' || body.kind === 'stream') return false;
    if (!blamesToken(head.challenges, SAFE.has(req.method ?? ''))) return false;
    const renewed = attempt(() => route.tokens.renew(this.#token));
    if (renewed === undefined) return false;
    this.#discarded = 0;
    this.#release();
    this.#again('unauthorized', Promise.resolve(renewed));
    return true;
  }

  /** RFC 9110 §9.2.2: only what is safe, and only when no byte of an answer has come over a connection used before. */
  #mayTryAgain(error: Error): boolean {
    const { replayed, body, req, route } = this.#exchange;
    const untouched = !replayed && !this.#answered && body.kind !== 'stream';
    return untouched && SAFE.has(req.method ?? '') && route.wasReused(error);
  }

  #again(reason: 'unauthorized' | 'stale_connection', token: Promise<Token>): void {
    this.#exchange.replayed = true;
    this.#exchange.route.onReplay(reason);
    this.#settle.resolve(token.then((next) => forward(this.#exchange, next)));
  }

  /** The token alone, which an upstream might repeat in a header. */
  get #bearer(): string {
    return this.#token.authorization.reveal().slice('Bearer '.length);
  }
}

/** `renew` throws at once while it backs off; as a promise it goes the same way as a failed fetch. */
function attempt<T>(run: () => T): T | Promise<never> {
  try {
    return run();
  } catch (error) {
    return Promise.reject(error);
  }
}
