/**
 * Takes client secrets over that another member has rotated: into the file of this member, or into memory where it has none
 * that it may write. What it has is told with each heartbeat; the old secret is deleted only when all have the new one.
 */
import { createHash } from 'node:crypto';
import type { LoadedConfig } from '../../config/load.ts';
import type { LoadedSecret } from '../../config/secret-files.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { Secret } from '../../core/secret.ts';
import type { Holding, SecretWatch } from '../../fleet/places.ts';
import type { SecretSharing, SecretStore } from '../../iam/rotation/store.ts';
import { asOlder, textOf } from './fleet-journal.ts';
import { SharedSecret, type SharedSecretOptions, secretParts } from './shared-secret.ts';

export interface SecretFollowerOptions extends Omit<SharedSecretOptions, 'parts'> {
  readonly host: string;
  readonly log: Log;
  /** Called when a new secret is there: the configuration must be read again. */
  readonly onSecret: () => void;
  /** The follower that this one replaces: what it had only in memory is not lost. */
  readonly before?: SecretFollower | undefined;
  /** Replaces where the secrets are kept, for tests. */
  readonly storeOf?: (loaded: LoadedConfig, credential: string) => SecretStore;
}

/** A credential whose secret is followed. */
interface Followed {
  readonly credential: string;
  readonly shared: SharedSecret;
  /** Undefined: the secret is nowhere where it could be written. */
  readonly local: SecretStore | undefined;
  /** Revision of the journal that this member last wrote next to its secret. */
  written: number;
}

interface Adopted {
  /** Of another one it must not be tried, still less sent to another server. */
  readonly client: string;
  readonly value: Secret;
  /** Tried before those of the configuration; else the configuration may have been changed since. */
  readonly isFirst: boolean;
}

export class SecretFollower implements SecretSharing, SecretWatch {
  readonly #options: SecretFollowerOptions;
  #loaded: LoadedConfig | undefined;
  /** By client: several credentials can have the same. */
  readonly #shared = new Map<string, SharedSecret>();
  #followed: readonly Followed[] = [];
  /** Secrets that are only in memory, by credential. */
  readonly #adopted: Map<string, Adopted>;
  #looking: Promise<void> = Promise.resolve();

  constructor({ before, ...options }: SecretFollowerOptions) {
    // Without the one before, which would keep all before it, and their configurations, in memory.
    this.#options = options;
    this.#adopted = new Map(before ? before.#adopted : []);
  }

