/** `routes[].warm`: a connection to the API is open before the first call, and gone with the sidecar. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { ok } from '../support/raw.ts';
import { startTestSidecar } from '../support/sidecar.ts';
import { startTokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';
import { type Answerer, startUpstream } from '../support/upstream.ts';

async function createWorld(routes: (upstream: string) => readonly object[], answer: Answerer = () => ok('fine')) {
  const upstream = await startUpstream(answer);
  const tokens = await startTokenServer();
  const sidecar = await startTestSidecar({
    upstream: upstream.url,
    tokenEndpoint: tokens.url,
    config: { routes: routes(upstream.url) },
  });
  return {
    ...{ upstream, sidecar },
    async [Symbol.asyncDispose]() {
      await sidecar.stop();
      await tokens.close();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

it('opens one connection for all routes to an API before the first call, which goes out on it', async () => {
  await using world = await createWorld((upstream) => [
    { path: '/a', upstream, warm: true },
    { path: '/b', upstream },
  ]);
  const { upstream, sidecar } = world;
  await until('a connection is open', () => upstream.connections === 1);
  expect((await fetch(`${sidecar.url}/a/x`)).status).toBe(200);
  expect(upstream.connections).toBe(1);
});

it('opens none before the first call without it', async () => {
  await using world = await createWorld((upstream) => [{ path: '/a', upstream }]);
  const { upstream, sidecar } = world;
  expect((await fetch(`${sidecar.url}/a/x`)).status).toBe(200);
  expect(upstream.connections).toBe(1);
});

it('closes it when the sidecar stops, and nothing waits for that', async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => void sockets.push(socket.resume())).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await using world = await createWorld(() => [{ path: '/a', upstream: url, warm: true }]);
  await until('a connection is open', () => sockets.length === 1);
  expect(await world.sidecar.stop()).toBe(true);
  await until('it is closed', () => sockets[0]?.closed === true);
  server.close();
});

it('says nothing about an API that is down, and does not count it as a failure of a call', async () => {
  const nobody = `http://127.0.0.1:${await freePort()}`;
  await using world = await createWorld(() => [{ path: '/a', upstream: nobody, warm: true }]);
  const { sidecar } = world;
  const status = (await (await fetch(`${sidecar.adminUrl}/status`)).json()) as {
    routes: { verdict: { state: string } }[];
  };
  expect(status.routes.map(({ verdict }) => verdict.state)).toEqual(['works']);
  expect(sidecar.rawLogs.filter((line) => line.includes('ECONNREFUSED'))).toEqual([]);
});

it.each([
  ['GET', 200],
  ['POST', 502],
])(
  'gives the caller of a %s %i when the API closes the ready connection just as the call is sent',
  async (method, status) => {
    const closing: Answerer = ({ socket }, index) => {
      if (index > 0) return ok('fine');
      socket.destroy();
      return undefined;
    };
    await using world = await createWorld((upstream) => [{ path: '/a', upstream, warm: true }], closing);
    const { upstream, sidecar } = world;
    await until('a connection is open', () => upstream.connections === 1);
    // Its end of the handshake may come later than the API's.
    await setTimeout(50);
    const answer = await fetch(`${sidecar.url}/a/x`, { method });
    expect(answer.status).toBe(status);
    if (status === 502) expect(await answer.json()).toMatchObject({ code: 'UPSTREAM_RESET', mayHaveExecuted: true });
    expect(upstream.requests).toHaveLength(status === 200 ? 2 : 1);
  },
);
