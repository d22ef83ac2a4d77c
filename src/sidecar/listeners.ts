/** The listeners of a sidecar, for callers and for operators: opened together, closed together. */
import type { Server as HttpServer } from 'node:http';
import type { Admin } from '../admin/server.ts';
import type { LoadedConfig } from '../config/load.ts';
import { type Address, isLoopback } from '../config/parsers.ts';
import type { Config } from '../config/schema.ts';
import type { SidecarError } from '../core/errors.ts';
import { failureFields } from '../core/failure.ts';
import type { Log } from '../core/log.ts';
import { type Listener, openListeners } from '../net/listen.ts';
import type { DataPlane } from './data-plane/data-plane.ts';

interface Opening {
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly plane: DataPlane;
  readonly admin: Admin;
  readonly hosts: Set<string>;
  readonly adminHosts: Set<string>;
}

/** Opens all listeners or none. @throws SidecarError SIDECAR_LISTEN_FAILED */
export async function openAll({ loaded, log, plane, admin, hosts, adminHosts }: Opening) {
  const { config } = loaded;
  const admins: Listener[] = [];
  const proxies: Listener[] = [];
  const openAdmin = async (address: Address, onMissing?: OnMissing) => {
    const create = () => admin.createListener(adminRules(address, config));
    const rest = { own: [...admins, ...proxies], ...(onMissing && { onMissing }) };
    admins.push(...(await openListeners(address, { create, hosts: adminHosts, ...rest })));
  };
  // A Unix socket needs no TLS: it is local.
  const tls = (address: Address) => (address.kind === 'tcp' ? loaded.tls.get('callers') : undefined);
  const openProxy = async (address: Address, onMissing?: OnMissing) => {
    const create = () => plane.createListener(tls(address));
    const rest = { own: [...admins, ...proxies], ...(onMissing && { onMissing }) };
    proxies.push(...(await openListeners(address, { create, hosts, ...rest })));
  };
  try {
    for (const address of config.admin) await openAdmin(address);
    for (const address of config.listen) await openProxy(address);
    // After the configured addresses.
    if (loaded.document['admin'] === undefined) await alsoOverIpv6(admins, openAdmin, log);
    if (loaded.document['listen'] === undefined) await alsoOverIpv6(proxies, openProxy, log);
  } catch (error) {
    closeAll([...admins, ...proxies]);
    throw error;
  }
  return { admins, proxies };
}

type OnMissing = (error: SidecarError) => void;

/**
 * Also listens on `[::1]` when no address is configured: `http://localhost:7080` has to work, and many machines resolve
 * localhost to `[::1]` first. Without IPv6 this does nothing.
 */
async function alsoOverIpv6(
  [first]: readonly Listener[],
  open: (address: Address, onMissing: OnMissing) => Promise<void>,
  log: Log,
): Promise<void> {
  if (first?.bound.address.kind !== 'tcp') return;
  await open({ ...first.bound.address, host: '::1' }, ({ extras }) =>
    log.warn('not listening on [::1]: callers that resolve localhost to it cannot connect', {
      ...extras.fields,
      ...failureFields(extras.failure),
    }),
  );
}

/** Checks Host only on loopback listeners: Kubernetes probes use the pod's address. */
function adminRules(address: Address, config: Config) {
  const local = address.kind === 'unix' || isLoopback(address.host);
  const allowActions = config.adminActions || address.kind === 'unix';
  return { checkHost: local && address.kind === 'tcp', allowActions, isLocal: local };
}

/** Accepts no more connections; those of operators end. */
export function closeAll(listeners: readonly Listener[]): void {
  for (const { server } of listeners) {
    server.close();
    // A server that only passes connections on does not have this method.
    if ('closeAllConnections' in server) (server as HttpServer).closeAllConnections();
  }
}
