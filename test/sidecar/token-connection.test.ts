/** The connection of a renewal: open with TLS before the token request is sent, so that the request is one round trip. */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { createLog } from '../../src/core/log.ts';
import { createMetrics } from '../../src/core/metrics.ts';
import { openFleetLink } from '../../src/sidecar/fleet-link.ts';
import { createGeneration } from '../../src/sidecar/generation.ts';
import { describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { createFakeClock } from '../support/clock.ts';
import { createFolder, load } from '../support/folder.ts';
import { until } from '../support/until.ts';

const certificates = makeCertificates((authority) => ({ server: authority.issue('id', 'IP:127.0.0.1') }));
const KEY = { credential: 'default', scope: 'api', audience: undefined, resource: undefined };
const RENEWED_AFTER_MS = 3_300_000;
/** The connection is opened this long before. */
const EARLIER_MS = 3000;

/** An identity server that counts handshakes, and knows for each token request on which connection it came. */
async function startIdentityServer() {
  const connections: TLSSocket[] = [];
  const requests: { readonly connection: number; readonly connections: number }[] = [];
  let attempts = 0;
  let isDown = false;
  const server = createServer(certificates().server, (req, res) => {
    const issuer = `https://${req.headers.host}`;
    const isToken = req.url === '/connect/token';
    if (isToken) {
      const connection = connections.indexOf(req.socket as TLSSocket);
      requests.push({ connection, connections: connections.length });
    }
    const grant = { access_token: 'token', expires_in: 3600, token_type: 'Bearer' };
    const document = { issuer, token_endpoint: `${issuer}/connect/token` };
    req.resume().on('end', () => res.end(JSON.stringify(isToken ? grant : document)));
  });
  server.on('secureConnection', (socket) => connections.push(socket));
  server.on('connection', (socket) => {
    attempts += 1;
    if (isDown) socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    ...{ connections, requests },
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    attempts: () => attempts,
    down(value: boolean) {
      isDown = value;
    },
    /** As after 50 minutes. The client closes its end when it has seen that of the server. */
    async endConnections() {
      for (const socket of connections) socket.end();
      await until('the connections are closed', () => connections.every(({ closed }) => closed));
    },
  };
}

async function startWorld(endpointOf: (url: string) => Readonly<Record<string, string>>) {
  const identity = await startIdentityServer();
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const credential = {
    ...{ clientId: 'my-erp', secrets: [{ file: folder.write('secret', 'secret-of-a-test') }], scope: 'api' },
    ...{ tls: { ca: certificates().authority.caFile }, ...endpointOf(identity.url) },
  };
  const routes = [{ path: '/', upstream: 'http://127.0.0.1:9' }];
  const logs: string[] = [];
  const clock = createFakeClock();
  const metrics = createMetrics('1.0.0');
  const options = {
    loaded: load(folder, { yaml: JSON.stringify({ credentials: { default: credential }, routes }) }),
    log: createLog({ level: 'debug', format: 'json', write: (line) => logs.push(line) }),
    ...{ metrics, clock, random: () => 0 },
  };
  const generation = createGeneration({
    ...options,
    fleet: await openFleetLink({ ...options, reload: () => undefined }),
  });
  onTestFinished(generation.destroy);
  const source = generation.tokens.open(KEY);
  await source.get();
  await identity.endConnections();
  return { identity, generation, source, logs, clock, metrics };
}

const byEndpoint = (url: string) => ({ tokenEndpoint: `${url}/connect/token` });

describeWithOpenssl('the connection of a renewal', () => {
  it.each([
    ['tokenEndpoint', byEndpoint],
    ['issuer', (url: string) => ({ issuer: url })],
  ])('is open before the token request is sent, with %s', async (_name, endpointOf) => {
    const { identity, source, clock } = await startWorld(endpointOf);
    const before = identity.connections.length;
    await clock.advance(RENEWED_AFTER_MS - EARLIER_MS - 1);
    expect(identity.attempts()).toBe(before);
    await clock.advance(1);
    await until('a connection is open', () => identity.connections.length === before + 1);
    expect(identity.connections[before]?.isSessionReused()).toBe(true);
    expect(identity.requests).toHaveLength(1);

    await clock.advance(EARLIER_MS);
    await until('there is a new token', () => source.snapshot().generation === 2);
    expect(identity.requests[1]).toEqual({ connection: before, connections: before + 1 });
    expect(identity.attempts()).toBe(before + 1);
  });

  it('is given up without a word when the server is down, and the renewal opens its own', async () => {
    const { identity, source, clock, logs, metrics } = await startWorld(byEndpoint);
    const said = logs.length;
    identity.down(true);
    await clock.advance(RENEWED_AFTER_MS - EARLIER_MS);
    await until('it was tried', () => identity.attempts() === 2);
    identity.down(false);
    expect(source.snapshot()).toMatchObject({ state: 'fresh', consecutiveFailures: 0, lastError: undefined });
    expect(logs.slice(said)).toEqual([]);

    await clock.advance(EARLIER_MS);
    await until('there is a new token', () => source.snapshot().generation === 2);
    expect(identity.attempts()).toBe(3);
    const text = await metrics.render('text', []);
    expect(text.match(/^aritma_sidecar_token_requests_total\{.*$/gm)).toEqual([
      'aritma_sidecar_token_requests_total{credential="default",result="ok"} 2',
    ]);
  });

  it('is not opened after the generation has retired', async () => {
    const { identity, generation, clock } = await startWorld(byEndpoint);
    await generation.retire();
    expect(clock.timers).toBe(0);
    generation.credentials[0]?.prepare();
    await clock.advance(RENEWED_AFTER_MS);
    expect(identity.attempts()).toBe(1);
  });
});
