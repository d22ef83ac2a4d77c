// New connections are accepted while hundreds of others send requests without a pause. Counted in requests, not in time.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createProxyWorld } from '../support/proxy-world.ts';

const BUSY = 250;
const NEW = 50;
/** Requests of busy callers that may be served for each new connection: a few, not those of all. */
const MOST_BETWEEN = 35;

interface Lane {
  close(): void;
}

/** Sends a GET, and the next one after each response. Resolves with the first response. */
async function startLane(port: number, onServed: () => void): Promise<Lane> {
  const socket = connect(port, '127.0.0.1').setNoDelay().setEncoding('latin1');
  const request = `GET /api/x HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
  socket.on('data', (text: string) => {
    // Without `expect`, which would take longer than the request.
    if (!text.startsWith('HTTP/1.1 200 ')) throw new Error(`no 200: ${text}`);
    onServed();
    socket.write(request);
  });
  socket.write(request);
  await once(socket, 'data');
  return { close: () => void socket.destroy() };
}

/** Returns how many requests of busy callers were served from the moment that new callers connect until all are served. */
async function servedMeanwhile(port: number): Promise<number> {
  let served = 0;
  const count = () => {
    served += 1;
  };
  const busy = await Promise.all(Array.from({ length: BUSY }, () => startLane(port, count)));
  const before = served;
  const fresh = await Promise.all(Array.from({ length: NEW }, () => startLane(port, () => undefined)));
  for (const lane of [...busy, ...fresh]) lane.close();
  return served - before;
}

describe(`${NEW} new callers beside ${BUSY} that send without a pause`, () => {
  it('are served after a few requests of the others for each of them', async () => {
    await using world = await createProxyWorld();
    expect(await servedMeanwhile(world.sidecar.port)).toBeLessThan(MOST_BETWEEN * NEW);
  });

  it('wait for far more of a plain node:http server', async () => {
    const plain = createServer((_req, res) => res.end('fine')).listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
    await once(plain, 'listening');
    expect(await servedMeanwhile((plain.address() as AddressInfo).port)).toBeGreaterThan(2 * MOST_BETWEEN * NEW);
    plain.closeAllConnections();
    plain.close();
  });
});
