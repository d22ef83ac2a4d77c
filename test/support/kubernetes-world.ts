/** A cluster with one Secret, one service account with the rights of the deployed Role, and stores in its pods. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { createKubernetesStore, type KubernetesStoreOptions } from '../../src/iam/rotation/kubernetes-store.ts';
import type { Authority, Issued } from './certificates.ts';
import { createFakeClock } from './clock.ts';
import { createFolder } from './folder.ts';
import { type KubernetesApiDouble, type Rule, startKubernetesApi } from './kubernetes-api.ts';

export const RBAC_FILE = join(import.meta.dirname, '../../deploy/kubernetes/rotation/rbac.yaml');

export const TOKEN = 'eyJhbGciOi.planted-service-account-token.c2lnbmF0dXJl';
export const OLD = 'planted-old-secret-value';
export const NEW = 'planted-new-secret-value';

export interface Certificates {
  readonly authority: Authority;
  readonly server: Issued;
}

export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly [field: string]: unknown;
}

export function readManifests(): Manifest[] {
  return parseAllDocuments(readFileSync(RBAC_FILE, 'utf8')).map((document) => document.toJS() as Manifest);
}

/** What the deployed Role allows. */
export function deployedRules(): Rule[] {
  const role = readManifests().find(({ kind }) => kind === 'Role');
  const { namespace = '' } = role?.metadata ?? {};
  return ((role?.['rules'] ?? []) as Omit<Rule, 'namespace'>[]).map((rule) => ({ ...rule, namespace }));
}

export interface KubernetesWorld extends AsyncDisposable {
  readonly api: KubernetesApiDouble;
  readonly clock: ReturnType<typeof createPodClock>;
  /** `token`, `ca.crt`, `namespace`. */
  mount(name: 'token' | 'ca.crt' | 'namespace', text: string): void;
  readonly serviceAccountDir: string;
  storeOptions(pod?: string): KubernetesStoreOptions;
  store(pod?: string, more?: Partial<KubernetesStoreOptions>): ReturnType<typeof createKubernetesStore>;
  /** Decoded, by key. */
  data(): Record<string, string>;
  annotations(): Record<string, string>;
  /** Time passes for pods and API server. */
  pass(ms: number): Promise<void>;
}

export const SECRET_ID = 'payments/aritma-client';

export async function startKubernetesWorld({ authority, server }: Certificates): Promise<KubernetesWorld> {
  const folder = createFolder();
  const api = await startKubernetesApi(server, deployedRules());
  api.tokens.add(TOKEN);
  api.secrets.create('payments', 'aritma-client', { 'client-secret': OLD, other: 'not-ours' });
  folder.write('token', `${TOKEN}\n`);
  folder.write('ca.crt', authority.ca);
  folder.write('namespace', 'payments');
  const clock = createPodClock(api);
  const storeOptions = (pod = 'sidecar-a') => ({
    secret: 'aritma-client',
    key: 'client-secret',
    apiServer: api.url,
    serviceAccountDir: folder.path,
    // Long, for a busy machine; a test of time limits brings its own.
    deadlineMs: 5000,
    pod,
    clock,
  });
  const found = () => {
    const object = api.secrets.find(SECRET_ID);
    if (!object) throw new Error('the Secret is gone');
    return object;
  };
  return {
    api,
    clock,
    serviceAccountDir: folder.path,
    mount: (name, text) => void folder.write(name, text),
    storeOptions,
    store: (pod, more) => createKubernetesStore({ ...storeOptions(pod), ...more }),
    data: () =>
      Object.fromEntries(
        Object.entries(found().data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
      ),
    annotations: () => found().metadata.annotations ?? {},
    pass: (ms) => clock.pass(ms),
    async [Symbol.asyncDispose]() {
      await api.close();
      folder[Symbol.dispose]();
    },
  };
}

/** The pods' clock, an hour ahead of the API server's; a sleep takes no time and is recorded. */
function createPodClock(api: { nowMs: number }) {
  const fake = createFakeClock(api.nowMs + 3_600_000);
  const waits: number[] = [];
  return {
    now: () => fake.now().wallMs,
    startTimer: fake.startTimer,
    sleep: async (ms: number) => void waits.push(ms),
    waits,
    async pass(ms: number) {
      api.nowMs += ms;
      await fake.advance(ms);
    },
    get timers() {
      return fake.timers;
    },
  };
}
