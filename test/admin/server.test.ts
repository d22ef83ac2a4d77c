// What holds of the connections of an admin listener, before there is a request to judge.
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type AdminListenerOptions, createAdmin } from '../../src/admin/server.ts';
import { createMetrics } from '../../src/core/metrics.ts';
import { exchange } from '../support/raw.ts';

const OPEN: AdminListenerOptions = { checkHost: false, allowActions: true, isLocal: false };
const GUARDED: AdminListenerOptions = { checkHost: true, allowActions: false, isLocal: true };

function createWorld() {
  let shutdowns = 0;
  const admin = createAdmin({
    snapshot: () => {
      throw new Error('nobody asks for the state here');
    },
    metrics: createMetrics('1.2.3'),
    refreshTokens: () => undefined,
    support: async () => '',
    shutdown: () => {
      shutdowns += 1;
    },
    hosts: new Set(['named.example']),
  });
  const listen = async (rules: AdminListenerOptions) => {
    const server = await admin.createListener(rules);
    onTestFinished(() => void server.close().closeAllConnections());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return { server, port: (server.address() as AddressInfo).port };
  };
  return { listen, shutdowns: () => shutdowns };
}

const request = (line: string, ...fields: readonly string[]) =>
  `${[`${line} HTTP/1.1`, ...fields, 'Connection: close'].join('\r\n')}\r\n\r\n`;

describe('admin/server: a listener', () => {
  it('has rules of its own beside others', async () => {
    const world = createWorld();
    const [open, guarded] = [await world.listen(OPEN), await world.listen(GUARDED)];
    const ask = (port: number, host: string) => exchange(port, request('POST /shutdown', `Host: ${host}`));
    expect(await ask(guarded.port, 'other.example')).toMatch(/^HTTP\/1\.1 421 /);
    expect(await ask(guarded.port, 'named.example')).toMatch(/^HTTP\/1\.1 403 /);
    expect(world.shutdowns()).toBe(0);
    expect(await ask(open.port, 'other.example')).toMatch(/^HTTP\/1\.1 202 /);
    expect(world.shutdowns()).toBe(1);
  });

  it('waits neither for a request nor for the rest of one without end', async () => {
    const { server } = await createWorld().listen(OPEN);
    expect(server).toMatchObject({ keepAliveTimeout: 5000, headersTimeout: 60_000, requestTimeout: 60_000 });
  });

  it.each([
    ['headers beyond 16 KiB', request('GET /livez', 'Host: x', `X-Large: ${'x'.repeat(17_000)}`), 431],
    ['bytes that are no request', 'nothing\r\n\r\n', 400],
    ['a body with two lengths', request('POST /shutdown', 'Host: x', 'Content-Length: 1', 'Content-Length: 2'), 400],
  ])('refuses %s and serves the next', async (_what, bytes, status) => {
    const { port } = await createWorld().listen(OPEN);
    expect(await exchange(port, bytes)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(await exchange(port, request('GET /livez', 'Host: x'))).toMatch(/^HTTP\/1\.1 200 /);
  });

  it.each(['OPTIONS /status', 'GET /livez'])('offers nothing to pages of other origins: %s', async (line) => {
    const { port } = await createWorld().listen(OPEN);
    const fields = ['Host: x', 'Origin: https://evil.example', 'Access-Control-Request-Method: GET'];
    const response = await exchange(port, request(line, ...fields));
    expect(response).toMatch(/^HTTP\/1\.1 403 /);
    expect(response).not.toMatch(/^access-control-/im);
  });

  it.each([
    ['has sent nothing', '', ''],
    ['has begun a request', 'G', 'HTTP/1.1 408 Request Timeout'],
  ])('ends a connection in silence only where it %s', async (_when, sent, said) => {
    const { server, port } = await createWorld().listen(OPEN);
    const accepted = once(server, 'connection');
    const told = exchange(port, sent);
    const [socket] = (await accepted) as [Socket];
    await expect.poll(() => socket.bytesRead).toBe(sent.length);
    // What Node says when it has waited for long enough.
    server.emit('clientError', Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket);
    expect((await told).split('\r\n')[0]).toBe(said);
  });
});
