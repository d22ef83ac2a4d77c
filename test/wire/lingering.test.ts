// A caller that sends all of its body before it reads gets the response to it, whoever refused it and whether or not its
// connection ends with it (RFC 9112 §9.6).
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createProxyWorld, type ProxyWorld } from '../support/proxy-world.ts';

const SIZE = 8 * 1024 * 1024;

/** Blocks as a program does that writes to a socket: nothing is read before all is written. `undefined` = it broke. */
async function sendThenRead(world: ProxyWorld, head: string, body: Buffer): Promise<string | undefined> {
  const socket = connect({ port: world.sidecar.port, host: '127.0.0.1' });
  socket.pause();
  const written = new Promise<boolean>((resolve) => {
    socket.on('error', () => resolve(false));
    socket.write(head, 'latin1');
    socket.write(body, (error) => resolve(!error));
  });
  if (!(await written)) return undefined;
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    if (/(?:\}|too large)$/.test(received)) socket.destroy();
  });
  socket.resume();
  await new Promise((resolve) => socket.once('close', resolve));
  return received;
}

const REFUSAL = 'HTTP/1.1 413 No\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large';
const REFUSERS = [
  ['the API', '/api/x', 413],
  ['the API, while there is a limit', '/api/limited', 413],
  ['a route that is not there', '/other', 404],
  ['limits.requestBody', '/api/x', 413],
] as const;
const ENDINGS = [
  ['kept', '1.1', ''],
  ['to be closed', '1.1', 'Connection: close\r\n'],
  ['of HTTP/1.0', '1.0', ''],
  ['that expects 100', '1.1', 'Expect: 100-continue\r\n'],
  ['that expects 100, to be closed', '1.1', 'Expect: 100-continue\r\nConnection: close\r\n'],
] as const;

function createRefusing(who: string): Promise<ProxyWorld> {
  const refused = new WeakSet();
  return createProxyWorld({
    config: { limits: { requestBody: who === 'limits.requestBody' ? '1MiB' : '30MiB' } },
    answer: () => undefined,
    onBytes(socket) {
      if (refused.has(socket)) return;
      refused.add(socket);
      socket.pause();
      socket.write(REFUSAL, () => setImmediate(() => socket.destroy()));
    },
  });
}

describe('an upload that is refused before it has come', () => {
  const framings = [
    ['a length', `Content-Length: ${SIZE}\r\n\r\n`, Buffer.alloc(SIZE, 'x')],
    [
      'chunks',
      'Transfer-Encoding: chunked\r\n\r\n',
      Buffer.from(`${SIZE.toString(16)}\r\n${'x'.repeat(SIZE)}\r\n0\r\n\r\n`),
    ],
  ] as const;

  it.each(REFUSERS)('by %s gets that refusal on every kind of connection', async (who, path, status) => {
    await using world = await createRefusing(who);
    const seen: [string, string, number | string | undefined][] = [];
    for (const [ending, version, lines] of ENDINGS) {
      for (const [framing, head, body] of framings) {
        if (version === '1.0' && framing === 'chunks') continue;
        const start = `POST ${path} HTTP/${version}\r\n${world.host}${lines}${head}`;
        const response = await sendThenRead(world, start, body);
        const statuses = [...(response ?? '').matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, code]) => Number(code));
        seen.push([ending, framing, response === undefined ? 'broken' : statuses.at(-1)]);
      }
    }
    expect(seen.filter(([, , code]) => code !== status)).toEqual([]);
    await expect.poll(() => world.inFlight()).toBe(0);
  });

  it('is not waited for without end', async () => {
    await using world = await createRefusing('');
    using caller = await world.open();
    caller.send(`POST /other HTTP/1.1\r\n${world.host}Connection: close\r\nContent-Length: ${SIZE}\r\n\r\n`);
    expect((await caller.answer()).status).toBe(404);
    const dripping = setInterval(() => caller.send('x'), 20);
    await new Promise((resolve) => caller.socket.once('close', resolve));
    clearInterval(dripping);
  });
});
