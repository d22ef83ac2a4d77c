/**
 * Rotates the secret of one configured credential: opens its store, connects to Aritma IAM, and verifies the new secret
 * with real token requests.
 */

import { RotationSchema } from '../../config/iam-schema.ts';
import type { LoadedConfig } from '../../config/load.ts';
import type { CredentialConfig } from '../../config/schema.ts';
import { sleep, systemClock } from '../../core/clock.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';
import { createIdentity, tokenKey } from '../../oauth/credentials.ts';
import { createIamApi } from '../api.ts';
import { connectIam, sourceOf } from '../connection.ts';
import { type RotationOptions, sharedNow } from './attempt.ts';
import { beginJournal, parseJournal } from './journal.ts';
import { openSecretStore } from './open-store.ts';
import { type Outcome, rotate } from './rotate.ts';
import { dueAt } from './schedule.ts';
import type { OpenStore, SecretStore } from './store.ts';
import type { RotationClock, TrySecret } from './verification.ts';

export interface RotateOptions {
  readonly loaded: LoadedConfig;
  /** Name of the credential. */
  readonly credential: string;
  readonly clock: RotationClock;
  readonly onProgress?: RotationOptions['onProgress'];
  readonly after?: RotationOptions['after'];
  /** Returns the store that several sidecars have in common; absent: it is only this one's. */
  readonly share?: ((credential: string, local: SecretStore) => SecretStore) | undefined;
  /** Expiry of the stored secret in IAM, epoch ms. */
  readonly listedExpiry?: number | undefined;
}

/** Longer than the lease of a member of a fleet that has died. */
const LOCKED_TRIES = 20;
const LOCKED_PAUSE_MS = 2000;

/**
 * Begins a rotation or continues the unfinished one. After a pause, others go on with it at the same moment: this one then
 * waits for them, for 40 s.
 * @throws SidecarError what `rotate` throws; CONFIG_INVALID when the configuration is not enough for it
 * @example
 * const clock = { now: Date.now, sleep };
 * const outcome = await rotateCredential({ loaded: loadConfig(), credential: 'default', clock });
 * if (outcome.kind === 'waiting') console.log('call again at', new Date(outcome.until));
 */
export async function rotateCredential(options: RotateOptions): Promise<Outcome> {
  for (let tries = options.after ? LOCKED_TRIES : 0; ; tries -= 1) {
    try {
      return await rotateOnce(options);
    } catch (error) {
      if (tries === 0 || !(error instanceof SidecarError && error.code === 'ROTATION_LOCKED')) throw error;
      await options.clock.sleep(LOCKED_PAUSE_MS);
    }
  }
}

async function rotateOnce(options: RotateOptions): Promise<Outcome> {
  const store = await openStore(options);
  try {
    return await rotateOpen(store, options);
  } finally {
    await store.close();
  }
}

/**
 * Like `rotateCredential`, but only if a rotation is due, which it decides while it holds the store; else returns
 * undefined. A store without a journal gets one, so that the time to the first rotation counts from now.
 */
export async function rotateIfDue(options: RotateOptions): Promise<Outcome | undefined> {
  const { loaded, credential, clock, listedExpiry } = options;
  const { rotation, clientId } = credentialOf(loaded, credential);
  const { every, secretLifetime } = rotation;
  if (every === undefined) return undefined;
  const store = await openStore(options);
  try {
    const text = await store.readJournal();
    if (text === undefined) {
      await store.writeJournal(`${JSON.stringify(beginJournal(clientId, clock.now()))}\n`);
      return undefined;
    }
    const journal = parseJournal(text);
    // One under way itself knows by which clock it waits. In a fleet, a clock that is ahead would begin one after the other.
    const nowMs = await sharedNow({ store, clock });
    const isDue = journal.attempt !== undefined || dueAt(journal, { every, secretLifetime }, listedExpiry) <= nowMs;
    return isDue ? await rotateOpen(store, options) : undefined;
  } finally {
    await store.close();
  }
}

async function rotateOpen(store: OpenStore, options: RotateOptions): Promise<Outcome> {
  const { loaded, credential, clock, onProgress, after } = options;
  const { clientId, rotation } = credentialOf(loaded, credential);
  const { secretLifetime, overlap, verifyFor } = rotation;
  await using iam = connectIam(loaded);
  return await rotate({
    clientId,
    store,
    iam: createIamApi(iam.connection),
    trySecret: secretTrier(loaded, credential),
    policy: { secretLifetime, overlap, verifyFor },
    clock,
    after,
    ...(onProgress && { onProgress }),
  });
}

function openStore({ loaded, credential, share }: RotateOptions): Promise<OpenStore> {
  const local = storeOf(loaded, credential);
  return (share?.(credential, local) ?? local).open();
}

/** Returns the store of a credential's first secret. @throws SidecarError CONFIG_INVALID */
export function storeOf(loaded: LoadedConfig, credential: string): SecretStore {
  const { rotation, secrets, clientId } = credentialOf(loaded, credential);
  const inUse = loaded.secrets.get(credential)?.[0]?.value;
  const { resolve, cluster } = loaded;
  const clock = { now: Date.now, sleep, startTimer: systemClock.startTimer };
  const source = { where: sourceOf(loaded), path: `credentials.${credential}.rotation` };
  return openSecretStore({ rotation, file: secrets[0]?.file, inUse, clientId, resolve, cluster, clock, source });
}

type Rotated = CredentialConfig & { readonly rotation: NonNullable<CredentialConfig['rotation']> };

function credentialOf(loaded: LoadedConfig, name: string): Rotated {
  const { credentials } = loaded.config;
  const settings = Object.hasOwn(credentials, name) ? credentials[name] : undefined;
  const rotation = settings?.rotation ?? RotationSchema.parse({});
  if (settings && rotation && /^client_secret/.test(settings.auth)) return { ...settings, rotation };
  const message = settings
    ? 'authenticates without a client secret; what writes its key or assertion replaces it'
    : 'is not configured';
  throw new SidecarError('CONFIG_INVALID', {
    problems: [{ where: sourceOf(loaded), path: `credentials.${name}`, message }],
  });
}

/** Requests the same token as callers' requests, with the same code, but with this one secret. */
function secretTrier(loaded: LoadedConfig, name: string): TrySecret {
  const { config } = loaded;
  const route = config.routes.find(({ credential }) => credential === name);
  const target = route ? tokenKey(route, config) : { ...targetOf(config.credentials[name]) };
  return async (value: Secret) => {
    const secrets = new Map([[name, [{ name: 'new', value, kid: undefined, alg: undefined }]]]);
    const identity = createIdentity({ loaded: { ...loaded, secrets }, clock: systemClock });
    try {
      const response = await identity.credential(name).fetchToken(target);
      if (response.kind === 'token') return 'accepted';
      return response.kind === 'rejected' ? 'refused' : 'unavailable';
    } finally {
      await identity.end('close');
    }
  };
}

function targetOf(settings: CredentialConfig | undefined) {
  return { scope: settings?.scope, audience: settings?.audience, resource: settings?.resource };
}
