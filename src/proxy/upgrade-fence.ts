/**
 * An offer to upgrade on its way to the API. http-proxy-3's `ws()` makes the request and carries the tunnel; whatever else it
 * does on the wire is fenced off on both sides of it, and each fence says what it is for. To the forwarder this is a
 * dispatcher like undici's, so a response that is no switch goes the way of every other response.
 */
import { Agent, type ClientRequest, IncomingMessage, type InformationEvent } from 'node:http';
import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import { SidecarError } from '../core/errors.ts';
import type { Direct } from '../net/egress.ts';
import { CallerDuplex } from './tunnel.ts';

/** Never looked up: the agent knows where to. */
const ANYWHERE = 'http://upgrade.invalid';

/**
 * For one offer of one caller. Of `options` the path and the flat headers count: they go out byte for byte, behind Host and
 * the offer itself (RFC 6455 §4.1), on a connection of their own. `handler` is told what undici would tell it.
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
      // Time and memory that only a process with WebSockets pays.
      const { createProxyServer } = await import('http-proxy-3');
      const agent = new Agent();
      agent.createConnection = (_options, done) => this.#connect((error, socket) => done?.(error, socket as Socket));
      const proxy = createProxyServer({ target: ANYWHERE, agent });
      // Without a listener an error of either connection would end the process. They are noticed where they happen.
      proxy.on('error', () => undefined);
      proxy.on('proxyReqWs', (request) => this.#prepare(request));
      proxy.on('open', (upstream) => this.#switch(upstream));
      proxy.ws(nobodysOffer(), this.#side, undefined);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** By default it connects by itself: without proxy, CA and client certificate of the route. */
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

  /** By default header lines of one name are joined and the target passes through a URL parser, which rewrites it. */
  #prepare(request: ClientRequest): void {
    this.#request = request;
    for (const name of request.getRawHeaderNames()) request.removeHeader(name);
    request.path = this.#options.path;
    const offer = ['Host', this.#direct.host, 'Connection', 'upgrade', 'Upgrade', 'websocket'];
    const headers = [...offer, ...(this.#options.headers as readonly string[])];
    for (let index = 0; index < headers.length; index += 2)
      request.appendHeader(headers[index] ?? '', headers[index + 1] ?? '');
    // In front of its own listeners, which it adds after this.
    request.on('error', (error) => {
      // What comes behind a whole response is nobody's, be it malformed.
      if (!this.#response?.complete) this.#fail(error);
    });
    request.on('information', (info) => this.#inform(info));
    request.once('response', (response) => this.#respond(response));
    request.once('upgrade', (response) => {
      this.#response = response;
    });
  }

  /** By default nobody listens: interim responses are lost, and after a 101 without `Connection` all wait for ever. */
  #inform({ statusCode, statusMessage, headers, rawHeaders }: InformationEvent): void {
    if (statusCode < 102) {
      this.#fail(new SidecarError('UPSTREAM_INVALID', { mayHaveExecuted: true }));
      return;
    }
    this.rawHeaders = rawHeaders;
    this.#attempt(() => this.#handler.onResponseStart?.(this, statusCode, headers, statusMessage));
  }

  /**
   * By default it frames the response itself: content in chunks where there must be none, no end where it broke off, names
   * in lower case, no backpressure. To one whose caller is gone it only sees to it that the response is read.
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
   * It has laid its pipes, and written its own 101, which went nowhere. Whether this one is a switch to what was offered is
   * not its question; nothing flows before this returns.
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

  /** By default an API that says nothing is waited for without end. */
  #expect(withinMs: number): void {
    clearTimeout(this.#deadline);
    if (this.#over) return;
    const late = () => this.#fail(new SidecarError('UPSTREAM_TIMEOUT', { mayHaveExecuted: true }));
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

  /** By default the API's connection stays open when the caller is gone, or when a response was not read to its end. */
  #end(): void {
    this.#over = true;
    clearTimeout(this.#deadline);
    this.#side.destroy();
    this.#request?.destroy();
    this.#socket?.destroy();
  }
}

/** What it looks at, and prints if DEBUG says so: never the caller's own request. */
function nobodysOffer(): IncomingMessage {
  const request = new IncomingMessage(null as unknown as Socket);
  return Object.assign(request, { method: 'GET', url: '/', headers: { connection: 'upgrade', upgrade: 'websocket' } });
}
