import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { createWorld, DEMO_SECRET, type World } from './harness.ts';

let world: World;
let token: string;
beforeAll(async () => {
  world = await createWorld();
  token = await world.token();
});
afterAll(() => world[Symbol.asyncDispose]());

const MIB = 1024 * 1024;

interface Echo {
  method: string;
  url: string;
  headers: string[];
  bytes: number;
  sha256: string;
}

interface Shot {
  method: string;
  path: string;
  headers?: string[];
  body?: AsyncIterable<Buffer> | Iterable<Buffer>;
  to?: { url: string; token: string };
}

/** node:http rather than fetch: any method, raw header arrays, and a body that is never collected. */
async function shoot({
  method,
  path,
  headers = [],
  body = [],
  to = { url: world.url, token },
}: Shot): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const all = ['Host', 'x', 'Authorization', `Bearer ${to.token}`, ...headers];
  const request = httpRequest(to.url + path, { method, path, headers: all }, resolve).on('error', reject);
  const [, response] = await Promise.all([pipeline(Readable.from(body), request), promise]);
  return response;
}

async function echo(shot: Shot): Promise<Echo> {
  const response = await shoot(shot);
  expect(response.statusCode).toBe(200);
  return JSON.parse(Buffer.concat(await response.toArray()).toString()) as Echo;
}

const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');
const pattern = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, index) => index % 251));

describe('src/emulator/echo.ts', () => {
  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'QUERY', 'M-SEARCH'])(
    'tells what arrived with %s and a body',
    async (method) => {
      const headers = ['Content-Length', '5'];
      const seen = await echo({ method, path: '/echo?a=1', headers, body: [Buffer.from('hello')] });
      expect(seen).toMatchObject({ method, url: '/echo?a=1', bytes: 5, sha256: sha256('hello') });
    },
  );

  it('answers HEAD with the length of the answer alone', async () => {
    const response = await shoot({ method: 'HEAD', path: '/echo' });
    expect([response.statusCode, await response.toArray()]).toEqual([200, []]);
    expect(Number(response.headers['content-length'])).toBeGreaterThan(100);
  });

  it('lists the header fields raw, in order and case, with the token hidden', async () => {
    const seen = await echo({ method: 'GET', path: '/echo', headers: ['X-b', '1', 'x-A', '2', 'X-B', '3'] });
    const expected = ['Host', 'x', 'Authorization', 'Bearer [token]', 'X-b', '1', 'x-A', '2', 'X-B', '3'];
    expect(seen.headers.slice(0, 10)).toEqual(expected);
    expect(JSON.stringify(seen)).not.toContain(token);
  });

  it.each([
    ['a slash at the end', '/echo/'],
    ['empty segments', '/echo/a//b'],
    ['a broken escape', '/echo/%zz'],
    ['dots', '/echo/%2e%2e/../x'],
    ['escaped UTF-8', '/echo/%C3%BC'],
    ['3,000 characters', `/echo/${'x'.repeat(3000)}`],
    ['a name that begins like the byte source', '/echo/bytesx'],
  ])('leaves a path with %s untouched', async (_case, path) => {
    expect((await echo({ method: 'GET', path })).url).toBe(path);
  });

  it.each(['foo', 'application/json', 'text/plain', ''])('does not mind the media type %j', async (mediaType) => {
    const headers = ['Content-Type', mediaType, 'Content-Length', '4'];
    const seen = await echo({ method: 'POST', path: '/echo', headers, body: [Buffer.from('{"a"')] });
    expect(seen.sha256).toBe(sha256('{"a"'));
  });

  it('does not answer under a path that only begins alike', async () => {
    expect((await shoot({ method: 'GET', path: '/echoes' })).statusCode).toBe(404);
  });

  it.each([0, 1, 250, 251, 252, 64_256, 64_257, 1_000_000])('sends %i bytes of the pattern', async (count) => {
    const response = await shoot({ method: 'GET', path: `/echo/bytes/${count}` });
    expect(response.headers['content-length']).toBe(String(count));
    const body = Buffer.concat(await response.toArray());
    expect(body.length).toBe(count);
    expect(sha256(body)).toBe(sha256(pattern(count)));
  });

  it('sends the same bytes chunked, when asked', async () => {
    const response = await shoot({ method: 'GET', path: '/echo/bytes/100000?chunked=1' });
    expect(response.headers['content-length']).toBeUndefined();
    expect(response.headers['transfer-encoding']).toBe('chunked');
    expect(sha256(Buffer.concat(await response.toArray()))).toBe(sha256(pattern(100_000)));
  });

  it('answers HEAD with the length alone, at once even for a terabyte', async () => {
    const response = await shoot({ method: 'HEAD', path: '/echo/bytes/1000000000000' });
    expect(response.headers['content-length']).toBe('1000000000000');
    expect(await response.toArray()).toEqual([]);
  });

  it.each(['x', '-1', '1.5', '1e3', '9999999999999999', ''])('answers 400 or 404 to %j bytes', async (count) => {
    const response = await shoot({ method: 'GET', path: `/echo/bytes/${count}` });
    expect([400, 404]).toContain(response.statusCode);
    expect(response.headers['content-type']).toMatch(/^application\/problem\+json/);
  });

  it('goes on serving, when an upload breaks off', async () => {
    async function* broken(): AsyncGenerator<Buffer> {
      yield Buffer.alloc(1000);
      throw new Error('torn');
    }
    await expect(
      shoot({ method: 'POST', path: '/echo', headers: ['Content-Length', '2000'], body: broken() }),
    ).rejects.toThrow();
    expect((await shoot({ method: 'GET', path: '/echo' })).statusCode).toBe(200);
  });
});

