/**
 * Binds a server to a configured address: TCP, or a Unix socket that only its owner and group may open. On Windows it
 * is a named pipe instead, which has no mode and disappears with its process.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { Server as TlsServer } from 'node:https';
import { connect, type Server } from 'node:net';
import type { Address } from '../config/parsers.ts';
import { SidecarError } from '../core/errors.ts';
import { listenWords } from './listen-errors.ts';

/** Owner and group may connect; grant access by group (`chgrp erp /run/aritma.sock`). */
const SOCKET_MODE = 0o660;

/**
 * Connections that may wait to be accepted; the system may allow fewer (`net.core.somaxconn`). With Node's own 511, callers
 * that all connect in one moment lose their first packet, and wait a second until it is sent again.
 */
const BACKLOG = 4096;

/** An address with a listener; `port` is the real one when 0 was configured. */
export interface Bound {
  readonly address: Address;
  /** `http://127.0.0.1:7080` or `unix:/path`, for people. */
  readonly text: string;
}

interface BindOptions {
  readonly platform?: NodeJS.Platform;
  /** What this process already listens on, for the message of a failure. */
  readonly own?: readonly Address[];
}

/**
 * Binds the server and resolves when it listens.
 * @throws SidecarError SIDECAR_LISTEN_FAILED with the address and the reason of the system
 */
export async function bind(
  server: Server,
  address: Address,
  { platform = process.platform, own = [] }: BindOptions = {},
): Promise<Bound> {
  const isFile = address.kind === 'unix' && platform !== 'win32';
  if (isFile) await removeStaleSocket(address.path);
  await new Promise<void>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => {
      reject(cannotListen(address, error.code ?? 'unknown', { own, cause: error }));
    };
    server.once('error', failed);
    const listening = () => {
      // From now on, an error means that a connection could not be accepted because file descriptors ran out. Only its
      // caller is affected; the process goes on.
      server.off('error', failed).on('error', () => undefined);
      resolve();
    };
    if (address.kind === 'tcp') {
      const { host, port } = address;
      server.listen({ host, port, backlog: BACKLOG, exclusive: true }, listening);
    } else if (isFile) listenUnix(server, address.path, listening);
    else server.listen({ path: address.path }, listening);
  });
  const actual = server.address();
  if (address.kind === 'unix' || actual === null || typeof actual === 'string') {
    return { address, text: formatAddress(address) };
  }
  const bound: Address = { ...address, port: actual.port };
  const scheme = server instanceof TlsServer || ('secure' in server && server.secure) ? 'https' : 'http';
  return { address: bound, text: `${scheme}://${formatAddress(bound)}` };
}

function cannotListen(
  address: Address,
  errno: string,
  { own, cause }: { own: readonly Address[]; cause?: unknown },
): SidecarError {
  const fields = { address: formatAddress(address), errno };
  return new SidecarError('SIDECAR_LISTEN_FAILED', { cause, fields, failure: listenWords(errno, address, own) });
}

/** `host:port`, `[v6]:port` or `unix:/path`. */
export function formatAddress(address: Address): string {
  return address.kind === 'unix' ? `unix:${address.path}` : `${formatHost(address)}:${address.port}`;
}

/** The host as in a URL or a Host header; `localhost` for a Unix socket. */
function formatHost(address: Address): string {
  if (address.kind === 'unix') return 'localhost';
  return address.host.includes(':') ? `[${address.host}]` : address.host;
}

/** The umask keeps others out between bind and chmod. */
function listenUnix(server: Server, path: string, listening: () => void): void {
  const before = process.umask(0o117);
  try {
    server.listen({ path, backlog: BACKLOG }, () => {
      chmodSync(path, SOCKET_MODE);
      listening();
    });
  } finally {
    process.umask(before);
  }
}

/** Removes the socket file of a killed process: only a socket, and only if nobody listens on it. */
async function removeStaleSocket(path: string): Promise<void> {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return;
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect({ path });
    probe
      .once('connect', () => resolve(true))
      .once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
    probe.once('connect', () => probe.destroy());
  });
  if (!alive) unlinkSync(path);
}

export interface Listener {
  readonly server: Server;
  readonly bound: Bound;
}

interface Opening {
  readonly create: () => Server | Promise<Server>;
  /** Every `Host` value for the listeners on this machine is added. */
  readonly hosts: Set<string>;
  /** What this process already listens on, for the message of a failure. */
  readonly own?: readonly Listener[];
  /** If set, a failure is passed to it instead of thrown; not called when the machine has no such kind of address. */
  readonly onMissing?: (error: SidecarError) => void;
}

/**
 * Opens the listeners of one address: `localhost` can mean two, IPv4 and IPv6.
 * @throws SidecarError SIDECAR_LISTEN_FAILED; no listener of this address stays open
 */
export async function openListeners(address: Address, opening: Opening): Promise<Listener[]> {
  const { onMissing } = opening;
  if (onMissing) {
    const listener = await openIfThere(address, opening).catch((error: SidecarError) => onMissing(error));
    return listener ? [listener] : [];
  }
  if (address.kind === 'unix' || address.host !== 'localhost') return [await open(address, opening)];
  const first = await openIfThere({ ...address, host: '127.0.0.1' }, opening);
  // If the configured port is 0, both get the same port.
  const port = first?.bound.address.kind === 'tcp' ? first.bound.address.port : address.port;
  try {
    const second = await openIfThere({ ...address, host: '::1', port }, opening);
    const listeners = [first, second].filter((listener) => listener !== undefined);
    if (listeners.length > 0) return listeners;
  } catch (error) {
    first?.server.close();
    throw error;
  }
  throw cannotListen(address, 'EADDRNOTAVAIL', { own: [] });
}

/** Returns undefined on a machine without this kind of address. */
async function openIfThere(address: Address, opening: Opening): Promise<Listener | undefined> {
  try {
    return await open(address, opening);
  } catch (error) {
    const { errno } = (error as SidecarError).extras.fields ?? {};
    if (errno === 'EADDRNOTAVAIL' || errno === 'EAFNOSUPPORT') return undefined;
    throw error;
  }
}

async function open(address: Address, { create, hosts, own = [] }: Opening): Promise<Listener> {
  const server = await create();
  const bound = await bind(server, address, { own: own.map((listener) => listener.bound.address) });
  const port = bound.address.kind === 'tcp' ? bound.address.port : 80;
  // Browsers connect to this machine for 0.0.0.0, so a wildcard is not accepted as Host.
  const named = ['0.0.0.0', '[::]'].includes(formatHost(bound.address)) ? [] : [formatHost(bound.address)];
  for (const name of ['127.0.0.1', 'localhost', '[::1]', ...named]) {
    hosts.add(`${name}:${port}`);
    if (port === 80) hosts.add(name);
  }
  return { server, bound };
}
