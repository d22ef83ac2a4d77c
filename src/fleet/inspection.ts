/**
 * The store as an operator looks at it: one connection without retries, every command bounded in time. For `check` and
 * `fleet status`; a serving sidecar does not load this. It is no member, and changes nothing but throw-away names.
 */
import { Cluster, type Redis } from 'ioredis';
import type { LoadedConfig } from '../config/load.ts';
import { within } from '../net/bounded-request.ts';
import { openConnection } from './client.ts';
import { SCRIPTS, type ScriptName } from './scripts.ts';
import { StoreTimeout } from './store-fault.ts';

export interface Inspection extends Disposable {
  /** Prefix of all names, as configured. */
  readonly prefix: string;
  /** Name and version, `redis 7.0.15`; every user may ask. */
  server(): Promise<{ readonly name: string; readonly version: string }>;
  /** Sends one command. Rejects with the store's error. */
  ask(command: string, ...args: readonly string[]): Promise<unknown>;
  /** Runs a script by its text, so that the right to do that is tried. */
  run(script: ScriptName, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  /** Subscribes to the channel of the fleet. */
  subscribe(): Promise<void>;
  /** Number of tokens in the store, by SCAN; undefined beyond what is looked at. */
  countTokens(): Promise<number | undefined>;
}

const CONNECT_MS = 4000;
const ASK_MS = 2000;
/** Steps of SCAN of 1,000 names each; a store with more is not the fleet's alone. */
const MAX_STEPS = 200;

/**
 * Connects once. `loaded` must have `fleet`.
 * @throws what the connection or the store said, for `faultOf`
 */
export async function openInspection(loaded: LoadedConfig): Promise<Inspection> {
  const { fleet } = loaded.config;
  const { fleetSecrets: secrets } = loaded;
  if (!fleet || !secrets) throw new Error('there is no fleet in this configuration');
  const channel = `${fleet.prefix}:news`;
  const settings = { fleet, secrets, tls: loaded.tls.get('fleet'), channel, random: Math.random };
  const redis = openConnection(settings, () => null);
  const inspection = new Connection(redis, { prefix: fleet.prefix, channel });
  try {
    await inspection.connect();
    return inspection;
  } catch (error) {
    inspection[Symbol.dispose]();
    throw error;
  }
}

class Connection implements Inspection {
  readonly prefix: string;
  readonly #redis: Redis | Cluster;
  readonly #channel: string;
  /** The first error of the connection: later ones, and rejections, only follow from it. */
  #said: unknown;

  constructor(redis: Redis | Cluster, { prefix, channel }: { readonly prefix: string; readonly channel: string }) {
    this.prefix = prefix;
    this.#redis = redis;
    this.#channel = channel;
    const note = (error: unknown) => {
      this.#said ??= error;
    };
    redis.on('node error', note);
    redis.on('error', note);
  }

  async connect(): Promise<void> {
    // A cluster refuses commands until a moment after its `connect` has resolved.
    const ready = new Promise<void>((resolve) => void this.#redis.once('ready', () => resolve()));
    try {
      await within(CONNECT_MS, Promise.all([this.#redis.connect(), ready]), () => late());
      await this.ask('TIME');
    } catch (error) {
      throw this.#said ?? error;
    }
    // A refused database is told only as an event; the library would go on in the first one.
    if (this.#said !== undefined) throw this.#said;
  }

  async server(): Promise<{ name: string; version: string }> {
    const fields = pairs(await this.ask('HELLO', '3'));
    return { name: String(fields.get('server')), version: String(fields.get('version')) };
  }

  ask(command: string, ...args: readonly string[]): Promise<unknown> {
    return within<unknown>(ASK_MS, this.#redis.call(command, ...args), late);
  }

  run(script: ScriptName, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const all = [...keys, ...args];
    return within<unknown>(ASK_MS, this.#redis.eval(SCRIPTS[script], keys.length, ...all), late);
  }

  async subscribe(): Promise<void> {
    await within<unknown>(ASK_MS, this.#redis.subscribe(this.#channel), late);
  }

  async countTokens(): Promise<number | undefined> {
    let count = 0;
    for (const node of this.#redis instanceof Cluster ? this.#redis.nodes('master') : [this.#redis]) {
      const found = await this.#countOn(node);
      if (found === undefined) return undefined;
      count += found;
    }
    return count;
  }

  async #countOn(node: Redis): Promise<number | undefined> {
    // A name can be listed twice while the store moves its table.
    const names = new Set<string>();
    let cursor = '0';
    for (let step = 0; step < MAX_STEPS; step += 1) {
      const scan = node.scan(cursor, 'MATCH', `${this.prefix}:{*}:token`, 'COUNT', 1000);
      const [next, found] = await within(ASK_MS, scan, late);
      for (const name of found) names.add(name);
      if (next === '0') return names.size;
      cursor = next;
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#redis.disconnect();
  }
}

function late(): never {
  throw new StoreTimeout();
}

/** Names and values of a reply that lists them in turn. */
function pairs(reply: unknown): Map<string, unknown> {
  const list = Array.isArray(reply) ? reply : [];
  return new Map(list.flatMap((name, at) => (at % 2 === 0 ? [[String(name), list[at + 1]] as const] : [])));
}
