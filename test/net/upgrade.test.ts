/** WebSockets on the way out: the same proxy, the same CA and the same client certificate as requests. */
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import WebSocket, { WebSocketServer } from 'ws';
import { describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { startEgressWorld } from '../support/egress-world.ts';
import { createFolder } from '../support/folder.ts';
import { startTokenServer } from '../support/token-server.ts';

const certificates = makeCertificates((authority) => {
  const server = authority.issue('server', 'DNS:bank.test');
  return { server, client: authority.issue('client-erp', 'DNS:client.test') };
});

/** An API behind TLS that says who called it, a proxy that leads there, and a sidecar that has to use both. */
async function setUp(tls: Readonly<Record<string, string>>) {
  const { authority, server } = certificates();
  const https = createServer({ cert: server.cert, key: server.key, ca: authority.ca, requestCert: true });
  const sockets = new WebSocketServer({ server: https });
  sockets.on('connection', (socket, req) => {
    const subject = (req.socket as TLSSocket).getPeerCertificate().subject as { CN?: string } | undefined;
    socket.send(`${subject?.CN} ${req.headers.authorization}`);
    socket.on('message', (data) => socket.send(data));
  });
  await new Promise<void>((resolve) => https.listen(0, '127.0.0.1', resolve));
  const proxy = await startConnectProxy({ target: (https.address() as AddressInfo).port });
  const tokens = await startTokenServer();
  const folder = createFolder();
  onTestFinished(async () => {
    for (const socket of sockets.clients) socket.terminate();
    await Promise.all([proxy.close(), tokens.close(), new Promise((resolve) => https.close(resolve))]);
    folder[Symbol.dispose]();
  });
  const world = await startEgressWorld({
    folder,
    env: { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}` },
    credential: { tokenEndpoint: tokens.url },
    routes: [{ path: '/api', upstream: 'https://bank.test', upgrade: true, tls }],
  });
  const client = new WebSocket(`${world.url.replace('http', 'ws')}/api/ws`);
  onTestFinished(() => client.terminate());
  return { client, proxy, sockets };
}

describeWithOpenssl('src/net/egress.ts: WebSockets', () => {
  it('go through the proxy by CONNECT, trust the private CA and show the client certificate', async () => {
    const { authority, client: own } = certificates();
    const { client, proxy } = await setUp({ ca: authority.caFile, cert: own.certFile, key: own.keyFile });
    const [greeting] = (await once(client, 'message')) as [Buffer];
    expect(String(greeting)).toBe('client-erp Bearer token-1');
    client.send('there and back');
    expect(String((await once(client, 'message'))[0])).toBe('there and back');
    expect([proxy.connects, proxy.others]).toEqual([['bank.test:443'], []]);
    expect(proxy.relayed()).not.toContain('token-1');
    client.close();
    await once(client, 'close');
  });

  it('are 502 where the certificate is not trusted, and nothing is sent', async () => {
    const { client, sockets } = await setUp({
      cert: certificates().client.certFile,
      key: certificates().client.keyFile,
    });
    client.on('error', () => undefined);
    const [, response] = (await once(client, 'unexpected-response')) as [unknown, { statusCode: number }];
    expect(response.statusCode).toBe(502);
    expect(sockets.clients.size).toBe(0);
  });
});
