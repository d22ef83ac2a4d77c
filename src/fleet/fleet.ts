/**
 * Fleet mode: many sidecars with the same client share tokens through a store that operators already run. The store is a help
 * and never needed: without it each member does what a single sidecar does.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { LoadedConfig } from '../config/load.ts';
import type { Clock } from '../core/clock.ts';
import { SidecarError } from '../core/errors.ts';
import type { FleetSnapshot } from '../core/fleet-snapshot.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { Secret } from '../core/secret.ts';
import { VERSION } from '../core/version.ts';
import type { ObtainedToken, Replaced } from '../oauth/token.ts';
import type { TokenResponse } from '../oauth/token-response.ts';
import { FleetBudgets } from './budgets.ts';
import { connectStore } from './client.ts';
import { sayAlive } from './heartbeat.ts';
import type { FleetAccess } from './members.ts';
import type { FleetMemory } from './memory.ts';
import type { SecretWatch } from './places.ts';
import { createSealer, type Sealer } from './seal.ts';
import { SharedToken, type SharedTokenOptions } from './shared-token.ts';
import { createStore, type Store, type StoreClient } from './store.ts';
import type { StoreFault } from './store-fault.ts';

export interface FleetOptions {
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Replaces the connection, for tests. */
  readonly connect?: typeof connectStore;
  readonly memory: FleetMemory;
}

export type Sharing = Pick<SharedTokenOptions, 'parts' | 'host' | 'secrets'>;

/** Where the token of one token source comes from. */
export interface TokenOrigin {
  /** Of the newest token; undefined before the first, and without a fleet. */
  readonly source: 'fetched' | 'shared' | undefined;
  fetch(
    own: () => Promise<TokenResponse>,
    untilAwaited: () => Promise<void>,
    replaced?: Replaced,
  ): Promise<TokenResponse>;
  /** Of no use to an upstream or an operator, in this generation and all that follow. */
  refuse(authorization: Secret): void;
  subscribe(take: (newer: ObtainedToken) => void): () => void;
}

export interface Fleet {
  /** Equal `parts` are one token. Call it once for each token source. */
  token(sharing: Sharing): TokenOrigin;
  /** For what the members share beside tokens. */
  readonly access: FleetAccess;
  readonly budgets: FleetBudgets;
  /** Tells the others of these secrets, and these of what the others say. */
  watch(secrets: SecretWatch): void;
  /** Call when the holdings may have changed: others may wait for that. */
  changed(): void;
  snapshot(): FleetSnapshot;
  close(): void;
}

type FleetConfig = NonNullable<LoadedConfig['config']['fleet']>;

/** Connects in the background; `loaded` must have `fleet`. */
export function createFleet(options: FleetOptions): Fleet {
  return new Member(options);
}

class Member implements Fleet {
  readonly budgets: FleetBudgets;
  readonly #options: Omit<FleetOptions, 'loaded'>;
  readonly #attemptMs: number;
  readonly #settings: FleetConfig;
  readonly #sealer: Sealer;
  readonly #store: Store;
  readonly #id = randomBytes(8).toString('hex');
  /** Of the token sources; bounded by the configuration. */
  readonly #tokens = new Map<SharedToken, Sharing>();
  #claims = 0;
  #beats = 0;
  #secrets: SecretWatch | undefined;
  /** Of its holdings, as others know them. */
  #told = '';
  #members: number | undefined;
  #since: number;

