/**
 * Stores a client secret under one key of a Kubernetes Secret, its journal under `KEY.rotation` of the same Secret, and
 * a lease as an annotation. All three are in one object, so each write (compare-and-swap) also proves that the lease is
 * ours.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';
import { asSecret } from './file-store.ts';
import { createKubernetesApi, type KubernetesApiOptions, type KubernetesSecret } from './kubernetes-api.ts';
import { isDead, type Lease, leaseName, parseLease } from './kubernetes-lease.ts';
import { type Plan, type RetryLimit, type SharedObject, shareObject } from './kubernetes-update.ts';
import type { OpenStore, SecretStore } from './store.ts';
import type { RotationClock } from './verification.ts';

export interface KubernetesStoreOptions
  extends Pick<KubernetesApiOptions, 'secret' | 'namespace' | 'apiServer'>,
    Partial<Pick<KubernetesApiOptions, 'serviceAccountDir' | 'deadlineMs'>> {
  readonly key: string;
  /** The pod's name: shown to others while we hold the lease. */
  readonly pod: string;
  readonly clock: RotationClock & Pick<Clock, 'startTimer'>;
}

/** Where the kubelet mounts the service account. */
const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';
const DEADLINE_MS = 10_000;
const RENEW_MS = 15_000;

/**
 * Creates the store. The Secret must exist, and RBAC must allow `get` and `patch` on it: `create` cannot be limited to
 * a name.
 */
export function createKubernetesStore(options: KubernetesStoreOptions): SecretStore {
  const { namespace, secret, key, clock } = options;
  const connect = () => {
    const api = createKubernetesApi({ serviceAccountDir: SERVICE_ACCOUNT_DIR, deadlineMs: DEADLINE_MS, ...options });
    return { object: shareObject(api, clock), close: () => api.close() };
  };
  return {
    name: `Kubernetes Secret ${namespace === undefined ? '' : `${namespace}/`}${secret}, key ${key}`,
    isOwn: false,
    async peek() {
      const { object, close } = connect();
      try {
        return textOf(await object.read(), journalKey(key));
      } finally {
        await close();
      }
    },
    async open() {
      const { object, close } = connect();
      try {
        return openObject(await acquire(object, options), close);
      } catch (error) {
        await close();
        throw error;
      }
    },
  };
}

const journalKey = (key: string) => `${key}.rotation`;

/** The Secret while we hold its lease. */
interface Held {
  readonly key: string;
  readonly clock: KubernetesStoreOptions['clock'];
  read(): Promise<KubernetesSecret>;
  write(key: string, text: string): Promise<void>;
  renew(): Promise<void>;
  release(): Promise<void>;
}

function openObject(held: Held, disconnect: () => Promise<void>): OpenStore {
  const { key } = held;
  const stopRenewing = repeat(held.renew, held.clock);
  return {
    readSecret: async () => asSecret(textOf(await held.read(), key)),
    // No line break at the end: pods read the value into environment variables.
    writeSecret: (value: Secret) => held.write(key, value.reveal()),
    readJournal: async () => textOf(await held.read(), journalKey(key)),
    writeJournal: (text) => held.write(journalKey(key), text),
    async close() {
      stopRenewing();
      // A lease that cannot be released expires soon.
      await held.release().catch(() => undefined);
      await disconnect().catch(() => undefined);
    },
  };
}

/** Takes the lease. @throws SidecarError ROTATION_LOCKED with the holder in `fields`, ROTATION_STORE_FAILED */
async function acquire(object: SharedObject, options: KubernetesStoreOptions): Promise<Held> {
  const holder = createHolder(options);
  let released = false;
  const change = (plan: Plan, limit?: RetryLimit) => {
    if (released) throw locked(undefined);
    return object.change(plan, limit);
  };
  await change(holder.take);
  return {
    key: options.key,
    clock: options.clock,
    async read() {
      if (released) throw locked(undefined);
      const current = await object.read();
      holder.confirm(current);
      return current;
    },
    write: async (name, text) =>
      change((current) => {
        holder.confirm(current);
        const value = Buffer.from(text).toString('base64');
        if (current.data[name] === value) return undefined;
        return { annotations: holder.stamp(current), data: { [name]: value } };
      }),
    renew: async () => change((current) => ({ annotations: holder.renewed(current) }), 'brief'),
    async release() {
      const releasing = change((current) => ({ annotations: holder.removed(current) }), 'brief');
      released = true;
      await releasing;
    },
  };
}

/** Writes and checks one holder's lease. `confirm`, `renewed` and `removed` throw ROTATION_LOCKED when it is lost. */
function createHolder({ key, pod }: KubernetesStoreOptions) {
  const name = leaseName(key);
  const nonce = randomUUID();
  let since: string | undefined;
  const leaseOf = ({ annotations }: KubernetesSecret) => parseLease(annotations[name]);
  const stamp = ({ saidAt }: KubernetesSecret) => {
    const renewedAt = new Date(saidAt).toISOString();
    since ??= renewedAt;
    return { [name]: JSON.stringify({ host: pod, nonce, since, renewedAt } satisfies Lease) };
  };
  const confirm = (current: KubernetesSecret) => {
    const lease = leaseOf(current);
    if (lease?.nonce !== nonce) throw locked(lease);
  };
  const take: Plan = (current) => {
    // Its metadata can still change, so the rotation would start and fail half-way.
    if (current.immutable) throw unusable('the Secret is immutable: delete it and create it again without `immutable`');
    const lease = leaseOf(current);
    // An earlier try of ours may have succeeded although its response was lost.
    if (lease?.nonce === nonce) return undefined;
    if (lease && !isDead(lease, current.saidAt)) throw locked(lease);
    return { annotations: stamp(current) };
  };
  return {
    take,
    stamp,
    confirm,
    renewed: (current: KubernetesSecret) => {
      confirm(current);
      return stamp(current);
    },
    removed: (current: KubernetesSecret) => {
      confirm(current);
      return { [name]: null };
    },
  };
}

/**
 * Repeats `work` until stopped. A failure is ignored: the next one follows, and each read and write checks the lease.
 */
function repeat(work: () => Promise<void>, clock: Pick<Clock, 'startTimer'>): () => void {
  let stopped = false;
  const again = () => {
    if (!stopped) cancel = clock.startTimer(RENEW_MS, run);
  };
  const run = () => void work().then(again, again);
  let cancel = clock.startTimer(RENEW_MS, run);
  return () => {
    stopped = true;
    cancel();
  };
}

function textOf({ data }: KubernetesSecret, key: string): string | undefined {
  const value = data[key];
  if (typeof value !== 'string') return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(value, 'base64'));
  } catch {
    throw unusable(`the value of ${key} is not text`);
  }
}

function unusable(reason: string): SidecarError {
  return new SidecarError('ROTATION_STORE_FAILED', { fields: { doing: 'open', reason } });
}

function locked(lease: Lease | undefined): SidecarError {
  const fields = lease ? { host: lease.host, since: lease.since } : { host: 'unknown' };
  return new SidecarError('ROTATION_LOCKED', { fields });
}
