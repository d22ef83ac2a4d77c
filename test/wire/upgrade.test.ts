/** WebSockets through the sidecar, between a real client and a real server. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import WebSocket, { type RawData, WebSocketServer } from 'ws';
import { withinOwn } from '../support/own-time.ts';
import type { ProxyWorld } from '../support/proxy-world.ts';
import { json } from '../support/token-server.ts';
import { createUpgradeWorld, OFFER } from '../support/upgrade-world.ts';

interface World {
  readonly world: ProxyWorld;
  readonly server: WebSocketServer;
  /** Handshakes that reached the API. */
  readonly handshakes: readonly IncomingMessage[];
  open(path?: string, options?: WebSocket.ClientOptions, protocols?: string[]): WebSocket;
  /** An open client and the server's end of it. */
  pair(): Promise<[WebSocket, WebSocket]>;
}

async function createWorld(
  serverOptions: ConstructorParameters<typeof WebSocketServer>[0] = {},
  config: Readonly<Record<string, unknown>> = {},
): Promise<World> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...serverOptions });
  await once(server, 'listening');
  const handshakes: IncomingMessage[] = [];
  server.on('connection', (socket, req) => {
    socket.on('error', () => undefined);
    handshakes.push(req);
  });
  const world = await createUpgradeWorld(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { config });
  onTestFinished(async () => {
    for (const socket of server.clients) socket.terminate();
    server.close();
    await world[Symbol.asyncDispose]();
  });
  const open: World['open'] = (path = '/api/ws', options = {}, protocols = []) => {
    const client = new WebSocket(`ws://127.0.0.1:${world.sidecar.port}${path}`, protocols, options);
    client.on('error', () => undefined);
    onTestFinished(() => client.terminate());
    return client;
  };
  return {
    world,
    server,
    handshakes,
    open,
    async pair() {
      const accepted = once(server, 'connection') as Promise<[WebSocket]>;
      const client = open();
      const [[theirs]] = await Promise.all([accepted, once(client, 'open')]);
      return [client, theirs];
    },
  };
}

async function message(socket: WebSocket): Promise<Buffer> {
  const [data] = (await once(socket, 'message')) as [RawData];
  return Buffer.isBuffer(data) ? data : Buffer.concat(data as Buffer[]);
}

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');

const upgradeLog = (world: ProxyWorld) =>
  world.sidecar.logs.filter(({ message: text, status }) => text === 'request' && status === 101);

async function metrics(world: ProxyWorld): Promise<string> {
  return (await fetch(`${world.sidecar.adminUrl}/metrics`)).text();
}

