// One running emulator per test, with the few calls every test of it makes. Disposed with `await using`.

import { randomBytes } from 'node:crypto';
import { type EmulatorOptions, startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT, type EmulatorClient } from '../../src/emulator/store.ts';
import { createTokens, type KeptSigning } from '../../src/emulator/tokens.ts';

export const DEMO_SECRET = 'demo-secret-not-for-production';

export const FULL_CLIENT: EmulatorClient = {
  ...DEMO_CLIENT,
  clientId: 'full',
  allowedScopes: ['services.iam', 'api', 'openid', 'services.banking', 'offline_access'],
};

export interface World extends AsyncDisposable {
  readonly url: string;
  readonly clock: { ms: number };
  /** A token of the demo client, or of another one with the demo secret. */
  token(scope?: string, clientId?: string): Promise<string>;
  askToken(form: Record<string, string>, headers?: Record<string, string>): Promise<Response>;
  /** A request with a token of scope `api`. */
  call(path: string, init?: RequestInit): Promise<Response>;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  counters(): Promise<Record<string, unknown>>;
  /** A call of the IAM API with a token of scope `services.iam`. */
  iam(method: string, path: string, body?: unknown): Promise<Response>;
  /** The JSON of a call of the IAM API that must succeed. */
  iamJson<T = Json>(method: string, path: string, body?: unknown): Promise<T>;
  /** A new client with one secret and no permissions, its subject and a token of it. */
  newcomer(): Promise<Newcomer>;
}

export interface Newcomer {
  clientId: string;
  subject: string;
  token: string;
}

// biome-ignore lint/suspicious/noExplicitAny: bodies are what a test looks at; a type would only repeat it
export type Json = any;

export const IAM = '/core/iam/v1';
export const SAMPLE = {
  name: 'My Application',
  description: 'string',
  allowedGrantTypes: ['client_credentials'],
  allowedScopes: ['api'],
  redirectUris: [],
};
export const SAMPLE_SECRET = { value: 's3cr3tV@lue!', description: 'Production API access' };

const KEYS = 3;
const keys: Promise<KeptSigning>[] = [];
let worlds = 0;

/** Making a key costs more than most tests, so they take turns with a few: never two worlds in a row with the same. */
async function nextSigning(): Promise<KeptSigning> {
  worlds += 1;
  keys[worlds % KEYS] ??= createTokens({ now: Date.now }).then((tokens) => tokens.kept());
  const { key, kid } = (await keys[worlds % KEYS]) as KeptSigning;
  return { key, kid, batch: randomBytes(4).toString('hex').toUpperCase() };
}

export async function createWorld(options: EmulatorOptions = {}): Promise<World> {
  const clock = { ms: Date.UTC(2026, 5, 1, 12) };
  const emulator = await startEmulator({
    port: 0,
    now: () => clock.ms,
    clients: [DEMO_CLIENT, FULL_CLIENT],
    signing: await nextSigning(),
    ...options,
  });
  const { url } = emulator;

  const askToken: World['askToken'] = (form, headers = {}) =>
    fetch(`${url}/connect/token`, { method: 'POST', body: new URLSearchParams(form), headers });
  const token: World['token'] = async (scope = 'api', clientId = 'demo-erp') => {
    const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: DEMO_SECRET, scope };
    const { access_token } = (await (await askToken(form)).json()) as { access_token: string };
    return access_token;
  };
  const call: World['call'] = async (path, init = {}) => {
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${await token()}`);
    return fetch(`${url}${path}`, { ...init, headers });
  };
  const iam: World['iam'] = async (method, path, body) => {
    const headers = { authorization: `Bearer ${await token('services.iam', 'full')}` };
    if (body === undefined) return fetch(url + IAM + path, { method, headers });
    const sent = typeof body === 'string' ? body : JSON.stringify(body);
    return fetch(url + IAM + path, {
      method,
      headers: { ...headers, 'content-type': 'application/json' },
      body: sent,
    });
  };
  const iamJson: World['iamJson'] = async (method, path, body) => {
    const response = await iam(method, path, body);
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status} ${await response.text()}`);
    return response.json() as Promise<Json>;
  };
  const newcomer: World['newcomer'] = async () => {
    const { clientId } = await iamJson('POST', '/clients', SAMPLE);
    await iamJson('POST', `/clients/${clientId}/secrets`, SAMPLE_SECRET);
    const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: SAMPLE_SECRET.value };
    const { access_token } = (await (await askToken(form)).json()) as Json;
    return { clientId, subject: `client-${clientId}`, token: access_token };
  };
  return {
    url,
    clock,
    iam,
    iamJson,
    newcomer,
    token,
    askToken,
    call,
    post: (path, body, headers = {}) =>
      call(path, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...headers },
      }),
    counters: async () => (await fetch(`${url}/_emulator/counters`)).json() as Promise<Record<string, unknown>>,
    [Symbol.asyncDispose]: () => emulator.close(),
  };
}