  /** Follows the secrets of this configuration. */
  async use(loaded: LoadedConfig): Promise<void> {
    this.#loaded = loaded;
    // Loaded only where secrets are followed: a good part of the program.
    const storeOf = this.#options.storeOf ?? (await import('../../iam/rotation/credential-rotation.ts')).storeOf;
    const before = this.#followed;
    this.#followed = Object.entries(loaded.config.credentials).flatMap(([credential, settings]): Followed[] => {
      if (settings.auth === 'private_key_jwt' || !loaded.secrets.get(credential)?.length) return [];
      const shared = this.#sharedOf(secretParts(settings));
      const local = writable(() => storeOf(loaded, credential));
      const isSamePlace = (one: Followed) => one.shared === shared && one.local?.name === local?.name;
      const known = before.find((one) => one.credential === credential && isSamePlace(one));
      return [{ credential, shared, local, written: known?.written ?? 0 }];
    });
  }

  /** Returns the configuration with the secrets that are only in memory. */
  adopt(loaded: LoadedConfig): LoadedConfig {
    for (const [credential, { value, client }] of this.#adopted) {
      const settings = loaded.config.credentials[credential];
      const isThere = loaded.secrets.get(credential)?.some((secret) => secret.value.equals(value)) ?? true;
      if (isThere || !settings || this.#sharedOf(secretParts(settings)).client !== client)
        this.#adopted.delete(credential);
    }
    if (this.#adopted.size === 0) return loaded;
    const extended = (credential: string, secrets: readonly LoadedSecret[]): readonly LoadedSecret[] => {
      const { value, isFirst } = this.#adopted.get(credential) ?? {};
      if (!value) return secrets;
      const own = { name: 'fleet', value, kid: undefined, alg: undefined };
      return isFirst ? [own, ...secrets] : [...secrets, own];
    };
    return {
      ...loaded,
      secrets: new Map([...loaded.secrets].map(([name, secrets]) => [name, extended(name, secrets)])),
      secretsNow: (name, ...how) => extended(name, loaded.secretsNow(name, ...how)),
    };
  }

  /** What this member has, for its heartbeat. */
  holdings(): Holding[] {
    return this.#followed.map(({ credential, shared, local }) => ({
      client: shared.client,
      place: this.#placeOf(local, credential),
      secrets: this.#secretsOf(credential).map((value) => value.fingerprint()),
      isKept: !this.#adopted.has(credential),
    }));
  }

  /** Looks whether there are new secrets, and takes them over. Never rejects. */
  look(name?: string): Promise<void> {
    this.#looking = this.#looking.then(async () => {
      for (const followed of this.#followed)
        if (name === undefined || name === followed.shared.journal.name)
          await this.#follow(followed).catch(this.#failed);
    });
    return this.#looking;
  }

  share(credential: string, local: SecretStore): SecretStore {
    return this.#of(credential)?.shared.share(local) ?? local;
  }

  /** Whether a rotation of this credential's secret waits for somebody to go on with it. */
  isLeft(credential: string): boolean {
    return this.#of(credential)?.shared.isLeft(this.#options.clock.now().wallMs) ?? false;
  }

  #of(credential: string): Followed | undefined {
    return this.#followed.find((one) => one.credential === credential);
  }

  #sharedOf(parts: readonly (string | undefined)[]): SharedSecret {
    const key = JSON.stringify(parts);
    const shared = this.#shared.get(key) ?? new SharedSecret({ ...this.#options, parts });
    this.#shared.set(key, shared);
    return shared;
  }

  #secretsOf(credential: string): Secret[] {
    return (this.#loaded?.secrets.get(credential) ?? []).map(({ value }) => value);
  }

  #placeOf(local: SecretStore | undefined, credential: string): string {
    const { host } = this.#options;
    const place = local === undefined ? [host, 'memory', credential] : local.isOwn ? [host, local.name] : [local.name];
    return createHash('sha256').update(JSON.stringify(place)).digest('hex').slice(0, 16);
  }

  async #follow(followed: Followed): Promise<void> {
    const { shared, credential } = followed;
    try {
      await this.#remember(followed);
      await shared.journal.look();
      // The credential may have another client or place by now.
      if (!this.#followed.includes(followed)) return;
      const { attempt, fleet } = shared.journal.newest ?? {};
      if (attempt?.phase === 'promoted' && attempt.value) await this.#takeOver(followed, new Secret(attempt.value));
      else if (followed.written > 0) await this.#write(followed, undefined);
      if (attempt?.phase !== 'promoted' && fleet?.kept)
        this.#adopt(followed, { value: new Secret(fleet.kept), isFirst: false });
    } catch (error) {
      if (!(error instanceof SidecarError)) throw error;
      // The store's state is told elsewhere; everything else is tried again at the next look.
      this.#options.log.debug('the secret of the fleet could not be looked at', { credential, code: error.code });
    }
  }

  /** One look that fails, whatever the reason, must end neither this process nor the looks after it. */
  readonly #failed = (error: unknown): void =>
    this.#options.log.error('unexpected error while a secret of the fleet was looked at', {
      reason: String((error as Error).name),
    });

  async #remember(followed: Followed): Promise<void> {
    if (!followed.local?.isOwn) return;
    try {
      const written = followed.shared.journal.remember(await followed.local.peek());
      followed.written = Math.max(followed.written, written);
    } catch (error) {
      // One that cannot be read tells nothing, and need not keep this member from a new secret.
      if (!(error instanceof SidecarError)) throw error;
    }
  }

  async #takeOver(followed: Followed, value: Secret): Promise<void> {
    const { credential } = followed;
    if (this.#has(credential, value) && followed.written === 0) return;
    const { written } = followed;
    const problem = await this.#write(followed, value);
    if (problem !== undefined) this.#adopt(followed, { value, isFirst: true }, problem);
    else if (followed.written > written && !this.#has(credential, value)) {
      this.#options.log.info('new client secret of the fleet taken over', { credential });
      this.#options.onSecret();
    }
  }

  #adopt(
    { credential, shared }: Followed,
    adopted: Omit<Adopted, 'client'>,
    reason = 'it was not there when the others took it over',
  ): void {
    if (this.#has(credential, adopted.value)) return;
    this.#adopted.set(credential, { ...adopted, client: shared.client });
    this.#options.log.warn('new client secret of the fleet taken over, but only in memory', { credential, reason });
    this.#options.onSecret();
  }

  #has(credential: string, value: Secret): boolean {
    return this.#secretsOf(credential).some((secret) => secret.equals(value));
  }

  /** Writes secret and journal to the place of this member. @returns why that cannot be done @throws SidecarError ROTATION_LOCKED */
  async #write(followed: Followed, value: Secret | undefined): Promise<string | undefined> {
    const { local, shared } = followed;
    const journal = shared.journal.newest;
    if (!local?.isOwn || !journal) return 'its place is not a file of this sidecar';
    if (followed.written >= journal.fleet.revision) return undefined;
    try {
      const store = await local.open();
      try {
        const inUse = value && (await store.readSecret());
        if (value && !inUse?.equals(value)) {
          // After a restart, one of this revision tells that the secret was written: another one is from people.
          await store.writeJournal(textOf(asOlder(journal)));
          await store.writeSecret(value);
        }
        await store.writeJournal(textOf(journal));
      } finally {
        await store.close();
      }
      followed.written = journal.fleet.revision;
      return undefined;
    } catch (error) {
      if (!(error instanceof SidecarError) || error.code !== 'ROTATION_STORE_FAILED') throw error;
      return Object.values(error.extras.fields ?? {}).join(' ') || error.code;
    }
  }
}

function writable(open: () => SecretStore): SecretStore | undefined {
  try {
    return open();
  } catch (error) {
    if (error instanceof SidecarError && error.code === 'CONFIG_INVALID') return undefined;
    throw error;
  }
}
