/**
 * A fleet of real sidecars with one client id, each with the client's secret in a file of its own, beside an emulator and a
 * real store. Members are killed, cut off from the store and started again; rotations are begun from the terminal.
 */
import { readFileSync } from 'node:fs';
import { startEmulator } from '../../src/emulator/server.ts';
import { ADMIN_CLIENT, DEMO_CLIENT } from '../../src/emulator/store.ts';
import { type Addresses, addressesOf, type Ended, type Running, run, start } from './cli.ts';
import { type StoreRelay, startStoreRelay } from './fleet-relay.ts';
import { createFolder } from './folder.ts';
import { newFleetKey } from './redis-member.ts';
import { type RedisServer, startRedis } from './redis-server.ts';
import { until } from './until.ts';

export interface RotationMember {
  /** Where callers reach it. */
  readonly url: string;
  readonly pid: number;
  readonly secretFile: string;
  /** Value in its file. */
  secret(): string;
  /** As it shows it to operators. */
  view(): Promise<MemberView>;
  /** Makes it request a new token; resolves with the status of the response. */
  refresh(): Promise<number>;
  /** All that it has logged since its last start. */
  log(): string;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again, on other ports. */
  restart(): Promise<void>;
  /** Its way to the store. */
  readonly relay: StoreRelay;
  /** Writes its configuration anew; takes effect at the next start, or when it is read again. */
  configure(change: Readonly<Record<string, unknown>>): void;
  /** `rotate` on its host, with its configuration. */
  rotate(...flags: readonly string[]): Promise<Ended>;
  /** `rotate`, still running. */
  startRotate(...flags: readonly string[]): Running;
}

export interface MemberView {
  /** Whether it can use the store. */
  readonly isUp: boolean;
  /** Fingerprint of the first key. */
  readonly key: string;
  /**
   * Fingerprints of the client secrets that its sources hold. A member that takes its tokens from the others keeps a replaced
   * one, too, until the server accepts the new one from itself.
   */
  readonly secrets: readonly string[];
}

/** An emulator with the client of the fleet. */
export interface RotationIam extends AsyncDisposable {
  /** Its origin. */
  readonly aritma: string;
  /** Descriptions of the client's secrets at IAM. */
  secretsAtIam(): Promise<readonly string[]>;
  /** Whether a value gets a token. */
  accepts(value: string): Promise<boolean>;
}

export interface RotationFleet extends RotationIam {
  readonly members: readonly RotationMember[];
  readonly store: RedisServer;
}

export interface RotationFleetOptions {
  readonly members: number;
  readonly overlap: string;
  /** Secret of member N in the environment instead of a file. */
  readonly inMemory?: number;
}

/** The client of a fleet, and its secret before the first rotation. */
export const FLEET_CLIENT = { id: 'fleet-erp', secret: 'fleet-erp-first-secret' } as const;
const { id: CLIENT, secret: FIRST } = FLEET_CLIENT;
const LIMIT_MS = 600_000;