describe('a WebSocket on a route with upgrade: true', () => {
  it('carries text both ways', async () => {
    const { pair } = await createWorld();
    const [client, server] = await pair();
    const [up, down] = [message(server), message(client)];
    client.send('hëllo up');
    server.send('hëllo down');
    expect([String(await up), String(await down)]).toEqual(['hëllo up', 'hëllo down']);
  });

  it.each([true, false])('carries 16 MiB both ways at once unharmed, with compression offered: %s', async (deflate) => {
    const { pair } = await createWorld({ perMessageDeflate: deflate, maxPayload: 0 });
    const [client, server] = await pair();
    const data = randomBytes(16 * 1024 * 1024);
    const [up, down] = [message(server), message(client)];
    client.send(data);
    server.send(data);
    expect([sha256(await up), sha256(await down)]).toEqual([sha256(data), sha256(data)]);
  });

  it('carries pings and pongs both ways', async () => {
    const { pair } = await createWorld();
    const [client, server] = await pair();
    const [ping, pong] = [once(server, 'ping'), once(client, 'pong')];
    client.ping('up');
    expect([String((await ping)[0]), String((await pong)[0])]).toEqual(['up', 'up']);
    const [ping2, pong2] = [once(client, 'ping'), once(server, 'pong')];
    server.ping('down');
    expect([String((await ping2)[0]), String((await pong2)[0])]).toEqual(['down', 'down']);
  });

  it.each([
    [1000, 'bye'],
    [4321, 'own code'],
  ])('carries close code %i both ways', async (code, reason) => {
    const { pair } = await createWorld();
    for (const fromClient of [true, false]) {
      const [client, server] = await pair();
      const [closer, other] = fromClient ? [client, server] : [server, client];
      const closed = Promise.all([once(other, 'close'), once(closer, 'close')]);
      closer.close(code, reason);
      for (const [seen, text] of await closed) expect([seen, String(text)]).toEqual([code, reason]);
    }
  });

  it('negotiates the subprotocol with the server', async () => {
    const { open, handshakes } = await createWorld({ handleProtocols: () => 'two' });
    const client = open('/api/ws', {}, ['one', 'two']);
    await once(client, 'open');
    expect([client.protocol, handshakes[0]?.headers['sec-websocket-protocol']]).toEqual(['two', 'one,two']);
  });

  it('reaches the API with our token only, by its own name, under its own path', async () => {
    const { open, handshakes, server, world } = await createWorld();
    const headers = { authorization: 'Bearer mine', 'proxy-authorization': 'Basic eA==', cookie: 'a=1', 'x-own': 'y' };
    await once(open('/api/ws?a=%2f&b=//..', { headers }), 'open');
    const [{ rawHeaders = [], url, method } = {}] = handshakes;
    const pairs = rawHeaders.flatMap((name, at) =>
      at % 2 === 0 ? [`${name.toLowerCase()}: ${rawHeaders[at + 1]}`] : [],
    );
    const named = (name: string) => pairs.filter((line) => line.startsWith(`${name}: `));
    expect([method, url]).toEqual(['GET', '/ws?a=%2f&b=//..']);
    expect(named('authorization')).toEqual(['authorization: Bearer token-1']);
    expect(named('host')).toEqual([`host: 127.0.0.1:${(server.address() as AddressInfo).port}`]);
    expect(named('via')).toEqual(['via: 1.1 aritma-sidecar']);
    expect([named('cookie'), named('x-own')]).toEqual([['cookie: a=1'], ['x-own: y']]);
    expect([named('connection'), named('upgrade')]).toEqual([['connection: upgrade'], ['upgrade: websocket']]);
    expect(named('x-request-id')).toHaveLength(1);
    expect(pairs.filter((line) => /^(x-forwarded|forwarded|proxy-)/.test(line))).toEqual([]);
    expect(world.tokens.calls).toHaveLength(1);
  });

  it('is in flight while it is open, then one line in the log and one count', async () => {
    const { pair, world } = await createWorld();
    const [client, server] = await pair();
    const got = message(client);
    server.send('12345');
    await got;
    expect([await world.inFlight(), upgradeLog(world)]).toEqual([1, []]);
    client.close();
    await expect.poll(() => world.inFlight()).toBe(0);
    // Text in a frame of 7 bytes, and a close frame of 2.
    expect(upgradeLog(world)).toMatchObject([{ method: 'GET', route: '/api', path: '/api/ws', bytesOut: 9 }]);
    expect(await metrics(world)).toMatch(/requests_total\{route="\/api",method="GET",code="101"\} 1\n/);
  });

  it('outlives the deadlines of requests when nobody says anything', async () => {
    const timeouts = { idle: '100ms', firstByte: '100ms', callerHeaders: '1s' };
    const { pair } = await createWorld({}, { timeouts });
    const [client, server] = await pair();
    await new Promise((resolve) => setTimeout(resolve, 2500));
    const got = message(server);
    client.send('still here');
    expect(String(await got)).toBe('still here');
  });

  it('is cut at the drain limit, and the stop says so', async () => {
    const { pair, world } = await createWorld({}, { drain: { limit: '300ms' } });
    const [client, server] = await pair();
    const ends = Promise.all([once(client, 'close'), once(server, 'close')]);
    const startedAt = performance.now();
    const stopped = world.sidecar.stop();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const got = message(server);
    client.send('while draining');
    expect(String(await got)).toBe('while draining');
    expect(await stopped).toBe(false);
    expect(performance.now() - startedAt).toBeGreaterThan(280);
    for (const [code] of await ends) expect(code).toBe(1006);
    expect(upgradeLog(world)).toHaveLength(1);
  });

  it('lets the stop be a clean one when it ends in time', async () => {
    const { pair, world } = await createWorld();
    const [client] = await pair();
    const stopped = world.sidecar.stop();
    client.close();
    expect(await stopped).toBe(true);
  });

  it('goes on across a reload that takes upgrades away, new ones do not', async () => {
    const { pair, world, open } = await createWorld();
    const [client, server] = await pair();
    const changed = readFileSync(world.sidecar.file, 'utf8').replaceAll('"upgrade":true', '"upgrade":false');
    writeFileSync(world.sidecar.file, changed);
    world.sidecar.reload();
    await expect.poll(async () => /config_generation 2\n/.test(await metrics(world))).toBe(true);
    const [, response] = (await once(open(), 'unexpected-response')) as [unknown, IncomingMessage];
    expect(response.statusCode).toBe(426);
    const got = message(client);
    server.send('still here');
    expect(String(await got)).toBe('still here');
  });

  it('leaves nothing behind, however a hundred of them end', async () => {
    const { world, open, server } = await createWorld();
    server.on('connection', (socket) =>
      socket.on('message', (data) => (String(data) === 'die' ? socket.terminate() : 0)),
    );
    const endings = [
      (client: WebSocket) => client.close(),
      (client: WebSocket) => client.terminate(),
      (client: WebSocket) => client.send('die'),
      (client: WebSocket) => client.send(Buffer.alloc(100_000), () => client.terminate()),
    ];
    const clients = Array.from({ length: 100 }, () => open());
    await Promise.all(clients.map((client) => once(client, 'open')));
    expect(await world.inFlight()).toBe(100);
    const closed = Promise.all(clients.map((client) => once(client, 'close')));
    for (const [index, client] of clients.entries()) endings[index % endings.length]?.(client);
    await closed;
    await withinOwn(3000, () => expect.poll(() => world.inFlight()).toBe(0));
    await expect.poll(() => server.clients.size).toBe(0);
    expect(upgradeLog(world)).toHaveLength(100);
    expect(world.tokens.calls).toHaveLength(1);
  });

  it('is 503 problem+json when no token can be had, and the connection is closed', async () => {
    const { world, handshakes } = await createWorld({}, { token: { waitTimeout: '900ms' } });
    world.tokens.answerWith(json(500, {}));
    await fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    using caller = await world.open();
    caller.send(`GET /api/ws HTTP/1.1\r\n${world.host}${OFFER}\r\n`);
    const answer = await caller.answer({ timeoutMs: 15_000 });
    expect([answer.status, answer.header('content-type'), answer.header('x-sidecar-error')]).toEqual([
      503,
      'application/problem+json',
      'TOKEN_UNAVAILABLE',
    ]);
    expect(answer.header('retry-after')).toMatch(/^\d+$/);
    expect([answer.header('connection'), await caller.ended()]).toEqual(['close', 'end']);
    expect(answer.json()).toMatchObject({ code: 'TOKEN_UNAVAILABLE' });
    expect(handshakes).toEqual([]);
  });
});
