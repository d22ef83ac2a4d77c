/** The company's proxy on the way out: asked to CONNECT and nothing else, never shown secret or token. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { type ProxyBehaviour, startConnectProxy } from '../support/connect-proxy.ts';
import { startEgressWorld } from '../support/egress-world.ts';
import { createFolder } from '../support/folder.ts';
import { signItself } from '../support/odd-certificates.ts';
import { TEST_SECRET } from '../support/sidecar.ts';
import { startTlsServer } from '../support/tls-server.ts';
import { startTokenServer } from '../support/token-server.ts';

const certificates = makeCertificates((authority) => {
  return {
    server: authority.issue('server', 'DNS:bank.test,DNS:id.test,IP:127.0.0.1,IP:0.0.0.0'),
  };
});

const PASSWORD = 'canary-proxy-never-printed';
const TOKEN = 'tls-token-never-printed';

/** A server behind TLS, a proxy that leads every name there, and the ends of a sidecar between them. */
async function setUp(status: ProxyBehaviour['status'] = 200) {
  const { authority, server } = certificates();
  const remote = await startTlsServer(server);
  const proxy = await startConnectProxy({ target: remote.port, status });
  const tokens = await startTokenServer();
  const folder = createFolder();
  onTestFinished(async () => {
    await Promise.all([proxy.close(), remote.close(), tokens.close()]);
    folder[Symbol.dispose]();
  });
  const tls = { ca: authority.caFile };
  return {
    remote,
    proxy,
    tls,
    url: `http://erp:${PASSWORD}@127.0.0.1:${proxy.port}`,
    local: { tokenEndpoint: tokens.url },
    start: (options: Omit<Parameters<typeof startEgressWorld>[0], 'folder'>) =>
      startEgressWorld({ folder, ...options }),
  };
}

