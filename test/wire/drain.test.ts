// Stopping: what runs may finish within the limit, nothing new is taken, and what is late is cut off.
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(false)).once('error', () => resolve(true));
    socket.once('connect', () => socket.destroy());
  });
}

describe('stop', () => {
  it('lets a running request finish, then closes its connection, and takes no new ones', async () => {
    await using world = await createProxyWorld({ answer: () => undefined });
    using caller = await world.open();
    using idle = await world.open();
    caller.send(`POST /api/x HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nhi`);
    await world.upstream.untilRequests(1);
    const stopped = world.sidecar.stop();
    await expect.poll(() => refuses(world.sidecar.port)).toBe(true);
    expect(await idle.ended()).toBe('end');
    world.upstream.requests[0]?.socket.write(ok('done'));
    const answer = await caller.answer();
    expect([answer.body, answer.header('connection')]).toEqual(['done', 'close']);
    expect(await caller.ended()).toBe('end');
    expect(await stopped).toBe(true);
  });

  it('lets a running upload and a running download finish', async () => {
    await using world = await createProxyWorld({
      answer: ({ method, body }) =>
        method === 'PUT' ? ok(String(body.length)) : 'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf',
    });
    using upload = await world.open();
    using download = await world.open();
    upload.send(`PUT /api/x HTTP/1.1\r\n${world.host}Content-Length: 200000\r\n\r\n${'x'.repeat(100_000)}`);
    download.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await expect.poll(() => download.received.endsWith('half')).toBe(true);
    const stopped = world.sidecar.stop();
    await expect.poll(() => refuses(world.sidecar.port)).toBe(true);
    upload.send('x'.repeat(100_000));
    world.upstream.requests.find(({ method }) => method === 'GET')?.socket.write('half');
    expect([(await upload.answer()).body, (await download.answer()).body]).toEqual(['200000', 'halfhalf']);
    expect(await stopped).toBe(true);
  });

  it('finishes with pipelined requests under way', async () => {
    await using world = await createProxyWorld({ answer: () => undefined, config: { drain: { limit: '3s' } } });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`.repeat(3));
    await world.upstream.untilRequests(1);
    const stopped = world.sidecar.stop();
    await expect.poll(() => refuses(world.sidecar.port)).toBe(true);
    for (const { socket } of world.upstream.requests) socket.write(ok('done'));
    expect((await caller.answer()).body).toBe('done');
    expect(await stopped).toBe(true);
  });

  it('cuts off at the limit what is still running, as broken, and says so', async () => {
    await using world = await createProxyWorld({
      answer: () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
      config: { drain: { limit: '300ms' } },
    });
    using caller = await world.open();
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await expect.poll(() => caller.received).toContain('half');
    expect(await world.sidecar.stop()).toBe(false);
    await caller.ended();
    expect(caller.received).not.toContain('\r\n0\r\n');
    await expect.poll(() => world.upstream.closed).toBe(1);
  });

  it('tells a caller whose request the API has at the limit that it may have been executed', async () => {
    await using world = await createProxyWorld({ answer: () => undefined, config: { drain: { limit: '300ms' } } });
    using caller = await world.open();
    caller.send(`POST /api/x HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nhi`);
    await world.upstream.untilRequests(1);
    expect(await world.sidecar.stop()).toBe(false);
    const answer = await caller.answer();
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([503, 'SIDECAR_STOPPED']);
    expect(JSON.parse(answer.body)).toMatchObject({ mayHaveExecuted: true });
    expect(await caller.ended()).toBe('end');
  });

  it('tells a caller that waits for a connection or a token at the limit that nothing was sent', async () => {
    const limits = { upstreamConnections: 1 };
    await using world = await createProxyWorld({
      answer: () => undefined,
      config: { drain: { limit: '300ms' }, limits },
    });
    using first = await world.open();
    using second = await world.open();
    first.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(1);
    second.send(`POST /api/x HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nhi`);
    await expect.poll(() => world.inFlight()).toBe(2);
    expect(await world.sidecar.stop()).toBe(false);
    const answer = await second.answer();
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([503, 'SIDECAR_STOPPED']);
    expect(JSON.parse(answer.body)).toMatchObject({ mayHaveExecuted: false });
    expect(world.upstream.requests).toHaveLength(1);
  });

  it('has nothing to wait for when nothing runs', async () => {
    await using world = await createProxyWorld();
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(200);
    expect(await world.sidecar.stop()).toBe(true);
  });
});
