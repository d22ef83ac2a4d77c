/** A whole sidecar between a scripted API and a scripted token endpoint, disposed together. */
import type { Clock } from '../../src/core/clock.ts';
import { type Answer, type Caller, openCaller } from './caller.ts';
import { ok } from './raw.ts';
import { startTestSidecar, type TestSidecar } from './sidecar.ts';
import { startTokenServer, type TokenServer } from './token-server.ts';
import { until } from './until.ts';
import { type Answerer, type ScriptedUpstream, startUpstream, type UpstreamHooks } from './upstream.ts';

export interface ProxyWorldOptions extends UpstreamHooks {
  /** Default: 200 with the body `fine`. */
  readonly answer?: Answerer;
  readonly config?: Readonly<Record<string, unknown>>;
  /** Fields of the default credential, added to the usual ones. */
  readonly credential?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
  /** Heap in use as a share of its limit. */
  readonly heapShare?: () => number;
  /** Appended to the API's origin. */
  readonly basePath?: string;
  /** Used instead of the scripted API's address. */
  readonly upstream?: string;
}

export interface ProxyWorld extends AsyncDisposable {
  readonly upstream: ScriptedUpstream;
  readonly tokens: TokenServer;
  readonly sidecar: TestSidecar;
  /** The `Host` line that callers send, with its end. */
  readonly host: string;
  open(options?: { readonly paused?: boolean }): Promise<Caller>;
  /** One request on a new connection; gets the bytes after the request line and Host. */
  call(requestLine: string, rest?: string, options?: CallOptions): Promise<Answer>;
  /** The gauge of running requests. */
  inFlight(): Promise<number>;
}

export interface CallOptions {
  readonly toHead?: boolean;
  readonly timeoutMs?: number;
}

/** Resolves when the first token is obtained. */
export async function createProxyWorld(options: ProxyWorldOptions = {}): Promise<ProxyWorld> {
  const { answer = () => ok('fine'), basePath = '', config = {}, credential = {}, clock, heapShare } = options;
  const upstream = await startUpstream(answer, options);
  const tokens = await startTokenServer();
  const sidecar = await startTestSidecar({
    upstream: options.upstream ?? upstream.url + basePath,
    tokenEndpoint: tokens.url,
    config,
    credential,
    ...(clock && { clock }),
    ...(heapShare && { heapShare }),
  });
  await until('the first token is there', () => sidecar.logs.some(({ message }) => message === 'token obtained'));
  const host = `Host: 127.0.0.1:${sidecar.port}\r\n`;
  const open: ProxyWorld['open'] = (opening) => openCaller(sidecar.port, opening);
  return {
    upstream,
    tokens,
    sidecar,
    host,
    open,
    async call(requestLine, rest = '\r\n', reading = {}) {
      using caller = await open();
      caller.send(`${requestLine}\r\n${host}${rest}`);
      return await caller.answer(reading);
    },
    async inFlight() {
      const text = await (await fetch(`${sidecar.adminUrl}/metrics`)).text();
      return Number(/^aritma_sidecar_requests_in_flight (\d+)$/m.exec(text)?.[1] ?? Number.NaN);
    },
    async [Symbol.asyncDispose]() {
      // First the API: its responses are no longer needed.
      await upstream[Symbol.asyncDispose]();
      await sidecar.stop();
      await tokens.close();
    },
  };
}
