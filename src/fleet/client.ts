/**
 * The connection to a Valkey or Redis store: single, behind Sentinel, or a cluster. Hides the client library: it reconnects for
 * ever, subscribes again, and never piles up commands while there is no connection.
 */
import { createHash } from 'node:crypto';
import type { ConnectionOptions } from 'node:tls';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { FleetSecrets } from '../config/fleet-secrets.ts';
import type { Config } from '../config/schema.ts';
import { SCRIPTS, type ScriptName } from './scripts.ts';
import type { ClientEvents, StoreClient } from './store.ts';

export interface StoreSettings {
  readonly fleet: NonNullable<Config['fleet']>;
  readonly secrets: FleetSecrets;
  /** Files of `fleet.tls`. */
  readonly tls: Pick<ConnectionOptions, 'ca' | 'cert' | 'key'> | undefined;
  readonly channel: string;
  /** In [0, 1). */
  readonly random: () => number;
}

type Options = Omit<RedisOptions, 'replyMapping'>;

const CONNECT_MS = 2000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;
/** So many commands without a reply: the connection is dead, whatever the system says of it. */
const MAX_SILENT = 3;

const SHAS = new Map(
  Object.entries(SCRIPTS).map(([name, lua]) => [name, createHash('sha1').update(lua).digest('hex')] as const),
);

/** Connects in the background. */
export function connectStore(settings: StoreSettings, events: ClientEvents): StoreClient {
  return new Connection(settings, events);
}

class Connection implements StoreClient {
  readonly #settings: StoreSettings;
  readonly #events: ClientEvents;
  readonly #redis: Redis | Cluster;
  /** The connection that has the subscription. */
  #listening: Redis | Cluster | undefined;
  /** Settled when the first try to connect has succeeded or failed. */
  readonly #first = Promise.withResolvers<void>();
  #silent = 0;
  #tries = 0;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(settings: StoreSettings, events: ClientEvents) {
    this.#settings = settings;
    this.#events = events;
    this.#redis = openConnection(settings, (tries) => this.#pause(tries));
    this.#redis.on('error', (error: Error & { command?: { name?: string } }) => {
      events.onError(error);
      // The library would go on in the first database.
      if (error.command?.name === 'select') this.#drop();
    });
    this.#redis.on('node error', events.onError);
    this.#redis.on('close', this.#first.resolve);
    this.#redis.on('ready', () => {
      this.#tries = 0;
      this.#first.resolve();
      void this.#subscribe();
    });
    // With Sentinel, the library's own pause is a timer that nothing ends.
    if (settings.fleet.sentinel) this.#redis.on('end', () => this.#later(() => this.#connect()));
    this.#connect();
  }

  async run(script: ScriptName, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    await this.#first.promise;
    if (this.#redis.status !== 'ready') throw new Error('not connected');
    const lua = SCRIPTS[script];
    const all = [...keys, ...args];
    this.#silent += 1;
    if (this.#silent > MAX_SILENT) this.#drop();
    try {
      return await this.#redis.evalsha(SHAS.get(script) ?? '', keys.length, ...all).catch((error: Error) => {
        if (error.message.startsWith('NOSCRIPT')) return this.#redis.eval(lua, keys.length, ...all);
        throw error;
      });
    } catch (error) {
      // A primary that has become a replica: Sentinel knows the new one.
      if (this.#settings.fleet.sentinel && (error as Error).message.startsWith('READONLY')) this.#drop();
      throw error;
    } finally {
      this.#silent = 0;
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#redis.disconnect();
  }

  #connect(): void {
    this.#redis.connect().catch(() => undefined);
  }

  #drop(): void {
    this.#silent = 0;
    if (!this.#closed && this.#redis.status !== 'reconnecting') this.#redis.disconnect(true);
  }

  #pause(tries: number): number {
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, tries - 1));
    return longest * (1 - this.#settings.random() / 2);
  }

  #later(run: () => void): void {
    if (this.#closed) return;
    this.#tries += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(run, this.#pause(this.#tries)).unref();
  }

  async #subscribe(): Promise<void> {
    if (this.#closed || this.#redis.status !== 'ready') return;
    // The nodes of a cluster pass messages on to each other: one of them is enough.
    const on = this.#redis instanceof Cluster ? this.#redis.nodes('master')[0] : this.#redis;
    if (!on) return;
    const { channel } = this.#settings;
    try {
      if (this.#listening !== on) {
        this.#listening = on;
        on.on('message', (from: string, message: string) => {
          if (from === channel) this.#events.onNews(message);
        });
        if (on !== this.#redis) on.once('end', () => this.#later(() => void this.#subscribe()));
      }
      await on.subscribe(channel);
      this.#events.onSubscribed();
    } catch (error) {
      this.#events.onError(error);
      this.#later(() => void this.#subscribe());
    }
  }
}

/** Creates a connection that `connect()` opens. @param pause ms before a further try; null = none */
export function openConnection(settings: StoreSettings, pause: (tries: number) => number | null): Redis | Cluster {
  const { url, nodes = [], sentinel } = settings.fleet;
  const common = optionsOf(settings);
  const one: Options = { ...common, enableOfflineQueue: false, retryStrategy: pause };
  if (url) {
    const options: Options = { ...one, host: bare(url.host), port: url.port, db: url.database };
    return new Redis(options);
  }
  if (sentinel) {
    const options: Options = {
      ...one,
      ...(one.tls && { sentinelTLS: one.tls, enableTLSForSentinelMode: true }),
      sentinels: sentinel.nodes.map(({ host, port }) => ({ host: bare(host), port })),
      name: sentinel.name,
      enableReadyCheck: true,
      sentinelCommandTimeout: 1000,
      sentinelRetryStrategy: () => null,
    };
    return new Redis(options);
  }
  const roots = nodes.map(({ host, port }) => ({ host: bare(host), port }));
  return new Cluster(roots, {
    lazyConnect: true,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    slotsRefreshTimeout: CONNECT_MS,
    maxRedirections: 2,
    clusterRetryStrategy: pause,
    redisOptions: common,
  });
}

/** What every connection has. */
function optionsOf({ fleet, secrets, tls }: StoreSettings) {
  const user = fleet.url?.user ?? fleet.user;
  return {
    ...(secrets.password && { password: secrets.password.reveal() }),
    ...(user !== undefined && { username: user }),
    ...((fleet.url?.secure || fleet.tls) && { tls: tls ?? {} }),
    // RESP3: commands and subscription share a connection.
    protocol: 3 as const,
    disableClientInfo: true,
    enableReadyCheck: false,
    lazyConnect: true,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_MS,
    keepAlive: 10_000,
  };
}

/** An IPv6 address without brackets, as sockets want it. */
function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}
