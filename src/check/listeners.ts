/**
 * Whether the sidecar could listen where it is told to, and who is in the way if not. A sidecar that runs already is
 * as it should be: people check a set-up that is in use.
 */
import { accessSync, constants, lstatSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { Pool } from 'undici';
import type { LoadedConfig } from '../config/load.ts';
import type { Address } from '../config/parsers.ts';
import type { Words } from '../core/failure.ts';
import { parseObject, within } from '../net/bounded-request.ts';
import { formatAddress } from '../net/listen.ts';
import { FINDING, type Finding, shown } from './finding.ts';
import { LIMIT_MS } from './request.ts';

interface Listener {
  readonly role: 'listen' | 'admin';
  readonly address: Address;
  readonly secure: boolean;
}

/** One finding for each address, in the order of the configuration. */
export async function listenerFindings({ config }: LoadedConfig): Promise<Finding[]> {
  const secure = config.callers.tls !== undefined;
  const listeners: Listener[] = [
    ...config.listen.map((address) => ({ role: 'listen' as const, address, secure })),
    ...config.admin.map((address) => ({ role: 'admin' as const, address, secure: false })),
  ];
  const seen = new Set<string>();
  return Promise.all(
    listeners.map((listener) => {
      const text = formatAddress(listener.address);
      const twice = seen.has(text) && !text.endsWith(':0');
      seen.add(text);
      return twice ? usedTwice(listener.role, text) : examine(listener);
    }),
  );
}

function usedTwice(role: string, text: string): Finding {
  return FINDING.error(`${role} ${text}`, 'SIDECAR_LISTEN_FAILED', {
    cause: 'listener_used_twice',
    message: 'this address is configured twice, for callers or for operators',
    fix: 'give `listen` and `admin` addresses of their own',
  });
}

async function examine(listener: Listener): Promise<Finding> {
  const { role, address } = listener;
  const subject = `${role} ${formatAddress(address)}`;
  const reason = await (address.kind === 'unix' ? whyNotUnix(address.path) : whyNotTcp(address));
  if (reason === undefined) return FINDING.ok(subject, 'free');
  if (reason === 'STALE') return FINDING.ok(subject, 'free; a socket file is left over and will be replaced');
  const occupant =
    reason === 'EADDRINUSE' ? await within(LIMIT_MS.listener, identify(listener), () => undefined) : undefined;
  if (occupant !== undefined) return FINDING.ok(subject, occupant);
  return FINDING.error(subject, 'SIDECAR_LISTEN_FAILED', WORDS[reason]?.(address) ?? otherwise(reason));
}

const WORDS: Readonly<Record<string, (address: Address) => Words>> = {
  EADDRINUSE: (address) => ({
    cause: 'listener_taken',
    message: 'another program, which is no sidecar, has this address already (EADDRINUSE)',
    fix: `find it with \`${address.kind === 'tcp' ? `ss -ltnp 'sport = :${address.port}'` : `ss -lxp`}\` and stop it, or configure another address`,
  }),
  EACCES: (address) =>
    address.kind === 'tcp'
      ? {
          cause: 'listener_privileged',
          message: `this user may not listen on port ${address.port} (EACCES): ports below 1024 are privileged`,
          fix: 'use a port from 1024 on, or give the process CAP_NET_BIND_SERVICE',
        }
      : {
          cause: 'listener_folder_not_writable',
          message: `this user may not create a socket in ${dirname(address.path)} (EACCES)`,
          fix: 'chown that folder to the user that runs the sidecar (systemd: RuntimeDirectory=)',
        },
  EADDRNOTAVAIL: () => ({
    cause: 'listener_not_an_address',
    message: 'this is no address of this machine (EADDRNOTAVAIL)',
    fix: 'use 127.0.0.1, [::1], or an address that `ip addr` lists',
  }),
  ENOTFOUND: () => ({
    cause: 'listener_no_such_name',
    message: 'this name has no address (ENOTFOUND)',
    fix: 'write an address instead, such as 127.0.0.1',
  }),
  ENOENT: (address) => ({
    cause: 'listener_folder_missing',
    message: `the folder ${address.kind === 'unix' ? dirname(address.path) : ''} for this socket does not exist (ENOENT)`,
    fix: 'create it, owned by the user that runs the sidecar (systemd: RuntimeDirectory=)',
  }),
  ENOTSOCK: () => ({
    cause: 'listener_not_a_socket',
    message: 'there is a file at this path that is no socket; it is never overwritten',
    fix: 'move it away, or configure another path',
  }),
  ENAMETOOLONG: () => ({
    cause: 'listener_path_too_long',
    message: `a socket's path may have ${MAX_SOCKET_PATH} bytes at most`,
    fix: 'configure a shorter one, such as unix:/run/aritma/sidecar.sock',
  }),
};

function otherwise(reason: string): Words {
  const fix = 'correct this address; the code in brackets is the system’s own reason';
  return { cause: 'listener_failed', message: `cannot be listened on (${shown(reason)})`, fix };
}

/** The system's reason; undefined when it could listen. Listens for a moment. */
function whyNotTcp({ host, port }: Extract<Address, { kind: 'tcp' }>): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'unknown'));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/** What fits into `sockaddr_un` on Linux, without the zero at its end. */
const MAX_SOCKET_PATH = 107;

/** Looks without touching: a socket file made here could be taken for a sidecar's. */
async function whyNotUnix(path: string): Promise<string | undefined> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) return 'ENAMETOOLONG';
  try {
    const existing = lstatSync(path, { throwIfNoEntry: false });
    if (existing && !existing.isSocket()) return 'ENOTSOCK';
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
    if (!existing) return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
  const pool = new Pool('http://localhost', { socketPath: path });
  try {
    await pool.request({ method: 'GET', path: '/livez', signal: AbortSignal.timeout(LIMIT_MS.listener) });
    return 'EADDRINUSE';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'STALE' : 'EADDRINUSE';
  } finally {
    await pool.destroy();
  }
}

/** What a sidecar that listens there says of itself; undefined when it is none, or does not say. */
async function identify(listener: Listener): Promise<string | undefined> {
  const { role, address, secure } = listener;
  const connect = { rejectUnauthorized: false, ...(address.kind === 'unix' && { socketPath: address.path }) };
  const host = address.kind === 'unix' ? 'localhost' : reachable(address);
  // A Host that no sidecar has: it refuses the request, so nothing of this ever reaches an API.
  const headers = role === 'listen' ? { host: 'aritma-sidecar-check.invalid' } : {};
  const pool = new Pool(`${secure ? 'https' : 'http'}://${host}`, { connect });
  const path = role === 'admin' ? '/status' : '/';
  try {
    const response = await pool.request({
      method: 'GET',
      path,
      headers,
      signal: AbortSignal.timeout(LIMIT_MS.listener),
    });
    const body = parseObject(await response.body.text());
    if (role === 'listen')
      return response.headers['x-sidecar-error'] ? 'in use by a sidecar that is running' : undefined;
    if (body?.['uptimeS'] === undefined || body['version'] === undefined) return undefined;
    return `in use by a sidecar that is running: version ${shown(body['version'])}, for ${Number(body['uptimeS'])} s, ${body['ready'] === true ? 'ready' : 'not ready'}`;
  } catch {
    // Whatever it is, it does not speak as a sidecar does.
    return undefined;
  } finally {
    await pool.destroy();
  }
}

/** A listener on every address is reached on loopback. */
function reachable({ host, port }: Extract<Address, { kind: 'tcp' }>): string {
  const own = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return own.includes(':') ? `[${own}]:${port}` : `${own}:${port}`;
}
