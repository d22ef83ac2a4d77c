/** Ready connections with client certificates and through a company's proxy: which certificate they show, and when they go. */
import { expect, it, onTestFinished } from 'vitest';
import { describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { startEgressWorld } from '../support/egress-world.ts';
import { createFolder } from '../support/folder.ts';
import { startTlsServer } from '../support/tls-server.ts';
import { startTokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';

const certificates = makeCertificates((authority) => ({
  server: authority.issue('api', 'IP:127.0.0.1,DNS:bank.test'),
  one: authority.issue('client-one', 'DNS:one.test'),
  two: authority.issue('client-two', 'DNS:two.test'),
}));

type Routes = (upstream: string, ca: string) => readonly Readonly<Record<string, unknown>>[];

async function startWorld(routes: Routes, { isProxied = false, requestCert = false } = {}) {
  const { server, authority } = certificates();
  const api = await startTlsServer({ ...server, requestCert, ca: authority.ca });
  onTestFinished(api.close);
  const proxy = await startConnectProxy({ target: api.port });
  onTestFinished(proxy.close);
  const tokens = await startTokenServer();
  onTestFinished(tokens.close);
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const upstream = isProxied ? 'https://bank.test' : `https://127.0.0.1:${api.port}`;
  const world = await startEgressWorld({
    folder,
    credential: { tokenEndpoint: tokens.url },
    routes: routes(upstream, authority.caFile),
    env: isProxied ? { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` } : {},
  });
  return { api, proxy, world, folder };
}

describeWithOpenssl('routes[].warm over TLS', () => {
  it('opens none for a route of its own certificate because another route to that API has warm', async () => {
    const { one, two } = certificates();
    const { api, world } = await startWorld(
      (upstream, ca) => [
        { path: '/one', upstream, tls: { ca, cert: one.certFile, key: one.keyFile } },
        { path: '/two', upstream, warm: true, tls: { ca, cert: two.certFile, key: two.keyFile } },
      ],
      { requestCert: true },
    );
    await until('a connection is open', () => api.resumed.length > 0);
    expect(await world.call('/two/x')).toMatchObject({ status: 200 });
    expect(api.resumed).toHaveLength(1);
    expect(await world.call('/one/x')).toMatchObject({ status: 200 });
    expect(api.resumed).toHaveLength(2);
    expect(api.calls.map(({ client }) => client)).toEqual(['client-two', 'client-one']);
  });

  it('shows the new certificate after a reload, with no session of the old one, also on the ready connection', async () => {
    const { one, two } = certificates();
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    const cert = folder.write('client.crt', one.cert);
    const key = folder.write('client.key', one.key);
    const { api, world } = await startWorld(
      (upstream, ca) => [{ path: '/a', upstream, warm: true, tls: { ca, cert, key } }],
      { requestCert: true },
    );
    await until('a connection is open', () => api.resumed.length === 1);
    expect(await world.call('/a/last')).toMatchObject({ status: 200 });
    await until('another one is ready', () => api.resumed.length === 2);
    folder.write('client.crt', two.cert);
    folder.write('client.key', two.key);
    world.reload();
    await until('the new configuration has its own', () => api.resumed.length === 3);
    expect(await world.call('/a/x')).toMatchObject({ status: 200 });
    expect(api.resumed).toEqual([false, true, false]);
    expect(api.calls.map(({ client }) => client)).toEqual(['client-one', 'client-two']);
  });

  it('has one ready through the proxy, again after the API has ended it', async () => {
    const { api, world, proxy } = await startWorld(
      (upstream, ca) => [{ path: '/a', upstream, warm: true, tls: { ca } }],
      {
        isProxied: true,
      },
    );
    await until('a connection is open', () => api.resumed.length === 1);
    expect(await world.call('/a/last')).toMatchObject({ status: 200 });
    await until('another one is ready', () => api.resumed.length === 2);
    expect(await world.call('/a/x')).toMatchObject({ status: 200 });
    expect(api.resumed).toEqual([false, true]);
    expect(proxy.connects).toEqual(['bank.test:443', 'bank.test:443']);
  });
});