/** An emulator in a process of its own, because memory can only be measured where nothing else uses it. */
async function spawnEmulator(): Promise<{ url: string; token: string; peakMiB(): Promise<number> } & AsyncDisposable> {
  const server = new URL('../../src/emulator/server.ts', import.meta.url).href;
  const script = `
    const { startEmulator } = await import(${JSON.stringify(server)});
    process.send((await startEmulator({ port: 0 })).url);
    process.on('message', () => process.send(process.resourceUsage().maxRSS));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const [url] = (await once(child, 'message')) as [string];
  const form = { grant_type: 'client_credentials', client_id: 'demo-erp', client_secret: DEMO_SECRET, scope: 'api' };
  const response = await fetch(`${url}/connect/token`, { method: 'POST', body: new URLSearchParams(form) });
  return {
    url,
    token: ((await response.json()) as { access_token: string }).access_token,
    async peakMiB() {
      const answer = once(child, 'message') as Promise<[number]>;
      child.send('memory');
      return (await answer)[0] / 1024;
    },
    async [Symbol.asyncDispose]() {
      child.kill();
      await once(child, 'exit');
    },
  };
}

describe('src/emulator/echo.ts memory', () => {
  it.each([
    ['with a length', ['Content-Length', String(256 * MIB)]],
    ['chunked', ['Transfer-Encoding', 'chunked']],
  ])('hashes 256 MiB of upload %s without keeping them', async (_case, headers) => {
    await using to = await spawnEmulator();
    const before = await to.peakMiB();
    const block = Buffer.alloc(MIB, 7);
    const hash = createHash('sha256');
    function* blocks(): Generator<Buffer> {
      for (let sent = 0; sent < 256; sent += 1) {
        hash.update(block);
        yield block;
      }
    }
    const response = await shoot({ method: 'PUT', path: '/echo/big', headers, body: blocks(), to });
    const seen = JSON.parse(Buffer.concat(await response.toArray()).toString()) as Echo;
    expect([seen.bytes, seen.sha256]).toEqual([256 * MIB, hash.digest('hex')]);
    expect((await to.peakMiB()) - before).toBeLessThan(160);
  });

  it('produces no more than a reader takes, and stops when the reader leaves', async () => {
    await using to = await spawnEmulator();
    const before = await to.peakMiB();
    const response = await shoot({ method: 'GET', path: '/echo/bytes/1000000000000', to });
    let taken = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      taken += chunk.length;
      if (taken > 256 * MIB) break;
    }
    expect((await shoot({ method: 'GET', path: '/echo', to })).statusCode).toBe(200);
    expect((await to.peakMiB()) - before).toBeLessThan(160);
  });
});

describe('src/emulator/echo-socket.ts', () => {
  const open = (path: string, bearer = token) => {
    const headers = { authorization: `Bearer ${bearer}` };
    const socket = new WebSocket(`${world.url.replace('http', 'ws')}${path}`, { headers });
    socket.on('error', () => undefined);
    return socket;
  };
  const refusal = async (socket: WebSocket) => {
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
    return [response.statusCode, response.headers.connection];
  };

  it.each(['/echo', '/echo/a/b?c=d'])('sends back at %s what a client says, in order and of its kind', async (path) => {
    const socket = open(path);
    await once(socket, 'open');
    const said = ['one', Buffer.from([0, 255]), '', Buffer.alloc(1_000_000, 7)];
    // As text: two large buffers are compared slowly, number by number.
    const readable = (data: Buffer) => ({ binary: data.toString('base64') });
    const heard: unknown[] = [];
    socket.on('message', (data: Buffer, binary) => heard.push(binary ? readable(data) : String(data)));
    for (const message of said) socket.send(message);
    await expect.poll(() => heard.length).toBe(said.length);
    expect(heard).toEqual(said.map((message) => (typeof message === 'string' ? message : readable(message))));
    socket.close(4000, 'done');
    expect((await once(socket, 'close'))[0]).toBe(4000);
  });

  it('refuses an offer as it refuses a request: without a token, and where a fault says so', async () => {
    expect(await refusal(open('/echo', 'nonsense'))).toEqual([401, 'close']);
    await world.post('/_emulator/faults', { target: 'echo', status: 418 });
    expect(await refusal(open('/echo'))).toEqual([418, 'close']);
  });

  it('is nowhere else, and the echo answers whatever is no offer of a WebSocket', async () => {
    expect(await refusal(open('/events/x'))).toEqual([404, expect.anything()]);
    const headers = ['Connection', 'Upgrade', 'Upgrade', 'h2c'];
    expect(await echo({ method: 'GET', path: '/echo', headers })).toMatchObject({ method: 'GET', bytes: 0 });
  });

  it('ends with the emulator', async () => {
    const own = await createWorld();
    const headers = { authorization: `Bearer ${await own.token()}` };
    const socket = new WebSocket(`${own.url.replace('http', 'ws')}/echo`, { headers });
    await once(socket, 'open');
    const closed = once(socket, 'close');
    await own[Symbol.asyncDispose]();
    expect((await closed)[0]).toBe(1006);
  });
});