  constructor(options: FleetOptions) {
    const { loaded, clock, random, metrics, connect = connectStore } = options;
    const { fleetSecrets: secrets } = loaded;
    const { fleet } = loaded.config;
    if (!fleet || !secrets) throw new Error('there is no fleet in this configuration');
    // Not the configuration with its secrets: it is replaced by later ones, which may have the same fleet.
    const { loaded: _loaded, ...lasting } = options;
    this.#options = lasting;
    this.#attemptMs = loaded.config.token.attemptTimeout;
    this.#settings = fleet;
    this.#sealer = createSealer(secrets.keys);
    this.#since = clock.now().wallMs;
    const settings = { fleet, secrets, tls: loaded.tls.get('fleet'), channel: this.#channel, random };
    this.#store = createStore({
      connect: (events) => connect(settings, events),
      timeoutMs: fleet.timeout,
      ...{ clock, random },
      beat: (run) => this.#beat(run),
      onNews: (name) => {
        void this.#secrets?.look(name);
        this.budgets.onNews(name);
        for (const token of this.#tokens.keys()) if (token.name === name) token.onNews();
      },
      onSubscribed: () => {
        // Before the first heartbeat nobody can have asked, so there was nothing to miss.
        if (this.#members === undefined) return;
        for (const token of this.#tokens.keys()) token.onNews();
      },
      onOperation(operation, result, seconds) {
        metrics.count('fleet_operations_total', { operation, result });
        metrics.observe('fleet_operation_duration_seconds', operation, seconds);
      },
      onChange: (fault) => this.#tell(fault),
    });
    this.budgets = new FleetBudgets({ ...this.access, clock, members: () => this.#members });
  }

  watch(secrets: SecretWatch): void {
    this.#secrets = secrets;
  }

  changed(): void {
    if (this.#beats > 0 && this.#told !== JSON.stringify(this.#secrets?.holdings())) this.#store.beat();
  }

  get access(): FleetAccess {
    return {
      ...{ prefix: this.#settings.prefix, channel: this.#channel, sealer: this.#sealer },
      ...{ member: this.#id, host: hostname(), run: (...command) => this.#run(...command) },
    };
  }

  token(sharing: Sharing): TokenOrigin {
    const { clock, random, metrics, memory } = this.#options;
    const token = new SharedToken({
      ...{ ...sharing, clock, random, store: this.#store, sealer: this.#sealer, memory },
      ...{ channel: this.#channel, prefix: this.#settings.prefix, timeoutMs: this.#settings.timeout },
      attemptMs: this.#attemptMs,
      newHolder: () => {
        this.#claims += 1;
        return `${this.#id}:${this.#claims}`;
      },
      onToken: (source) => metrics.count('fleet_tokens_total', { source }),
      onRejected: (reason) => metrics.count('fleet_rejected_total', { reason }),
    });
    this.#tokens.set(token, sharing);
    return {
      get source() {
        return token.source;
      },
      fetch: async (...ask) => {
        const response = await token.fetch(...ask);
        // Others may have rotated the secret while this one could not hear of it.
        if (response.kind === 'rejected') void this.#secrets?.look();
        return response;
      },
      refuse: (authorization) => token.refuse(authorization),
      subscribe: (take) => {
        const end = token.subscribe(take);
        return () => {
          end();
          this.#tokens.delete(token);
        };
      },
    };
  }

  snapshot(): FleetSnapshot {
    const fault = this.#store.fault();
    return {
      store: this.#address,
      up: fault === undefined && this.#members !== undefined,
      problem: fault?.message,
      since: this.#since,
      member: this.#id,
      members: this.#members,
      keyId: this.#sealer.keyId,
    };
  }

  close(): void {
    this.budgets.close();
    this.#store.close();
  }

  get #channel(): string {
    return `${this.#settings.prefix}:news`;
  }

  get #address(): string {
    const { url, nodes, sentinel } = this.#settings;
    const all = url ? [url] : (nodes ?? sentinel?.nodes ?? []);
    return all.map(({ host, port }) => `${host}:${port}`).join(', ');
  }

  async #beat(run: StoreClient['run']): Promise<void> {
    const secrets = [...this.#tokens.values()].flatMap((sharing) => sharing.secrets());
    const holdings = this.#secrets?.holdings();
    const said = { version: VERSION, host: hostname(), secrets, ...(this.#beats > 0 && holdings && { holdings }) };
    this.#members = await sayAlive({ ...this.access, run, memory: this.#options.memory }, said);
    if (this.#beats > 0) this.#told = JSON.stringify(holdings);
    if (this.#beats > 0) void this.#secrets?.look();
    this.#beats += 1;
  }

  /** @throws SidecarError ROTATION_STORE_FAILED */
  async #run(...command: Parameters<Store['run']>): Promise<unknown> {
    const reply = await this.#store.run(...command);
    if (reply !== undefined) return reply;
    const reason = this.#store.fault()?.message ?? 'the fleet store is not usable now';
    throw new SidecarError('ROTATION_STORE_FAILED', { fields: { reason } });
  }

  #tell(fault: StoreFault | undefined): void {
    const { clock, log } = this.#options;
    this.#since = clock.now().wallMs;
    const host = this.#address;
    this.budgets.onStore(fault === undefined);
    if (!fault) log.info('fleet store usable', { host });
    else
      log.warn('fleet store not usable, each sidecar fetches its own tokens', {
        ...{ host, cause: fault.cause, problem: fault.message },
      });
  }
}
