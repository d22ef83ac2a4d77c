// What is no HTTP request at all, and what its sender, the log and the metrics are told of it.

import { connect } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createProxyWorld, type ProxyWorld } from '../support/proxy-world.ts';

const REFUSED = 'a connection was refused before it was served';

async function errors(world: ProxyWorld, code: string): Promise<number> {
  const text = await (await fetch(`${world.sidecar.adminUrl}/metrics`)).text();
  return Number(new RegExp(`^aritma_sidecar_errors_total\\{code="${code}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}

const logged = (world: ProxyWorld) => world.sidecar.logs.filter(({ message }) => message === REFUSED);

async function send(world: ProxyWorld, bytes: string | Buffer): Promise<Record<string, unknown>> {
  using caller = await world.open();
  caller.send(bytes);
  const answer = await caller.answer();
  await caller.ended();
  return answer.json();
}

describe('bytes that are no request', () => {
  it.each<[string, Buffer, object, string]>([
    ['a TLS handshake', Buffer.from('160301020001000200', 'hex'), { cause: 'tls_on_plain_port' }, 'Use http://.'],
    [
      'HTTP/2',
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      { cause: 'http2' },
      'Switch HTTP/2 off in the calling program.',
    ],
    ['anything', Buffer.from('\0\x01\x02garbage\r\n\r\n'), { cause: 'malformed_request' }, 'HTTP/1.1.'],
  ])('like %s get 400 with what to do, are counted, and stand in the log', async (_what, bytes, cause, fix) => {
    await using world = await createProxyWorld();
    const body = await send(world, bytes);
    expect(body).toMatchObject({ code: 'CALLER_REQUEST_INVALID', ...cause, detail: expect.stringContaining(fix) });
    expect(await errors(world, 'CALLER_REQUEST_INVALID')).toBe(1);
    expect(logged(world)).toEqual([
      expect.objectContaining({ level: 'warn', code: 'CALLER_REQUEST_INVALID', ...cause, fix: expect.any(String) }),
    ]);
  });

  it('of a real TLS client are taken for what they are', async () => {
    await using world = await createProxyWorld();
    const client = connectSecurely({ port: world.sidecar.port, host: '127.0.0.1', rejectUnauthorized: false });
    onTestFinished(() => void client.destroy());
    await new Promise((resolve) => client.once('error', resolve));
    await expect.poll(() => logged(world)).toEqual([expect.objectContaining({ cause: 'tls_on_plain_port' })]);
  });

  it('in a flood are all counted and logged once', async () => {
    await using world = await createProxyWorld();
    for (let sent = 0; sent < 20; sent += 1) await send(world, '\0garbage\r\n\r\n');
    expect(await errors(world, 'CALLER_REQUEST_INVALID')).toBe(20);
    expect(logged(world)).toHaveLength(1);
  });

  it('are nothing where a connection is opened and closed without any', async () => {
    await using world = await createProxyWorld();
    const socket = connect({ port: world.sidecar.port, host: '127.0.0.1' });
    await new Promise((resolve) => socket.once('connect', resolve));
    await new Promise((resolve) => socket.once('close', resolve).end());
    expect(await errors(world, 'CALLER_REQUEST_INVALID')).toBe(0);
    expect(logged(world)).toEqual([]);
  });

  it('in the body of a request count as that request, once', async () => {
    await using world = await createProxyWorld();
    await send(world, `POST /api/x HTTP/1.1\r\n${world.host}Transfer-Encoding: chunked\r\n\r\nXYZ\r\n`);
    await expect.poll(() => world.sidecar.logs.filter(({ message }) => message === 'request')).toHaveLength(1);
    expect(await errors(world, 'CALLER_REQUEST_INVALID')).toBe(0);
    expect(logged(world)).toEqual([]);
  });

  it('and CONNECT, which is never served, are counted and logged', async () => {
    await using world = await createProxyWorld();
    const body = await send(world, `CONNECT bank.example:443 HTTP/1.1\r\n${world.host}\r\n`);
    expect(body).toMatchObject({ code: 'CALLER_METHOD_REFUSED' });
    expect(await errors(world, 'CALLER_METHOD_REFUSED')).toBe(1);
    expect(logged(world)).toEqual([expect.objectContaining({ code: 'CALLER_METHOD_REFUSED' })]);
  });
});