describeWithOpenssl('src/net/egress.ts: outbound proxy', () => {
  it.each(['HTTPS_PROXY', 'https_proxy'])(
    'goes through %s by CONNECT, which shows it no secret and no token',
    async (name) => {
      const { start, proxy, remote, tls, url } = await setUp();
      const world = await start({
        env: { [name]: url },
        credential: { issuer: 'https://id.test', tls },
        routes: [{ path: '/api', upstream: 'https://bank.test', tls }],
      });
      for (const _ of [1, 2]) expect(await world.call()).toMatchObject({ status: 200, code: null });
      expect(new Set(proxy.connects)).toEqual(new Set(['id.test:443', 'bank.test:443']));
      expect(proxy.others).toEqual([]);
      expect(remote.calls.map(({ path }) => path)).toEqual([
        '/.well-known/openid-configuration',
        '/connect/token',
        '/x',
        '/x',
      ]);
      expect(remote.calls.at(-1)?.authorization).toBe(`Bearer ${TOKEN}`);
      const credentials = `Basic ${Buffer.from(`erp:${PASSWORD}`).toString('base64')}`;
      expect(new Set(proxy.headers.map((headers) => headers['proxy-authorization']))).toEqual(new Set([credentials]));
      const shown = JSON.stringify(proxy.headers) + proxy.relayed();
      for (const hidden of [TOKEN, TEST_SECRET]) expect(shown).not.toContain(hidden);
      expect(shown).not.toContain('"authorization"');
    },
  );

  it('checks the certificate for the name of the API, not of the proxy', async () => {
    const { start, local, remote, tls, url } = await setUp();
    const world = await start({
      env: { HTTPS_PROXY: url },
      credential: local,
      routes: [
        { path: '/unnamed', upstream: 'https://elsewhere.test', tls },
        { path: '/untrusted', upstream: 'https://bank.test' },
      ],
    });
    for (const path of ['/unnamed/x', '/untrusted/x']) {
      expect(await world.call(path)).toMatchObject({ status: 502, code: 'UPSTREAM_UNREACHABLE' });
    }
    expect(remote.calls).toEqual([]);
  });

  it.each([407, 403, 502])(
    'answers 502 when the proxy refuses with %i, and never prints its password',
    async (status) => {
      const { start, proxy, local, remote, tls, url } = await setUp(status);
      const world = await start({
        env: { HTTPS_PROXY: url },
        credential: local,
        routes: [{ path: '/api', upstream: 'https://bank.test', tls }],
      });
      const seen = await world.call();
      expect(seen).toMatchObject({ status: 502, code: 'UPSTREAM_UNREACHABLE' });
      expect(proxy.connects).toEqual(['bank.test:443']);
      expect(remote.calls).toEqual([]);
      expectHidden([seen.text, world.log(), await world.status()]);
    },
  );

  it('answers 503 when the proxy refuses the way to the identity server, and never prints its password', async () => {
    const { start, remote, tls, url } = await setUp(407);
    const world = await start({
      env: { HTTPS_PROXY: url },
      credential: { tokenEndpoint: 'https://id.test/connect/token', tls },
      routes: [{ path: '/api', upstream: 'https://bank.test', tls }],
    });
    const seen = await world.call();
    expect(seen).toMatchObject({ status: 503, code: 'TOKEN_UNAVAILABLE' });
    expect(remote.calls).toEqual([]);
    expectHidden([seen.text, world.log(), await world.status()]);
  });

  it('gives up within the time to connect when the proxy never answers CONNECT', async () => {
    const { start, proxy, local, tls, url } = await setUp('silent');
    const world = await start({
      env: { HTTPS_PROXY: url },
      credential: local,
      routes: [{ path: '/api', upstream: 'https://bank.test', tls }],
      config: { timeouts: { connect: '500ms' } },
    });
    expect(await world.call()).toMatchObject({ status: 502, code: 'UPSTREAM_UNREACHABLE' });
    expect(proxy.connects).toEqual(['bank.test:443']);
  });

  it.each<[string, (client: Socket) => unknown]>([
    [
      '200 and bytes of its own behind',
      (client) => client.write(`${YES}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`),
    ],
    ['200 with a body', (client) => client.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')],
    ['200 and a certificate of its own', (client) => forge(client)],
    ['half a head', (client) => client.write('HTTP/1.1 200 OK\r\nX-A')],
    ['one byte at a time, for ever', (client) => drip(client, 'HTTP/1.1 200 OK\r\nX-A: ')],
    ['interim responses without end', (client) => flood(client, 'HTTP/1.1 100 Continue\r\n\r\n')],
    [
      'a head without end',
      (client) => flood(client, 'X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n', 'HTTP/1.1 200 OK\r\n'),
    ],
    ['101', (client) => client.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n')],
    ['something that is no HTTP', (client) => client.write('SSH-2.0-OpenSSH_9.2\r\n')],
    ['nothing, and closes', (client) => client.end()],
    ['nothing, and resets', (client) => client.resetAndDestroy()],
  ])(
    'fails the call within its time, and the next one goes through, when the proxy sends %s',
    async (_what, answer) => {
      const { start, proxy, local, remote, tls } = await setUp();
      let isHostile = true;
      const sockets = new Set<Socket>();
      const front = createServer((client) => {
        sockets.add(client.on('error', () => client.destroy()));
        if (isHostile) return void client.once('data', () => answer(client));
        const through = connect(proxy.port, '127.0.0.1').on('error', () => client.destroy());
        client.pipe(through).pipe(client);
      });
      await new Promise<void>((done) => front.listen(0, '127.0.0.1', done));
      onTestFinished(() => {
        for (const socket of sockets) socket.destroy();
        front.close();
      });
      const world = await start({
        env: { HTTPS_PROXY: `erp:${PASSWORD}@127.0.0.1:${(front.address() as AddressInfo).port}` },
        credential: local,
        routes: [{ path: '/api', upstream: 'https://bank.test', tls }],
        config: { timeouts: { connect: '400ms' } },
      });
      const seen = await world.call();
      expect(seen).toMatchObject({ status: 502, code: 'UPSTREAM_UNREACHABLE' });
      expect([seen.text.includes('evil'), remote.calls]).toEqual([false, []]);
      // Nothing is kept open to it.
      await expect.poll(() => [...sockets].filter(({ closed }) => !closed)).toEqual([]);
      isHostile = false;
      expect(await world.call()).toMatchObject({ status: 200 });
      expectHidden([seen.text, world.log(), await world.status()]);
    },
  );

  it('goes directly to what NO_PROXY names, and through the proxy to what it does not', async () => {
    const { start, proxy, local, remote, tls, url } = await setUp();
    // Not a loopback address by its spelling, and yet this machine.
    const upstream = `https://0.0.0.0:${remote.port}`;
    const routes = [{ path: '/api', upstream, tls }];
    const direct = await start({ env: { HTTPS_PROXY: url, NO_PROXY: 'a.test,0.0.0.0' }, credential: local, routes });
    expect(await direct.call()).toMatchObject({ status: 200 });
    expect(proxy.connects).toEqual([]);
    const proxied = await start({ env: { HTTPS_PROXY: url, NO_PROXY: 'a.test' }, credential: local, routes });
    expect(await proxied.call()).toMatchObject({ status: 200 });
    expect(proxy.connects).toEqual([`0.0.0.0:${remote.port}`]);
    expect(remote.calls).toHaveLength(2);
  });

  it('never goes through the proxy to this machine', async () => {
    const { start, proxy, local, remote, tls, url } = await setUp();
    const world = await start({
      env: { HTTPS_PROXY: url, HTTP_PROXY: url, NO_PROXY: '' },
      credential: local,
      routes: [{ path: '/api', upstream: `https://127.0.0.1:${remote.port}`, tls }],
    });
    expect(await world.call()).toMatchObject({ status: 200 });
    expect([...proxy.connects, ...proxy.others]).toEqual([]);
  });

  it('leaves https alone when only HTTP_PROXY is set', async () => {
    const { start, proxy, local, remote, tls, url } = await setUp();
    const routes = [{ path: '/api', upstream: `https://0.0.0.0:${remote.port}`, tls }];
    const world = await start({ env: { HTTP_PROXY: url }, credential: local, routes });
    expect(await world.call()).toMatchObject({ status: 200 });
    expect(proxy.connects).toEqual([]);
  });
});

const YES = 'HTTP/1.1 200 OK\r\n\r\n';

function drip(client: Socket, text: string): void {
  let sent = 0;
  const timer = setInterval(() => client.write(text[sent++] ?? 'a'), 20);
  client.on('close', () => clearInterval(timer));
}

function flood(client: Socket, text: string, first = ''): void {
  client.write(first);
  const more = () => {
    while (client.writable && client.write(text.repeat(100)));
  };
  client.on('drain', more);
  more();
}

/** Speaks TLS as the API itself would. */
function forge(client: Socket): void {
  const { key, cert } = signItself(certificates().folder);
  client.write(YES);
  new TLSSocket(client, { isServer: true, key, cert }).on('error', () => client.destroy());
}

function expectHidden(texts: readonly string[]): void {
  const encoded = Buffer.from(`erp:${PASSWORD}`).toString('base64');
  for (const text of texts) {
    expect(text).not.toContain('never-printed');
    expect(text).not.toContain(encoded);
  }
}
