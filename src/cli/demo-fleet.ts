/**
 * The demo of a fleet: a local Aritma, a store, and several sidecars that share their tokens through it, in one process and
 * without any configuration.
 */
import { randomBytes } from 'node:crypto';
import { loadConfig } from '../config/load.ts';
import type { Address } from '../config/parsers.ts';
import { formatAddress } from '../net/listen.ts';
import { type Sidecar, startSidecar } from '../sidecar/sidecar.ts';
import { type DemoOptions, demoConfig, openEmulator } from './demo.ts';
import type { DemoStore } from './demo-store.ts';

type TcpAddress = Extract<Address, { kind: 'tcp' }>;

export interface FleetDemoOptions extends Omit<DemoOptions, 'flags'> {
  readonly members: number;
  /** Of the first sidecar; the others have the ports after it. */
  readonly listen: TcpAddress;
  readonly admin: TcpAddress;
  /** Stopped with the demo. */
  readonly store: DemoStore;
}

export interface FleetDemo {
  readonly sidecars: readonly Sidecar[];
  /** Origin of the local Aritma. */
  readonly emulatorUrl: string;
  /** URLs of a GET request that works, one for each sidecar. */
  readonly exampleUrls: readonly string[];
  /** How many the identity server has got so far. */
  tokenRequests(): Promise<number>;
  stop(): Promise<boolean>;
}

/** Resolves when every sidecar has its token. @throws SidecarError CONFIG_INVALID | SIDECAR_LISTEN_FAILED */
export async function startFleetDemo(options: FleetDemoOptions): Promise<FleetDemo> {
  const { log, store, members, onShutdownRequest } = options;
  const sidecars: Sidecar[] = [];
  const closing: (() => Promise<unknown>)[] = [() => store.stop()];
  const stop = async () => {
    const drained = await Promise.all(sidecars.map((sidecar) => sidecar.stop()));
    for (const close of closing.toReversed()) await close();
    return drained.every(Boolean);
  };
  try {
    const emulator = await openEmulator(options.emulator);
    closing.push(() => emulator.close());
    const fleetKey = randomBytes(32).toString('base64url');
    for (let index = 0; index < members; index += 1) {
      const loaded = loadConfig({
        ...memberConfig(emulator.url, options, { index, fleetKey }),
        cwd: import.meta.dirname,
      });
      sidecars.push(await startSidecar({ loaded, log, ...(onShutdownRequest && { onShutdownRequest }) }));
    }
    await Promise.all(sidecars.map((sidecar) => sidecar.firstTokens()));
    return {
      sidecars,
      emulatorUrl: emulator.url,
      exampleUrls: sidecars.map(({ proxy }) => `${proxy[0]?.text}/banking/accounts`),
      tokenRequests: () => tokenRequestsTo(emulator.url),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The key and the password stay in this process. */
function memberConfig(origin: string, options: FleetDemoOptions, member: { index: number; fleetKey: string }) {
  const { listen, admin, store } = options;
  const at = ({ host, port }: TcpAddress) =>
    formatAddress({ kind: 'tcp', host, port: port === 0 ? 0 : port + member.index });
  const { document, env } = demoConfig(origin, { '--listen': at(listen), '--admin': at(admin) });
  const fleet = {
    url: `redis://127.0.0.1:${store.port}`,
    password: { env: 'ARITMA_FLEET_PASSWORD' },
    keys: [{ env: 'ARITMA_FLEET_KEY' }],
    // All of this starts at once on one machine: a slow start is no store that is down.
    timeout: '5s',
  };
  return {
    document: { ...document, fleet },
    env: { ...env, ARITMA_FLEET_PASSWORD: store.password, ARITMA_FLEET_KEY: member.fleetKey },
  };
}

async function tokenRequestsTo(origin: string): Promise<number> {
  const { request } = await import('undici');
  const { body } = await request(`${origin}/_emulator/counters`);
  const { tokenRequests } = (await body.json()) as { tokenRequests: number };
  return tokenRequests;
}
