/** A sidecar or the naive proxy on a port that a browser can reach, an API that counts, and a server of hostile pages. */
import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Browser, chromium } from 'playwright-core';
import { startRelay } from './relay.ts';
import { startTestSidecar } from './sidecar.ts';
import { startTokenServer } from './token-server.ts';

export interface Arrived {
  readonly method: string;
  readonly authorization: string | undefined;
}

export interface BrowserWorld extends AsyncDisposable {
  /** The port that browsers and programs use; leads to the sidecar or naive proxy. */
  readonly port: number;
  readonly pagePort: number;
  /** What reached the API. */
  readonly arrived: readonly Arrived[];
  /** What the sidecar refused, by code; empty for the naive proxy. */
  refused(): string[];
  /** Gives the port to the server of hostile pages while it runs, as after DNS rebinding. */
  whilePagesHaveThePort(run: () => Promise<unknown>): Promise<void>;
}

/** A host name whose owner can point it to the browser's own machine. */
export const EVIL = 'evil.example';

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  `--host-resolver-rules=MAP ${EVIL} 127.0.0.1`,
];

/** Users may have no browser; CI must have one. */
export const chromiumIsMissing = () => !process.env['CI'] && spawnSync('chromium', ['--version']).status !== 0;

export async function startBrowser(): Promise<Browser> {
  const executablePath = spawnSync('which', ['chromium'], { encoding: 'utf8' }).stdout.trim();
  if (executablePath === '') throw new Error('chromium is not installed');
  return await chromium.launch({ executablePath, headless: true, args: ARGS });
}

interface Front extends AsyncDisposable {
  readonly port: number;
  refused(): string[];
}

export async function startBrowserWorld(kind: 'sidecar' | 'naive proxy'): Promise<BrowserWorld> {
  const arrived: Arrived[] = [];
  const api = await startServer((req, res) => {
    arrived.push({ method: req.method ?? '', authorization: req.headers.authorization });
    req.resume();
    // The worst case: an API that lets every page read its responses.
    const origin = req.headers.origin ?? '*';
    const allowed = { 'Access-Control-Allow-Origin': origin, 'Access-Control-Allow-Headers': 'content-type, x-custom' };
    res.writeHead(200, { 'Content-Type': 'text/plain', ...allowed }).end('balance 4711');
  });
  const pages = await startServer((_req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/html', Connection: 'close' }).end('<!doctype html><body>hostile</body>');
  });
  const relay = await startRelay();
  const front = await (kind === 'sidecar' ? startSidecar(api.port, relay.port) : startNaive(api.port));
  relay.aim(front.port);
  return {
    port: relay.port,
    pagePort: pages.port,
    arrived,
    refused: () => front.refused(),
    async whilePagesHaveThePort(run) {
      relay.aim(pages.port);
      await run();
      relay.aim(front.port);
      // Connections that the browser has opened in advance still lead to the pages.
      pages.cut();
    },
    async [Symbol.asyncDispose]() {
      await relay[Symbol.asyncDispose]();
      await front[Symbol.asyncDispose]();
      await Promise.all([api.close(), pages.close()]);
    },
  };
}

async function startServer(listener: RequestListener) {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => server.closeAllConnections(),
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function startSidecar(apiPort: number, knownPort: number): Promise<Front> {
  const tokens = await startTokenServer();
  const hosts = [`127.0.0.1:${knownPort}`, `localhost:${knownPort}`];
  const sidecar = await startTestSidecar({
    upstream: `http://127.0.0.1:${apiPort}`,
    tokenEndpoint: tokens.url,
    config: { callers: { hosts } },
  });
  return {
    port: sidecar.port,
    refused: () => sidecar.logs.filter(({ message }) => message === 'request').map(({ code }) => String(code)),
    async [Symbol.asyncDispose]() {
      await sidecar.stop();
      await tokens.close();
    },
  };
}

async function startNaive(apiPort: number): Promise<Front> {
  const script = new URL('./naive-proxy.ts', import.meta.url).pathname;
  const upstream = `http://127.0.0.1:${apiPort}`;
  const child = fork(script, [upstream], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], execArgv: [] });
  const [port] = (await once(child, 'message')) as [number];
  return {
    port,
    refused: () => [],
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