export async function startRotationFleet(options: RotationFleetOptions): Promise<RotationFleet> {
  const iam = await startRotationIam();
  const store = await startRedis();
  const folder = createFolder();
  const keys = [{ file: folder.write('key', newFleetKey()) }];
  const { aritma } = iam;
  const own = {
    ...{ ...options, aritma, tokenEndpoint: `${aritma}/connect/token`, storePort: store.port },
    config: (storePort: number) => ({
      fleet: { url: `redis://127.0.0.1:${storePort}`, keys, timeout: '1s' },
      routes: [{ path: '/banking', upstream: `${aritma}/banking/api`, credential: 'default' }],
    }),
  };
  const members = await Promise.all(Array.from({ length: options.members }, (_, at) => startRotationMember(at, own)));
  return {
    ...{ ...iam, members, store },
    async [Symbol.asyncDispose]() {
      await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
      await store[Symbol.asyncDispose]();
      await iam[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

/** @param tokenLifetimeS of the fleet's client */
export async function startRotationIam(tokenLifetimeS = 12): Promise<RotationIam> {
  const secrets = [{ clientSecretId: 'first', value: FIRST, description: 'by hand' }];
  const emulator = await startEmulator({
    port: 0,
    tokenLifetimeS,
    clients: [
      { ...ADMIN_CLIENT, tokenLifetimeS: 3600 },
      { ...DEMO_CLIENT, clientId: CLIENT, name: CLIENT, secrets },
    ],
  });
  const tokenFor = (clientId: string, secret: string) =>
    fetch(`${emulator.url}/connect/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'client_credentials', client_id: clientId, client_secret: secret }),
    });
  return {
    aritma: emulator.url,
    async secretsAtIam() {
      const response = await tokenFor(ADMIN_CLIENT.clientId, ADMIN_CLIENT.secrets[0]?.value ?? '');
      const { access_token: token } = (await response.json()) as { access_token: string };
      const list = await fetch(`${emulator.url}/core/iam/v1/clients/${CLIENT}/secrets?pageSize=100`, {
        headers: { authorization: `Bearer ${token}` },
      });
      return ((await list.json()) as { items: { description: string }[] }).items.map(({ description }) => description);
    },
    accepts: async (value) => (await tokenFor(CLIENT, value)).ok,
    [Symbol.asyncDispose]: () => emulator.close(),
  };
}

interface Surroundings extends Pick<RotationFleetOptions, 'overlap' | 'inMemory'> {
  readonly aritma: string;
  /** For the fleet's client. */
  readonly tokenEndpoint: string;
  /** Where its relay leads to; 0: it has another way to the store. */
  readonly storePort: number;
  /** The fleet, the route `/banking`, and what else is not as usual. @param storePort of its relay */
  readonly config: (storePort: number) => Readonly<Record<string, unknown>>;
}

/** Resolves when it serves. @param at its number in the fleet */
export async function startRotationMember(at: number, around: Surroundings): Promise<RotationMember & AsyncDisposable> {
  const { aritma, tokenEndpoint } = around;
  const folder = createFolder();
  const relay = await startStoreRelay(around.storePort);
  const file = folder.write('secret', `${FIRST}\n`);
  const isInMemory = around.inMemory === at;
  const env = { ADMIN_SECRET: ADMIN_CLIENT.secrets[0]?.value ?? '', FIRST_SECRET: FIRST };
  const config = {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    adminActions: true,
    credentials: {
      default: {
        ...{ tokenEndpoint, clientId: CLIENT, scope: 'api' },
        ...(isInMemory
          ? { secrets: [{ env: 'FIRST_SECRET' }] }
          : { secrets: [{ file }], rotation: { every: '1h', overlap: around.overlap } }),
      },
      admin: {
        tokenEndpoint: `${aritma}/connect/token`,
        clientId: ADMIN_CLIENT.clientId,
        secrets: [{ env: 'ADMIN_SECRET' }],
      },
    },
    iam: { url: `${aritma}/core/iam`, credential: 'admin' },
    log: { format: 'json', level: 'debug' },
    ...around.config(relay.port),
  };
  const configFile = folder.write('config.json', JSON.stringify(config));
  let running: Running;
  let addresses: Addresses;
  const begin = async () => {
    running = start(['serve', '--config', configFile], { env, limitMs: LIMIT_MS });
    addresses = await addressesOf(running);
    await until('it serves', async () => (await fetch(`${addresses.url}/banking/accounts`)).ok);
  };
  await begin();
  return {
    get url() {
      return `${addresses.url}/banking/accounts`;
    },
    get pid() {
      return running.child.pid ?? 0;
    },
    relay,
    secretFile: file,
    async view() {
      const response = await fetch(`${addresses.adminUrl}/status`, { headers: { accept: 'application/json' } });
      const { fleet, credentials } = (await response.json()) as StatusOfMember;
      const secrets = credentials.find(({ name }) => name === 'default')?.secrets ?? [];
      return {
        isUp: fleet?.up ?? false,
        key: fleet?.keyId ?? '',
        secrets: secrets.filter(({ name }) => name !== 'replaced').map(({ fingerprint }) => fingerprint),
      };
    },
    refresh: async () => (await fetch(`${addresses.adminUrl}/token/refresh`, { method: 'POST' })).status,
    secret: () => readFileSync(file, 'utf8').trim(),
    log: () => running.stdout(),
    async kill() {
      running.kill('SIGKILL');
      await running.ended;
    },
    restart: begin,
    configure: (change) => void folder.write('config.json', JSON.stringify({ ...config, ...change })),
    rotate: (...flags) => run(['rotate', '--json', '--config', configFile, ...flags], { env, limitMs: LIMIT_MS }),
    startRotate: (...flags) =>
      start(['rotate', '--json', '--config', configFile, ...flags], { env, limitMs: LIMIT_MS }),
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await relay[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

interface StatusOfMember {
  readonly fleet?: { readonly up: boolean; readonly keyId: string };
  readonly credentials: readonly {
    readonly name: string;
    readonly secrets: readonly { readonly name: string; readonly fingerprint: string }[];
  }[];
}
