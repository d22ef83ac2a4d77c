// An API that responds to an upload before it has all of it, and what it does to the connection then: what it has said reaches
// the caller (RFC 9112 §9.5), over plain TCP, TLS and a proxy, and nothing of it reaches anybody else.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { startEgressWorld } from '../support/egress-world.ts';
import { createFolder } from '../support/folder.ts';
import { startTokenServer } from '../support/token-server.ts';

const SIZE = 4 * 1024 * 1024;
const ROUNDS = 5;
const HEAD = 'HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 9\r\n\r\n';
const REFUSAL = `${HEAD}too large`;

type Refuse = (socket: Socket) => unknown;
const close: Refuse = (socket) => socket.write(REFUSAL, () => setImmediate(() => socket.destroy()));

/** To POST it does this once it has seen a first piece of the upload; GET is told its own path. */
async function serve(server: Server, refuse: Refuse): Promise<number> {
  const sockets = new Set<Socket>();
  const accept = (socket: Socket) => {
    sockets.add(socket);
    let isRefused = false;
    socket
      .on('error', () => undefined)
      .on('data', (chunk) => {
        const [, path] = /^GET (\S+)/.exec(chunk.toString('latin1')) ?? [];
        if (path) socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
        else if (!isRefused) {
          isRefused = true;
          socket.pause();
          refuse(socket);
        }
      });
  };
  server.on('tls' in server ? 'secureConnection' : 'connection', accept);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** With the head of a response or before it has come. */
const BROKEN = 'broken';

interface Way {
  readonly upstream: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly ca?: string;
}

async function startSidecar({ upstream, env = {}, ca }: Way): Promise<string> {
  const tokens = await startTokenServer();
  onTestFinished(tokens.close);
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const routes = [{ path: '/api', upstream, ...(ca && { tls: { ca } }) }];
  return (await startEgressWorld({ folder, env, credential: { tokenEndpoint: tokens.url }, routes })).url;
}

/** Status and body, or what became of the call. */
function call(url: string, method: string, body = ''): Promise<string> {
  return new Promise((resolve) => {
    const sent = request(url, { method, agent: false }, async (response) => {
      const received = await text(response).catch(() => undefined);
      const told = response.headers['x-sidecar-error'] ?? received;
      resolve(told === undefined ? BROKEN : `${response.statusCode} ${told}`);
    });
    sent.on('error', () => resolve(BROKEN)).end(body);
  });
}

async function upload(base: string): Promise<string[]> {
  const seen: string[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    seen.push(await call(`${base}/api/up`, 'POST', 'x'.repeat(SIZE)));
    expect(await call(`${base}/api/${round}`, 'GET')).toBe(`200 /${round}`);
  }
  return seen;
}

const LARGE = 'y'.repeat(1024 * 1024);

describe('an upload to an API', () => {
  it.each<readonly [name: string, refuse: Refuse, seen: string]>([
    ['that refuses and closes', close, '413 too large'],
    [
      'that refuses and resets',
      (socket) => socket.write(REFUSAL, () => setImmediate(() => socket.resetAndDestroy())),
      '413 too large',
    ],
    [
      'that refuses and keeps the connection',
      (socket) => socket.write(REFUSAL.replace('close', 'keep-alive')),
      '413 too large',
    ],
    ['that refuses and reads on', (socket) => socket.resume().write(REFUSAL), '413 too large'],
    [
      'that refuses a byte at a time, and closes',
      async (socket) => {
        socket.setNoDelay();
        for (const byte of REFUSAL) await new Promise((resolve) => socket.write(byte, resolve));
        await setTimeout(2);
        socket.destroy();
      },
      '413 too large',
    ],
    [
      'that says 100, refuses and closes',
      (socket) => socket.write(`HTTP/1.1 100 Continue\r\n\r\n${REFUSAL}`, () => setImmediate(() => socket.destroy())),
      '413 too large',
    ],
    [
      'that refuses at length',
      (socket) =>
        socket.resume().end(`HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: ${LARGE.length}\r\n\r\n${LARGE}`),
      `413 ${LARGE}`,
    ],
    [
      'that refuses up to the end of the connection',
      (socket) => socket.resume().end('HTTP/1.1 413 No\r\nConnection: close\r\n\r\ntoo large'),
      '413 too large',
    ],
    ['that refuses twice', (socket) => socket.write(REFUSAL + REFUSAL.replace('large', 'small')), '413 too large'],
    ['that is content early', (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), '200 ok'],
    ['that closes without a word', (socket) => socket.destroy(), '502 UPSTREAM_RESET'],
    ['that resets without a word', (socket) => socket.resetAndDestroy(), '502 UPSTREAM_RESET'],
    [
      'that closes within its first line',
      (socket) => socket.write('HTTP/1.1 4', () => setImmediate(() => socket.destroy())),
      '502 UPSTREAM_RESET',
    ],
    [
      'that closes within its content',
      (socket) => socket.write(`${HEAD}too`, () => setImmediate(() => socket.destroy())),
      BROKEN,
    ],
  ])('%s is told what it has said, and the next request what is for it', async (_name, refuse, seen) => {
    const port = await serve(createServer(), refuse);
    const base = await startSidecar({ upstream: `http://127.0.0.1:${port}` });
    expect(await upload(base)).toEqual(Array(ROUNDS).fill(seen));
  });

  it('that refuses and closes is not told so by a proxy that gives up at the first error', async () => {
    const port = await serve(createServer(), close);
    const script = new URL('../support/naive-proxy.ts', import.meta.url).pathname;
    const child = fork(script, [`http://127.0.0.1:${port}`], { execArgv: [], stdio: 'ignore' });
    onTestFinished(() => void child.kill());
    const [own] = (await once(child, 'message')) as [number];
    // Which of its two events comes first is the system's choice: it is asked until it is wrong.
    let seen = '413 too large';
    for (let round = 0; round < 30 * ROUNDS && seen === '413 too large' && child.exitCode === null; round += 1) {
      seen = await call(`http://127.0.0.1:${own}/api/up`, 'POST', 'x'.repeat(SIZE));
    }
    expect(seen).not.toBe('413 too large');
  });
});

const certificates = makeCertificates((authority) => ({ api: authority.issue('api', 'IP:127.0.0.1,DNS:bank.test') }));

describeWithOpenssl('an upload over TLS to an API', () => {
  it.each<readonly [name: string, refuse: Refuse, isProxied: boolean]>([
    ['closes is told so', close, false],
    // What closes in front of a proxy is that proxy's to cope with.
    ['ends is told so through a proxy', (socket) => socket.end(REFUSAL), true],
  ])('that refuses and %s', async (_name, refuse, isProxied) => {
    const { api, authority } = certificates();
    const tls = createTlsServer({ cert: api.cert, key: api.key });
    const target = await serve(Object.assign(tls, { tls: true }), refuse);
    const proxy = await startConnectProxy({ target });
    onTestFinished(proxy.close);
    const upstream = isProxied ? 'https://bank.test' : `https://127.0.0.1:${target}`;
    const env = isProxied ? { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` } : {};
    const base = await startSidecar({ upstream, env, ca: authority.caFile });
    expect(await upload(base)).toEqual(Array(ROUNDS).fill('413 too large'));
  });
});
