/**
 * Sends an upgrade request to the API. http-proxy-3's `ws()` sends it and carries the tunnel; its other behaviour on the wire
 * is replaced, and each comment below names the default that it replaces. For the forwarder this is a dispatcher like
 * undici's, so a response other than 101 is handled like every other response.
 */
import { Agent, type ClientRequest, IncomingMessage, type InformationEvent } from 'node:http';
import type { Socket } from 'node:net';
import { type Dispatcher, errors } from 'undici';
import { SidecarError } from '../core/errors.ts';
import type { Direct } from '../net/egress.ts';
import { CallerDuplex } from './tunnel.ts';

/** Never resolved: the agent makes the connection. */
const ANYWHERE = 'http://upgrade.invalid';

/**
 * Creates a dispatcher for one upgrade request of one caller. It uses only path and flat headers of the dispatch options, and
 * sends them unchanged after Host and the upgrade headers (RFC 6455 §4.1), on a new connection. It calls the handler as
 * undici does.
 * @example
 * createUpgrade(route.direct, req.socket).dispatch({ method: 'GET', path, headers }, handler);
 */
export function createUpgrade(direct: Direct, caller: Socket): Pick<Dispatcher, 'dispatch'> {
  return {
    dispatch(options, handler) {
      void new Offer({ direct, caller, options, handler }).send();
      return true;
    },
  };
}

interface OfferOptions {
  readonly direct: Direct;
  readonly caller: Socket;
  readonly options: Dispatcher.DispatchOptions;
  readonly handler: Dispatcher.DispatchHandler;
}

class Offer implements Dispatcher.DispatchController {
  aborted = false;
  paused = false;
  reason: Error | null = null;
  rawHeaders: string[] = [];
  readonly #direct: Direct;
  readonly #options: Dispatcher.DispatchOptions;
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #side: CallerDuplex;
  #socket: Socket | undefined;
  #request: ClientRequest | undefined;
  #response: IncomingMessage | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #over = false;

  constructor({ direct, caller, options, handler }: OfferOptions) {
    this.#direct = direct;
    this.#options = options;
    this.#handler = handler;
    this.#side = new CallerDuplex(caller);
  }

