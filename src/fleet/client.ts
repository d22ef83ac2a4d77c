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
import { type ClientEvents, LONGEST_PAUSE_MS, type StoreClient } from './store.ts';

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
/** A connection that owes a reply for this long is dead, whatever the system says of it; a slow store must stay below. */
const SILENT_MS = 5000;
const FIRST_PAUSE_MS = 1000;

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
  /** The connection that has the subscription, or gets it. */
  #listener: Redis | Cluster | undefined;
  /** Without news a member would wait for locks to expire, so there are no commands without the subscription. */
  #isSubscribed = false;
  /** Being closed, although the library calls it ready. */
  #isDropped = false;
  /** Settled when the first try to connect and subscribe has succeeded or failed. */
  readonly #first = Promise.withResolvers<void>();
  /** Pauses since the last success. */
  #tries = 0;
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(settings: StoreSettings, events: ClientEvents) {
    this.#settings = settings;
    this.#events = events;
    this.#redis = openConnection(settings, () => this.#pause());
    this.#redis.on('error', (error: Error & { command?: { name?: string } }) => {
      this.#events.onError(error);
      // The library would go on in the first database.
      if (error.command?.name === 'select') this.#drop();
    });
    this.#redis.on('node error', events.onNodeError);
    this.#redis.on('close', () => {
      this.#isSubscribed = false;
      this.#isDropped = false;
      this.#first.resolve();
    });
    this.#redis.on('ready', () => void this.#subscribe());
    this.#redis.on('end', () => {
      this.#first.resolve();
      // With Sentinel, the library's own pause is a timer that nothing ends.
      if (settings.fleet.sentinel) this.#later(() => this.#connect());
    });
    this.#connect();
  }

  async run(script: ScriptName, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    await this.#first.promise;
    if (!this.#isSubscribed) throw new Error('not connected');
    // The subscription of a cluster may be on another node than the heartbeat: this asks whether that node lives.
    if (script === 'beat' && this.#listener !== this.#redis) await this.#listener?.subscribe(this.#settings.channel);
    try {
      const reply = await this.#evaluate(script, keys.length, [...keys, ...args]);
      this.#tries = 0;
      return reply;
    } catch (error) {
      // A primary that has become a replica: Sentinel knows the new one.
      if (this.#settings.fleet.sentinel && (error as Error).message.startsWith('READONLY')) this.#drop();
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#redis.disconnect();
  }

  async #evaluate(script: ScriptName, keys: number, all: readonly string[]): Promise<unknown> {
    try {
      return await this.#redis.evalsha(SHAS.get(script) ?? '', keys, ...all);
    } catch (error) {
      if (!(error as Error).message.startsWith('NOSCRIPT')) throw error;
      return await this.#redis.eval(SCRIPTS[script], keys, ...all);
    }
  }

  #connect(): void {
    this.#redis.connect().catch(() => undefined);
  }

  #drop(): void {
    if (this.#closed || this.#redis.status === 'reconnecting') return;
    this.#isDropped = true;
    this.#isSubscribed = false;
    this.#redis.disconnect(true);
  }

  /** The library's own count starts again with each connection, even one that is of no use. */
  #pause(): number {
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#tries, 10));
    this.#tries += 1;
    return longest * (1 - this.#settings.random() / 2);
  }

  #later(run: () => void): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(run, this.#pause()).unref();
  }

  async #subscribe(): Promise<void> {
    if (this.#closed || this.#isDropped || this.#redis.status !== 'ready') return;
    try {
      // The nodes of a cluster pass messages on to each other: one of them is enough.
      const on = this.#redis instanceof Cluster ? this.#redis.nodes('master')[0] : this.#redis;
      if (!on) throw new Error('not connected');
      if (this.#listener !== on) this.#listen(on);
      await on.subscribe(this.#settings.channel);
      this.#isSubscribed = true;
      this.#events.onSubscribed();
    } catch (error) {
      // Else the next connection subscribes.
      if (this.#redis.status === 'ready' && !this.#isDropped) {
        this.#events.onError(error);
        this.#later(() => void this.#subscribe());
      }
    } finally {
      this.#first.resolve();
    }
  }

  #listen(on: Redis | Cluster): void {
    this.#listener = on;
    on.on('message', (from: string, message: string) => {
      if (from === this.#settings.channel) this.#events.onNews(message);
    });
    if (on === this.#redis) return;
    on.once('end', () => {
      this.#isSubscribed = false;
      void this.#subscribe();
    });
  }
}

/** Creates a connection that `connect()` opens. @param pause ms before a further try; null = none */
export function openConnection(settings: StoreSettings, pause: () => number | null): Redis | Cluster {
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
    socketTimeout: SILENT_MS,
    disconnectTimeout: 100,
    keepAlive: 10_000,
  };
}

/** An IPv6 address without brackets, as sockets want it. */
function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}
