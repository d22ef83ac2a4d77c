/** Who the sidecar takes for an API or an identity server, and that nothing is sent to anybody else. */
import type { ServerOptions } from 'node:https';
import { setImmediate } from 'node:timers/promises';
import { connect } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { createAuthority, describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { type EgressOptions, startEgressWorld } from '../support/egress-world.ts';
import { createFolder } from '../support/folder.ts';
import { collectGarbage } from '../support/garbage.ts';
import { PATIENCE_MS } from '../support/own-time.ts';
import { startTlsServer, type TlsServer } from '../support/tls-server.ts';
import { startTokenServer } from '../support/token-server.ts';

const certificates = makeCertificates((authority, folder) => {
  return {
    other: createAuthority(folder, 'other-ca'),
    good: authority.issue('good', 'IP:127.0.0.1,DNS:localhost'),
    wrongName: authority.issue('wrong-name', 'DNS:other.test,IP:127.0.0.2'),
    expired: authority.issue('expired', 'IP:127.0.0.1', -1),
    client: authority.issue('client-erp', 'DNS:client.test'),
  };
});

async function startServer(options: ServerOptions): Promise<TlsServer> {
  const server = await startTlsServer(options);
  onTestFinished(server.close);
  return server;
}

async function startWorld(options: Omit<EgressOptions, 'folder' | 'credential'> & Partial<EgressOptions>) {
  const tokens = await startTokenServer();
  onTestFinished(tokens.close);
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  return startEgressWorld({ folder, credential: { tokenEndpoint: tokens.url }, ...options });
}

const originOf = ({ port }: TlsServer) => `https://127.0.0.1:${port}`;
const REFUSED = { status: 502, code: 'UPSTREAM_UNREACHABLE' };
const OLD_TLS = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;

describeWithOpenssl('src/net/egress.ts: TLS', () => {
  it('refuses an API whose CA is private, and sends it nothing, until the route names that CA', async () => {
    const { good, authority, other } = certificates();
    const api = await startServer(good);
    const upstream = originOf(api);
    const world = await startWorld({
      routes: [
        { path: '/unknown', upstream },
        { path: '/other', upstream, tls: { ca: other.caFile } },
        { path: '/known', upstream, tls: { ca: authority.caFile } },
      ],
    });
    expect(await world.call('/unknown/x')).toMatchObject(REFUSED);
    expect(await world.call('/other/x')).toMatchObject(REFUSED);
    expect(api.calls).toEqual([]);
    expect(await world.call('/known/x')).toMatchObject({ status: 200, code: null });
    expect(api.calls).toMatchObject([{ path: '/x', authorization: 'Bearer token-1' }]);
    expect(await world.call('/unknown/x')).toMatchObject(REFUSED);
    expect(api.calls).toHaveLength(1);
  });

  it('resumes the TLS session on its next connection, whatever has been garbage collected meanwhile', async () => {
    const { good, authority } = certificates();
    const api = await startServer(good);
    const world = await startWorld({
      routes: [{ path: '/api', upstream: originOf(api), tls: { ca: authority.caFile } }],
    });
    for (let calls = 0; calls < 3; calls += 1) {
      expect(await world.call('/api/last')).toMatchObject({ status: 200 });
      // What is only weakly held is kept to the end of its turn of the event loop.
      await setImmediate();
      collectGarbage();
    }
    expect(api.resumed).toEqual([false, true, true]);
  });

  it('goes on with the last good files while one of them is written anew, wherever the writer has got to', async () => {
    const { good, authority, client } = certificates();
    const api = await startServer({ ...good, ca: authority.ca, requestCert: true });
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    const contents = { ca: authority.ca, cert: client.cert, key: client.key };
    const files = Object.entries(contents).map(([name, content]) => [name, folder.write(name, content)]);
    const routes = [{ path: '/api', upstream: originOf(api), tls: Object.fromEntries(files) as object }];
    const world = await startWorld({ routes });
    expect(await world.call()).toMatchObject({ status: 200 });
    for (const [name, content] of Object.entries(contents)) {
      const whole = content.trimEnd().length;
      // Each byte of them is tried in test/core/pem.test.ts.
      for (let length = 0; length < whole; length += 9) {
        folder.write(name, content.slice(0, length));
        world.reload();
        if (length % 90 === 0) expect(await world.call()).toMatchObject({ status: 200 });
      }
      folder.write(name, content);
    }
    const reloads = /^aritma_sidecar_config_reloads_total\{result="ok"\} (\d+)$/m;
    expect(reloads.exec(await world.metrics())?.[1]).toBe('0');
    expect(await world.call()).toMatchObject({ status: 200 });
  });

  it.each(['issuer', 'tokenEndpoint'])(
    'keeps the secret from an identity server whose CA is private (by %s) until the credential names that CA',
    async (how) => {
      const { good, authority } = certificates();
      const server = await startServer(good);
      const where = { [how]: how === 'issuer' ? originOf(server) : `${originOf(server)}/connect/token` };
      const routes = [{ path: '/api', upstream: originOf(server), tls: { ca: authority.caFile } }];
      const refused = await startWorld({ credential: where, routes });
      expect(await refused.call()).toMatchObject({ status: 503, code: 'TOKEN_UNAVAILABLE' });
      expect(server.calls).toEqual([]);
      const result = how === 'issuer' ? 'discovery' : 'tls';
      expect(refused.logs).toContainEqual(expect.objectContaining({ result }));
      const world = await startWorld({ credential: { ...where, tls: { ca: authority.caFile } }, routes });
      expect(await world.call()).toMatchObject({ status: 200, code: null });
      expect(server.calls.at(-1)).toMatchObject({ authorization: 'Bearer tls-token-never-printed' });
      expect(world.log()).not.toContain('never-printed');
    },
  );

  it.each([
    ['for another host name', 'wrongName'],
    ['that has expired', 'expired'],
  ] as const)('refuses a certificate %s, at an API and at an identity server', async (_what, which) => {
    const { authority, [which]: certificate } = certificates();
    const server = await startServer(certificate);
    const tls = { ca: authority.caFile };
    const routes = [{ path: '/api', upstream: originOf(server), tls }];
    expect(await (await startWorld({ routes })).call()).toMatchObject(REFUSED);
    const credential = { tokenEndpoint: `${originOf(server)}/connect/token`, tls };
    const world = await startWorld({ credential, routes });
    expect(await world.call()).toMatchObject({ status: 503, code: 'TOKEN_UNAVAILABLE' });
    expect(world.logs).toContainEqual(expect.objectContaining({ result: 'tls' }));
    expect(server.calls).toEqual([]);
  });

  it('shows the client certificate where one is configured, and gets no answer without', async () => {
    const { authority, good, client } = certificates();
    const server = await startServer({ ...good, ca: authority.ca, requestCert: true, rejectUnauthorized: true });
    const upstream = originOf(server);
    const ca = authority.caFile;
    const tls = { ca, cert: client.certFile, key: client.keyFile };
    const routes = [
      { path: '/with', upstream, tls },
      { path: '/without', upstream, tls: { ca } },
    ];
    const credential = { tokenEndpoint: `${upstream}/connect/token` };
    const refused = await startWorld({ credential: { ...credential, tls: { ca } }, routes });
    expect(await refused.call('/with/x')).toMatchObject({ status: 503, code: 'TOKEN_UNAVAILABLE' });
    expect(server.calls).toEqual([]);
    const world = await startWorld({ credential: { ...credential, tls }, routes });
    expect(await world.call('/with/x')).toMatchObject({ status: 200 });
    expect((await world.call('/without/x')).status).toBe(502);
    expect(server.calls.map(({ path, client: name }) => [path, name])).toEqual([
      ['/connect/token', 'client-erp'],
      ['/x', 'client-erp'],
    ]);
    expect(world.log() + (await world.status())).not.toContain('PRIVATE KEY');
  });

  it('refuses a server that speaks TLS 1.1 at most', async () => {
    const { authority, good } = certificates();
    const server = await startServer({ ...good, ...OLD_TLS });
    await handshake(server.port, authority.ca);
    const routes = [{ path: '/api', upstream: originOf(server), tls: { ca: authority.caFile } }];
    expect(await (await startWorld({ routes })).call()).toMatchObject(REFUSED);
    expect(server.calls).toEqual([]);
    expect(server.failures).toHaveLength(1);
  });

  it('refuses a server that speaks no TLS', async () => {
    const plain = await startTokenServer();
    onTestFinished(plain.close);
    const upstream = `https://127.0.0.1:${new URL(plain.url).port}`;
    expect(await (await startWorld({ routes: [{ path: '/api', upstream }] })).call()).toMatchObject(REFUSED);
    expect(plain.calls).toEqual([]);
  });
});

/** Proves that the old server works for a client that allows it. */
function handshake(port: number, ca: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', ca, ...OLD_TLS }, () => {
      socket.destroy();
      resolve();
    });
    socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error('no handshake')));
    socket.on('error', reject);
  });
}