  async send(): Promise<void> {
    try {
      // Loaded on first use: a process without WebSockets saves its time and memory.
      const { createProxyServer } = await import('http-proxy-3');
      const agent = new Agent();
      agent.createConnection = (_options, done) => this.#connect((error, socket) => done?.(error, socket as Socket));
      const proxy = createProxyServer({ target: ANYWHERE, agent });
      // Without a listener an error would end the process; errors are handled at the connections themselves.
      proxy.on('error', () => undefined);
      proxy.on('proxyReqWs', (request) => this.#prepare(request));
      proxy.on('open', (upstream) => this.#switch(upstream));
      proxy.ws(stubRequest(), this.#side, undefined);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** Default: it connects itself, without proxy, CA and client certificate of the route. */
  #connect(done: (error: Error | null, socket?: Socket) => void): undefined {
    this.#direct.open((error, socket) => {
      if (error) {
        done(error);
        return;
      }
      this.#socket = socket;
      if (!this.#over) this.#handler.onRequestStart?.(this, undefined);
      if (this.#over) {
        socket.destroy();
        done(new SidecarError('CALLER_ABORTED'));
        return;
      }
      this.#expect(this.#direct.firstByteMs);
      done(null, socket);
    });
  }

  /** Default: it joins header lines of one name, and a URL parser rewrites the target. */
  #prepare(request: ClientRequest): void {
    this.#request = request;
    for (const name of request.getRawHeaderNames()) request.removeHeader(name);
    request.path = this.#options.path;
    const offer = ['Host', this.#direct.host, 'Connection', 'upgrade', 'Upgrade', 'websocket'];
    const headers = [...offer, ...(this.#options.headers as readonly string[])];
    for (let index = 0; index < headers.length; index += 2)
      request.appendHeader(headers[index] ?? '', headers[index + 1] ?? '');
    // Before its own listeners, which it adds after this.
    request.on('error', (error) => {
      // Bytes after a complete response are ignored, malformed or not.
      if (!this.#response?.complete) this.#fail(error);
    });
    request.on('information', (info) => this.#inform(info));
    request.once('response', (response) => this.#respond(response));
    request.once('upgrade', (response) => {
      this.#response = response;
    });
  }

  /** Default: interim responses are lost, and a 101 without `Connection` makes both sides wait forever. */
  #inform({ statusCode, statusMessage, headers, rawHeaders }: InformationEvent): void {
    if (statusCode < 102) {
      this.#fail(new SidecarError('UPSTREAM_INVALID', { mayHaveExecuted: true }));
      return;
    }
    this.rawHeaders = rawHeaders;
    this.#attempt(() => this.#handler.onResponseStart?.(this, statusCode, headers, statusMessage));
  }

  /**
   * Default: it frames the response itself, with chunks where none are allowed, no end when it broke off, names in lower
   * case and no backpressure. Destroying its side of the caller first makes it only read the response.
   */
  #respond(response: IncomingMessage): void {
    this.#side.destroy();
    this.#response = response;
    this.rawHeaders = response.rawHeaders;
    const { statusCode = 0, headers, statusMessage } = response;
    this.#attempt(() => {
      if (statusCode < 200) throw new SidecarError('UPSTREAM_INVALID', { mayHaveExecuted: true });
      this.#handler.onResponseStart?.(this, statusCode, headers, statusMessage);
    });
    if (this.#over) return;
    this.#expect(this.#direct.idleMs);
    response.on('error', (error) => this.#fail(error));
    response.on('data', (chunk: Buffer) => {
      this.#deadline?.refresh();
      if (!this.#over) this.#attempt(() => this.#handler.onResponseData?.(this, chunk));
    });
    response.once('end', () => {
      if (this.#over) return;
      this.#end();
      this.#handler.onResponseEnd?.(this, {});
    });
  }

  /**
   * Default: it writes its own 101 and pipes both ways without checking the protocol. Here its 101 is discarded, the handler
   * checks the switch, and no bytes flow before this returns.
   */
  #switch(upstream: Socket): void {
    clearTimeout(this.#deadline);
    const { headers = {}, rawHeaders = [] } = this.#response ?? {};
    this.rawHeaders = rawHeaders;
    this.#attempt(() => this.#handler.onRequestUpgrade?.(this, 101, headers, upstream));
    this.#over = true;
    if (upstream.destroyed) this.#side.destroy();
    else this.#side.join(upstream);
  }

  abort(reason: Error): void {
    this.#fail(reason);
  }

  pause(): void {
    this.paused = true;
    clearTimeout(this.#deadline);
    this.#response?.pause();
  }

  resume(): void {
    this.paused = false;
    this.#expect(this.#direct.idleMs);
    this.#response?.resume();
  }

  /** Default: it waits forever for an API that does not respond. */
  #expect(withinMs: number): void {
    clearTimeout(this.#deadline);
    if (this.#over) return;
    // As undici names them: from there on, both ways share their messages.
    const late = () => this.#fail(this.#response ? new errors.BodyTimeoutError() : new errors.HeadersTimeoutError());
    this.#deadline = setTimeout(late, withinMs);
  }

  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail(error: Error): void {
    if (this.#over) return;
    this.aborted = true;
    this.reason = error;
    this.#end();
    this.#handler.onResponseError?.(this, error);
  }

  /** Default: the API's connection stays open when the caller is gone or the response was not read to its end. */
  #end(): void {
    this.#over = true;
    clearTimeout(this.#deadline);
    this.#side.destroy();
    this.#request?.destroy();
    this.#socket?.destroy();
  }
}

/** A stand-in for the caller's request: http-proxy-3 reads it, and prints it when DEBUG is set. */
function stubRequest(): IncomingMessage {
  const request = new IncomingMessage(null as unknown as Socket);
  return Object.assign(request, { method: 'GET', url: '/', headers: { connection: 'upgrade', upgrade: 'websocket' } });
}
