/**
 * Binds a server to an address from the configuration: TCP, or a Unix socket that only its owner and group may open; on
 * Windows a named pipe takes its place, which lives and dies with its process and has no mode.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { Server as TlsServer } from 'node:https';
import { connect, type Server } from 'node:net';
import type { Address } from '../config/parsers.ts';
import { SidecarError } from '../core/errors.ts';
import { listenWords } from './listen-errors.ts';

/** Owner and group may connect; the group is how access is given (`chgrp erp /run/aritma.sock`). */
const SOCKET_MODE = 0o660;

/** An address that is being listened on; `port` is the real one where 0 was asked for. */
export interface Bound {
  readonly address: Address;
  /** `http://127.0.0.1:7080` or `unix:/path`, for people. */
  readonly text: string;
}

interface BindOptions {
  readonly platform?: NodeJS.Platform;
  /** What this process listens on already, for the account of a failure. */
  readonly own?: readonly Address[];
}

/**
 * @throws SidecarError SIDECAR_LISTEN_FAILED naming the address and the system's reason
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
      // From now on an error is a connection that could not be accepted, for want of a descriptor: its caller's loss
      // alone, and no reason to end the process.
      server.off('error', failed).on('error', () => undefined);
      resolve();
    };
    if (address.kind === 'tcp') server.listen({ host: address.host, port: address.port, exclusive: true }, listening);
    else if (isFile) listenUnix(server, address.path, listening);
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

/** As it stands in a URL or a Host header; a Unix socket has no name of its own. */
function formatHost(address: Address): string {
  if (address.kind === 'unix') return 'localhost';
  return address.host.includes(':') ? `[${address.host}]` : address.host;
}

/** The umask closes the moment between bind and chmod in which others could connect. */
function listenUnix(server: Server, path: string, listening: () => void): void {
  const before = process.umask(0o117);
  try {
    server.listen({ path }, () => {
      chmodSync(path, SOCKET_MODE);
      listening();
    });
  } finally {
    process.umask(before);
  }
}

/** A socket file outlives a killed process. Removes one on which nobody listens, and nothing but a socket. */
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
  /** Gets every name under which callers on this machine may address the listeners. */
  readonly hosts: Set<string>;
  /** What this process listens on already, for the account of a failure. */
  readonly own?: readonly Listener[];
  /** Given, the address may be missing: what keeps it from being listened on is told here, unless the machine has none such. */
  readonly onMissing?: (error: SidecarError) => void;
}

/**
 * Binds one address; `localhost` is up to two.
 * @throws SidecarError SIDECAR_LISTEN_FAILED; nothing of this address is open then
 */
export async function openListeners(address: Address, opening: Opening): Promise<Listener[]> {
  const { onMissing } = opening;
  if (onMissing) {
    const listener = await openIfThere(address, opening).catch((error: SidecarError) => onMissing(error));
    return listener ? [listener] : [];
  }
  if (address.kind === 'unix' || address.host !== 'localhost') return [await open(address, opening)];
  const first = await openIfThere({ ...address, host: '127.0.0.1' }, opening);
  // Where any port was asked for, both get the same.
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

/** Undefined on a machine without this kind of address. */
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
  // Browsers take 0.0.0.0 for this machine: a wildcard is no name.
  const named = ['0.0.0.0', '[::]'].includes(formatHost(bound.address)) ? [] : [formatHost(bound.address)];
  for (const name of ['127.0.0.1', 'localhost', '[::1]', ...named]) {
    hosts.add(`${name}:${port}`);
    if (port === 80) hosts.add(name);
  }
  return { server, bound };
}
