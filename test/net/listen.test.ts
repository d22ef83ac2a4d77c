// Binding to addresses: what is taken over, what is left alone, and who may connect.
import { existsSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect, createServer as createSocketServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Address } from '../../src/config/parsers.ts';
import { bind, formatAddress } from '../../src/net/listen.ts';
import { listenWords } from '../../src/net/listen-errors.ts';
import { start } from '../support/cli.ts';
import { createFolder } from '../support/folder.ts';

function createListener(): Server & AsyncDisposable {
  const server = createServer((_req, res) => res.end('ok'));
  return Object.assign(server, {
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  });
}

const unix = (path: string): Address => ({ kind: 'unix', path });
const anyPort: Address = { kind: 'tcp', host: '127.0.0.1', port: 0 };

/** The most that this system allows; 0 where it does not tell. */
function longestQueue(): number {
  const file = '/proc/sys/net/core/somaxconn';
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
}

describe('listen', () => {
  it('tells the real port where any free one was asked for', async () => {
    await using server = createListener();
    const { address, text } = await bind(server, anyPort);
    const port = address.kind === 'tcp' ? address.port : 0;
    expect(port).toBeGreaterThan(0);
    expect(text).toBe(`http://127.0.0.1:${port}`);
  });

  it.runIf(longestQueue() >= 1024)('lets 700 callers connect in one moment, without a second try', async () => {
    await using server = createListener();
    const { address } = await bind(server, anyPort);
    const port = address.kind === 'tcp' ? address.port : 0;
    const callers = Array.from({ length: 700 }, () => connect({ host: '127.0.0.1', port }));
    for (const caller of callers) caller.on('error', () => caller.destroy());
    // The system has done its part by then, and the server has accepted none yet.
    await new Promise((resolve) => process.nextTick(resolve));
    const states = readFileSync('/proc/net/tcp', 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/));
    const target = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
    const [established, trying] = ['01', '02'].map(
      (state) => states.filter(([, , remote, own]) => remote === target && own === state).length,
    );
    for (const caller of callers) caller.destroy();
    expect({ established, trying }).toEqual({ established: 700, trying: 0 });
  });

  it('rejects with SIDECAR_LISTEN_FAILED, address and reason where the port is taken', async () => {
    await using first = createListener();
    await using second = createListener();
    const { address } = await bind(first, anyPort);
    await expect(bind(second, address)).rejects.toMatchObject({
      code: 'SIDECAR_LISTEN_FAILED',
      extras: { fields: { address: formatAddress(address), errno: 'EADDRINUSE' } },
    });
  });

  it.each<[string, Address, string, RegExp]>([
    ['EADDRINUSE', anyPort, 'listener_taken', /another program or another sidecar already uses 127\.0\.0\.1:0/],
    ['EACCES', { ...anyPort, port: 443 }, 'listener_privileged', /port 443 .*below 1024/],
    ['EACCES', { ...anyPort, port: 8080 }, 'listener_privileged', /port 8080 \(EACCES\)$/],
    [
      'EADDRNOTAVAIL',
      { ...anyPort, host: '10.1.2.3' },
      'listener_not_an_address',
      /10\.1\.2\.3 is not an address of this/,
    ],
    ['ENOTFOUND', { ...anyPort, host: 'typo' }, 'listener_no_such_name', /the name typo has no address/],
    ['ENOENT', unix('/no/such/x.sock'), 'listener_folder_missing', /folder \/no\/such for the socket does not exist/],
    ['EACCES', unix('/root/x.sock'), 'listener_folder_not_writable', /create a socket in \/root/],
    ['EADDRINUSE', unix('/no/such/x.sock'), 'listener_taken', /already uses \/no\/such\/x\.sock/],
    [
      'EADDRINUSE',
      unix('/etc/passwd'),
      'listener_not_a_socket',
      /\/etc\/passwd exists and is not a socket; the sidecar does not overwrite it/,
    ],
    ['EINVAL', unix('/x'), 'listener_path_too_long', /107 bytes/],
  ])('says of %s at %j what it means', (errno, address, cause, message) => {
    expect(listenWords(errno, address, [])).toEqual({
      ...{ cause, message: expect.stringMatching(message), fix: expect.stringMatching(/^\w/) },
    });
  });

  it('says of an unknown reason what the system said', () => {
    expect(listenWords('ENOBUFS', anyPort).message).toMatch(/cannot listen on 127\.0\.0\.1:0 \(ENOBUFS\)/);
  });

  it.each<[Address, Address, string]>([
    [anyPort, anyPort, 'listener_used_twice'],
    [{ ...anyPort, host: '0.0.0.0' }, anyPort, 'listener_used_twice'],
    [anyPort, { ...anyPort, host: '::' }, 'listener_used_twice'],
    [unix('/x'), unix('/x'), 'listener_used_twice'],
    [anyPort, { ...anyPort, port: 1 }, 'listener_taken'],
    [anyPort, { ...anyPort, host: '127.0.0.2' }, 'listener_taken'],
    [unix('/x'), unix('/y'), 'listener_taken'],
    [anyPort, unix('/y'), 'listener_taken'],
  ])('blames for %j the configuration or another program when it listens on %j itself: %s', (address, own, cause) => {
    expect(listenWords('EADDRINUSE', address, [own])).toMatchObject({ cause });
  });

  it('outlives connections that cannot be accepted, because no descriptor is left', async () => {
    await using server = createListener();
    const { text } = await bind(server, anyPort);
    server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }));
    expect(await (await fetch(text)).text()).toBe('ok');
    server.closeAllConnections();
  });

  it('opens a Unix socket to owner and group only, whatever the umask', async () => {
    using folder = createFolder();
    const path = join(folder.path, 'sidecar.sock');
    const before = process.umask(0);
    try {
      await using server = createListener();
      await bind(server, unix(path));
      expect(statSync(path).mode & 0o777).toBe(0o660);
      expect(process.umask()).toBe(0);
    } finally {
      process.umask(before);
    }
    expect(existsSync(path)).toBe(false);
  });

  it('takes over a socket file that a killed process left behind', async () => {
    using folder = createFolder();
    const path = join(folder.path, 'sidecar.sock');
    await leaveSocketBehind(path);
    expect(statSync(path).isSocket()).toBe(true);
    await using server = createListener();
    expect((await bind(server, unix(path))).text).toBe(`unix:${path}`);
  });

  it('on Windows, where the path names a pipe, touches neither modes nor files', async () => {
    using folder = createFolder();
    const path = join(folder.path, 'pipe');
    const before = process.umask(0);
    try {
      await using server = createListener();
      expect((await bind(server, unix(path), { platform: 'win32' })).text).toBe(`unix:${path}`);
      expect(statSync(path).mode & 0o777).toBe(0o777);
    } finally {
      process.umask(before);
    }
    // A pipe cannot be left behind by a process, so nothing is looked at, let alone removed.
    await leaveSocketBehind(path);
    await using server = createListener();
    await expect(bind(server, unix(path), { platform: 'win32' })).rejects.toMatchObject({
      extras: { fields: { errno: 'EADDRINUSE' } },
    });
    expect(existsSync(path)).toBe(true);
  });

  it('leaves a socket alone that somebody answers on', async () => {
    using folder = createFolder();
    const path = join(folder.path, 'sidecar.sock');
    const other = createSocketServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => other.listen(path, resolve));
    await using server = createListener();
    await expect(bind(server, unix(path))).rejects.toMatchObject({ code: 'SIDECAR_LISTEN_FAILED' });
    expect(other.listening && existsSync(path)).toBe(true);
    await new Promise<void>((resolve) => other.close(() => resolve()));
  });

  it('never removes what is no socket: a file, a folder, a link to a file', async () => {
    using folder = createFolder();
    const file = folder.write('precious.txt', 'years of work');
    const link = join(folder.path, 'link');
    symlinkSync(file, link);
    for (const path of [file, link, folder.path]) {
      await using server = createListener();
      await expect(bind(server, unix(path)), path).rejects.toMatchObject({ code: 'SIDECAR_LISTEN_FAILED' });
    }
    expect(readFileSync(link, 'utf8')).toBe('years of work');
  });

  it('rejects where the folder of a socket is missing or its path is too long for the system', async () => {
    for (const path of ['/nonexistent/sidecar.sock', `/tmp/${'x'.repeat(200)}`]) {
      await using server = createListener();
      await expect(bind(server, unix(path))).rejects.toMatchObject({ code: 'SIDECAR_LISTEN_FAILED' });
    }
  });
});

/** The way it happens: a process with the socket open is killed. */
async function leaveSocketBehind(path: string): Promise<void> {
  await using emulator = start(
    [
      'serve',
      ...['--environment', 'emulator', '--client-id', 'x', '--listen', `unix:${path}`, '--admin', '127.0.0.1:0'],
    ],
    { env: { ARITMA_CLIENT_SECRET: 'not-a-real-one' } },
  );
  await emulator.untilStdout(/listening for callers/);
  emulator.kill('SIGKILL');
  await emulator.ended;
}
