/**
 * The listeners behind one configured address: one, or two for `localhost`, which is both loopback addresses, each bound
 * by itself. Which of them a caller's resolver tries first is not ours to know, and `::` would be open to the network.
 */
import type { Server } from 'node:net';
import type { Address } from '../config/parsers.ts';
import { SidecarError } from '../core/errors.ts';
import { type Bound, bind, formatHost } from './listen.ts';

export interface Listener {
  readonly server: Server;
  readonly bound: Bound;
}

/**
 * Binds, and adds every name under which callers on this machine may address the listeners.
 * @throws SidecarError SIDECAR_LISTEN_FAILED; nothing of this address is open then
 */
export async function openListeners(
  address: Address,
  create: () => Server | Promise<Server>,
  hosts: Set<string>,
): Promise<Listener[]> {
  if (address.kind === 'unix' || address.host !== 'localhost') return [await open(address, await create(), hosts)];
  const first = await openIfThere({ ...address, host: '127.0.0.1' }, await create(), hosts);
  // Where any port was asked for, both get the same.
  const port = first?.bound.address.kind === 'tcp' ? first.bound.address.port : address.port;
  try {
    const second = await openIfThere({ ...address, host: '::1', port }, await create(), hosts);
    const listeners = [first, second].filter((listener) => listener !== undefined);
    if (listeners.length > 0) return listeners;
  } catch (error) {
    first?.server.close();
    throw error;
  }
  throw new SidecarError('SIDECAR_LISTEN_FAILED', { fields: { address: 'localhost', errno: 'EADDRNOTAVAIL' } });
}

/** Undefined on a machine without this kind of address. */
async function openIfThere(address: Address, server: Server, hosts: Set<string>): Promise<Listener | undefined> {
  try {
    return await open(address, server, hosts);
  } catch (error) {
    const { errno } = (error as SidecarError).extras.fields ?? {};
    if (errno === 'EADDRNOTAVAIL' || errno === 'EAFNOSUPPORT') return undefined;
    throw error;
  }
}

async function open(address: Address, server: Server, hosts: Set<string>): Promise<Listener> {
  const bound = await bind(server, address);
  const port = bound.address.kind === 'tcp' ? bound.address.port : 80;
  // Browsers take 0.0.0.0 for this machine: a wildcard is no name.
  const own = ['0.0.0.0', '[::]'].includes(formatHost(bound.address)) ? [] : [formatHost(bound.address)];
  for (const name of ['127.0.0.1', 'localhost', '[::1]', ...own]) {
    hosts.add(`${name}:${port}`);
    if (port === 80) hosts.add(name);
  }
  return { server, bound };
}
