// One request that ends, whatever the other side does: against sockets that are silent, drip, flood or hang up.
import type { Socket } from 'node:net';
import { Pool } from 'undici';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type BoundedRequest, parseObject, sendBounded, within } from '../../src/net/bounded-request.ts';
import { startRawUpstream } from '../support/raw.ts';

const HEAD = 'HTTP/1.1 200 OK\r\n';
const PLAIN: BoundedRequest = { method: 'GET', path: '/x', headers: {}, deadlineMs: 5000, maxBytes: 1000 };

async function setUp(onData: (socket: Socket) => void, scheme = 'http') {
  const sockets: Socket[] = [];
  const server = await startRawUpstream((socket) => {
    if (!sockets.includes(socket)) sockets.push(socket);
    onData(socket);
  });
  const pool = new Pool(server.url.replace('http', scheme), { connect: { timeout: 60_000 } });
  onTestFinished(async () => {
    await pool.destroy();
    await server.close();
  });
  const send = (request: Partial<BoundedRequest> = {}) => sendBounded(pool, { ...PLAIN, ...request });
  return { server, pool, sockets, send };
}

describe('src/net/bounded-request.ts: one request', () => {
  it('brings back status, headers and body, and asks for no compression', async () => {
    const { server, send } = await setUp((socket) => socket.write(`${HEAD}X-A: b\r\nContent-Length: 5\r\n\r\nhéy!`));
    const { response, tooLarge } = await send({ method: 'POST', headers: { 'x-own': '1' }, body: 'abc' });
    expect(response).toMatchObject({ status: 200, headers: { 'x-a': 'b' }, body: 'héy!' });
    expect(tooLarge).toBe(false);
    expect(server.received[0]).toMatch(/^POST \/x HTTP\/1\.1\r\n/);
    expect(server.received[0]).toMatch(/accept-encoding: identity\r\n/);
    expect(server.received[0]).toMatch(/x-own: 1\r\n[\s\S]*\r\n\r\nabc$/);
  });

  it.each([
    ['takes a connection and says nothing', 'http', () => undefined],
    ['never ends the TLS handshake, so that there is no connection to abort', 'https', () => undefined],
    ['sends the head and no body', 'http', (socket: Socket) => void socket.write(`${HEAD}Content-Length: 5\r\n\r\n`)],
    [
      'sends a byte now and then',
      'http',
      (socket: Socket) => {
        socket.write(`${HEAD}Content-Length: 500\r\n\r\n`);
        const timer = setInterval(() => socket.write('a'), 10);
        socket.once('close', () => clearInterval(timer));
      },
    ],
  ])('ends within its time where the server %s', async (_what, scheme, onData) => {
    const { send } = await setUp(onData, scheme);
    const startedAt = performance.now();
    const { response, failed, isLate } = await send({ deadlineMs: 100 });
    expect(response).toBeUndefined();
    expect([isLate, (failed as { code: string }).code]).toEqual([true, 'ETIMEDOUT']);
    // The connection would be waited for a minute.
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  it('cuts the connection when its time is up, so that nothing arrives later', async () => {
    const { sockets, send } = await setUp(() => undefined);
    await send({ deadlineMs: 100 });
    const [socket] = sockets;
    if (socket && !socket.closed) await new Promise((resolve) => socket.once('close', resolve));
    expect(sockets).toHaveLength(1);
  });

  it('reads a body of exactly the limit, and cuts the connection one byte later', async () => {
    const { send } = await setUp((socket) => socket.write(`${HEAD}Content-Length: 4\r\n\r\nabcd`));
    expect((await send({ maxBytes: 4 })).response).toMatchObject({ body: 'abcd' });
    const flood = await setUp((socket) => {
      socket.write(`${HEAD}Content-Length: 1000000000\r\n\r\n`);
      const more = () => {
        while (!socket.destroyed) if (!socket.write(Buffer.alloc(16_384, 0x20))) break;
      };
      socket.on('drain', more);
      more();
    });
    const { response, tooLarge } = await flood.send({ maxBytes: 4 });
    expect(tooLarge).toBe(true);
    expect(response).toMatchObject({ status: 200, body: '' });
    const [socket] = flood.sockets;
    if (socket && !socket.closed) await new Promise((resolve) => socket.once('close', resolve));
    expect(socket?.bytesWritten).toBeLessThan(16 * 1024 * 1024);
  });

  it('reads nothing of a body that nobody wants', async () => {
    const { send } = await setUp((socket) => socket.write(`${HEAD}Content-Length: 1000000\r\n\r\na`));
    expect((await send({ maxBytes: 0 })).response).toMatchObject({ status: 200, body: '' });
  });

  it.each([
    ['hangs up', (socket: Socket) => void socket.destroy(), /^(UND_ERR_SOCKET|ECONNRESET)$/],
    [
      'hangs up in the middle of the body',
      (socket: Socket) => void socket.end(`${HEAD}Content-Length: 5\r\n\r\nab`),
      /^(UND_ERR_SOCKET|ECONNRESET)$/,
    ],
    ['does not speak HTTP', (socket: Socket) => void socket.write('SSH-2.0\r\n\r\n'), /^(HPE_|HTTPParserError)/],
  ])('says why nothing came where the server %s', async (_what, onData, code) => {
    const { send } = await setUp(onData);
    const { failed, isLate } = await send();
    const { code: known, name } = failed as { code?: string; name: string };
    expect(known ?? name).toMatch(code);
    expect(isLate).toBe(false);
  });

  it('does not throw for a request that cannot be sent', async () => {
    const { send, server } = await setUp(() => undefined);
    const { failed, isLate } = await send({ headers: { 'x-broken': 'a\r\nb' } });
    expect([failed instanceof Error, isLate, server.connections]).toEqual([true, false, 0]);
  });
});

describe('src/net/bounded-request.ts: a time limit', () => {
  it('leaves no timer behind, however the work ends', async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    expect(await within(60_000, Promise.resolve('done'), () => 'late')).toBe('done');
    await expect(within(60_000, Promise.reject(new Error('no')), () => 'late')).rejects.toThrow('no');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('gives what stands for the work that is late, and forgets the work', async () => {
    const work = Promise.withResolvers<string>();
    expect(await within(1, work.promise, () => 'late')).toBe('late');
    // A rejection that nobody hears would end the process.
    work.reject(new Error('much later'));
  });

  it('rejects with what is thrown for work that is late', async () => {
    const late = () => {
      throw Object.assign(new Error('no response from DNS'), { code: 'EDNS_TIMEOUT' });
    };
    await expect(within(1, new Promise(() => undefined), late)).rejects.toMatchObject({ code: 'EDNS_TIMEOUT' });
  });
});

describe('src/net/bounded-request.ts: JSON', () => {
  it.each([
    ['{"a":1}', { a: 1 }],
    ['\uFEFF{"a":1}', { a: 1 }],
    ['[1]', undefined],
    ['"text"', undefined],
    ['null', undefined],
    ['', undefined],
    ['<html>', undefined],
  ])('takes %j for %j', (text, value) => {
    expect(parseObject(text)).toEqual(value);
  });
});
