/** http-proxy-3 carries WebSockets, and what it does by itself reaches neither caller nor API. */

import type { Socket } from 'node:net';
import { join } from 'node:path';
import { numOpenSockets } from 'http-proxy-3';
import { describe, expect, it } from 'vitest';
import { type Caller, openCaller } from '../support/caller.ts';
import { withinOwn } from '../support/own-time.ts';
import type { ProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { startSidecarProcess } from '../support/sidecar-process.ts';
import { startTokenServer } from '../support/token-server.ts';
import {
  createUpgradeWorld,
  type HandshakeUpstream,
  OFFER,
  SWITCH,
  startHandshakeUpstream,
} from '../support/upgrade-world.ts';

type Answer = Parameters<typeof startHandshakeUpstream>[0];

interface Setting extends AsyncDisposable {
  readonly upstream: HandshakeUpstream;
  readonly world: ProxyWorld;
  readonly caller: Caller;
}

/** A caller that has sent its offer. */
async function offer(answer: Answer, { target = '/api/ws', fields = '', timeouts = {} } = {}): Promise<Setting> {
  const upstream = await startHandshakeUpstream(answer);
  const world = await createUpgradeWorld(upstream.url, { config: { timeouts } });
  const caller = await world.open();
  caller.send(`GET ${target} HTTP/1.1\r\n${world.host}${OFFER}${fields}\r\n`);
  return {
    upstream,
    world,
    caller,
    async [Symbol.asyncDispose]() {
      caller[Symbol.dispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

const WITHIN_1_S = { timeout: 1000, interval: 5 };
/** It counts in its own process. */
const inOneProcess = it.skipIf(Number(process.env['TEST_WORKERS'] ?? 1) > 1);

/** What it still holds of offers and tunnels, and what the sidecar says is under way. */
const held = async ({ world }: Setting) => [numOpenSockets(), await world.inFlight()];

/** Two connections of every tunnel: the caller's as it sees it, and the API's. */
describe('a WebSocket', () => {
  const ENDINGS: readonly [string, (setting: Setting) => void][] = [
    ['its caller ends', ({ caller }) => void caller.socket.end()],
    ['its caller resets', ({ caller }) => void caller.socket.resetAndDestroy()],
    ['the API ends', ({ upstream }) => void upstream.conversations[0]?.socket.end()],
    ['the API resets', ({ upstream }) => void upstream.conversations[0]?.socket.resetAndDestroy()],
    [
      'its caller resets while nobody reads',
      ({ caller, upstream }) => {
        upstream.conversations[0]?.socket.pause();
        caller.send(Buffer.alloc(8 * 1024 * 1024));
        caller.socket.pause();
        upstream.conversations[0]?.socket.write(Buffer.alloc(8 * 1024 * 1024));
        setTimeout(() => caller.socket.resetAndDestroy(), 100);
      },
    ],
  ];

  inOneProcess.each(ENDINGS)('is carried by http-proxy-3, which holds nothing of it when %s', async (_how, end) => {
    await using setting = await offer(() => SWITCH);
    await expect.poll(() => setting.caller.received).toContain(' 101 ');
    expect(await held(setting)).toEqual([2, 1]);
    end(setting);
    await withinOwn(3000, () => expect.poll(() => held(setting)).toEqual([0, 0]));
  });

  it('reaches the API as it was asked for: target, names, values and their repetition, the token last', async () => {
    const fields = 'X-Twice: 1\r\nx-One: a  b\r\nX-Twice: 2\r\nSec-WebSocket-Protocol: b,a\r\nX-Bytes: \xe9\r\n';
    await using setting = await offer(() => undefined, { target: '/api/a"b|c;./d?', fields });
    await expect.poll(() => setting.upstream.conversations[0]?.head).toContain('GET ');
    const [request, ...lines] = setting.upstream.conversations[0]?.head.split('\r\n') ?? [];
    expect(request).toBe('GET /a"b|c;./d? HTTP/1.1');
    expect(lines.map((line) => line.replace(/^X-Request-Id: .+/, 'X-Request-Id: *'))).toEqual([
      `Host: ${new URL(setting.upstream.url).host}`,
      'Connection: upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version: 13',
      'X-Twice: 1',
      'X-Twice: 2',
      'x-One: a  b',
      'Sec-WebSocket-Protocol: b,a',
      'X-Bytes: \xe9',
      'Via: 1.1 aritma-sidecar',
      'X-Request-Id: *',
      'Authorization: Bearer token-1',
      '',
      '',
    ]);
  });
});

describe('an offer whose caller leaves', () => {
  it.each(['end', 'destroy', 'resetAndDestroy'] as const)(
    'takes the connection to the API along within a second and leaves nothing behind: %s',
    async (leave) => {
      await using setting = await offer(() => undefined);
      await expect.poll(() => setting.upstream.conversations[0]?.head).toContain('GET ');
      setting.caller.socket[leave]();
      const [talk] = setting.upstream.conversations;
      await expect.poll(() => talk?.closed || talk?.ended, WITHIN_1_S).toBe(true);
      await withinOwn(3000, () => expect.poll(() => held(setting)).toEqual([0, 0]));
    },
  );
});

describe('an offer that the API refuses', () => {
  const CLOSE: Answer = (_head, _index, socket) => void socket.destroy();

  it.each<readonly [name: string, answer: Answer, status: number, code: string | undefined]>([
    ['403 with content', () => 'HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nwhy', 403, undefined],
    ['204', () => 'HTTP/1.1 204 N\r\n\r\n', 204, undefined],
    ['304', () => 'HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n', 304, undefined],
    [
      '200 and more bytes',
      () => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nraw',
      200,
      undefined,
    ],
    [
      '200 that names an upgrade',
      () => 'HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\nraw',
      200,
      undefined,
    ],
    [
      'a 101 for another protocol',
      () => 'HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nraw',
      502,
      'UPSTREAM_INVALID',
    ],
    [
      'a 101 for one more protocol',
      () => 'HTTP/1.1 101 S\r\nUpgrade: websocket, h2c\r\nConnection: upgrade\r\n\r\nraw',
      502,
      'UPSTREAM_INVALID',
    ],
    ['a 101 without Connection', () => 'HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\nraw', 502, 'UPSTREAM_INVALID'],
    ['200 and garbage', () => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokraw', 200, undefined],
    ['a 100 and no more', () => 'HTTP/1.1 100 Continue\r\n\r\n', 504, 'UPSTREAM_TIMEOUT'],
    [
      'a 100 too many',
      () => `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(17)}HTTP/1.1 403 No\r\n\r\n`,
      502,
      'UPSTREAM_INVALID',
    ],
    ['099', () => 'HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n', 502, 'UPSTREAM_INVALID'],
    ['700', () => 'HTTP/1.1 700 X\r\nContent-Length: 0\r\n\r\n', 502, 'UPSTREAM_INVALID'],
    ['a 407', () => 'HTTP/1.1 407 P\r\nContent-Length: 0\r\n\r\n', 502, 'UPSTREAM_INVALID'],
    ['garbage', () => '\x16\x03\x01\x02\x00\x01\x00', 502, 'UPSTREAM_INVALID'],
    [
      'two lengths',
      () => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!',
      502,
      'UPSTREAM_INVALID',
    ],
    [
      'a head without end',
      () => `HTTP/1.1 101 S\r\n${`X: ${'x'.repeat(1000)}\r\n`.repeat(20)}`,
      502,
      'UPSTREAM_INVALID',
    ],
    ['a close', CLOSE, 502, 'UPSTREAM_RESET'],
    ['silence', () => undefined, 504, 'UPSTREAM_TIMEOUT'],
  ])('with %s gets one well-framed response and an end, and so does the API', async (...row) => {
    const [, answer, status, code] = row;
    await using setting = await offer(answer, { timeouts: { firstByte: '300ms' } });
    const { caller, upstream, world } = setting;
    const response = await caller.answer();
    expect([response.status, response.header('x-sidecar-error')]).toEqual([status, code]);
    expect([response.header('connection'), response.header('upgrade')]).toEqual(['close', undefined]);
    expect(response.header('x-request-id')).toMatch(/^[\w-]+$/);
    expect(await caller.ended()).toBe('end');
    expect(caller.received).toHaveLength(response.end);
    const [talk] = upstream.conversations;
    await expect.poll(() => talk?.closed || talk?.ended, WITHIN_1_S).toBe(true);
    await withinOwn(3000, () => expect.poll(() => held(setting)).toEqual([0, 0]));
    const line = { message: 'request', status, ...(code && { code }) };
    await expect.poll(() => world.sidecar.logs).toContainEqual(expect.objectContaining(line));
  });

  it.each([
    ['breaks off', (socket: Socket) => void socket.end()],
    ['stops', () => undefined],
  ])('with a response that %s is not told that it was whole', async (_how, after) => {
    const bytes = 'HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n';
    const answer: Answer = (_head, _index, socket) => void socket.write(bytes, () => after(socket));
    await using setting = await offer(answer, { timeouts: { idle: '300ms' } });
    await expect(setting.caller.answer()).rejects.toThrow('no whole answer (reset)');
    await expect.poll(() => setting.world.inFlight()).toBe(0);
  });

  it('slowly, a header at a time, is not waited for longer than for a first byte', async () => {
    await using setting = await offer(
      (_head, _index, socket) => {
        const timer = setInterval(() => socket.write('X: y\r\n'), 50);
        socket.once('close', () => clearInterval(timer));
        return 'HTTP/1.1 101 S\r\n';
      },
      { timeouts: { firstByte: '400ms' } },
    );
    const answer = await withinOwn(2000, () => setting.caller.answer());
    expect(answer.header('x-sidecar-error')).toBe('UPSTREAM_TIMEOUT');
  });
});

const disposable = <T extends { close(): Promise<unknown> }>(server: T): T & AsyncDisposable =>
  Object.assign(server, { [Symbol.asyncDispose]: async () => void (await server.close()) });

/** Tells at the end what Node has read in. */
const LOADED = `
  import { createRequire } from 'node:module';
  process.on('exit', () => {
    const loaded = Object.keys(createRequire('/').cache).some((file) => file.includes('/http-proxy-3/'));
    process.stderr.write('http-proxy-3 loaded: ' + loaded);
  });
`;

describe('the program', () => {
  /** What it has said on standard error when it has served one caller. */
  async function serveOne(fields: string, launcher: readonly string[] = []): Promise<string> {
    const upstream = await startHandshakeUpstream(() => (fields ? SWITCH : ok('fine')));
    await using tokens = disposable(await startTokenServer());
    await using sidecar = await startSidecarProcess({
      upstream: upstream.url,
      tokenEndpoint: tokens.url,
      route: { upgrade: true },
      before: LOADED,
      launcher,
      // In the bundle, packages have no files of their own.
      main: join(import.meta.dirname, '../../src/main.ts'),
    });
    using caller = await openCaller(sidecar.port);
    caller.send(`GET /api/canary?canary HTTP/1.1\r\nHost: 127.0.0.1:${sidecar.port}\r\nX-A: canary\r\n${fields}\r\n`);
    expect((await caller.answer({ toHead: true })).status).toBe(fields ? 101 : 200);
    if (fields) {
      upstream.conversations[0]?.socket.write('from the API');
      await expect.poll(() => caller.received.endsWith('from the API')).toBe(true);
    }
    caller[Symbol.dispose]();
    return (await sidecar.stop()).stderr;
  }

  it('has http-proxy-3 loaded when it carries a WebSocket, and only then', async () => {
    expect([await serveOne(''), await serveOne(OFFER)]).toEqual([
      'http-proxy-3 loaded: false',
      'http-proxy-3 loaded: true',
    ]);
  });

  it('prints nothing of a caller or the token when http-proxy-3 is asked to print what it does', async () => {
    const stderr = await serveOne(OFFER, ['env', 'DEBUG=http-proxy-3*']);
    expect(stderr).toContain('websocket: new stream');
    expect(stderr).not.toMatch(/canary|token-1|Bearer/i);
  });
});
