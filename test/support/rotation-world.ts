/** A client with one secret in a file, at a local Aritma, with its own clock: everything that a rotation needs. */
import { readFileSync } from 'node:fs';
import { Pool } from 'undici';
import { Secret } from '../../src/core/secret.ts';
import type { SettingsChange } from '../../src/emulator/iam-settings.ts';
import { startEmulator } from '../../src/emulator/server.ts';
import { type ClientSecret, createIamApi, type IamApi } from '../../src/iam/api.ts';
import type { RotationOptions } from '../../src/iam/rotation/attempt.ts';
import { createFileStore } from '../../src/iam/rotation/file-store.ts';
import type { Journal } from '../../src/iam/rotation/journal.ts';
import type { Progress } from '../../src/iam/rotation/retry.ts';
import { type Outcome, rotate } from '../../src/iam/rotation/rotate.ts';
import type { OpenStore } from '../../src/iam/rotation/store.ts';
import type { RotationClock, Verdict } from '../../src/iam/rotation/verification.ts';
import { createDeadline, type Deadline } from './deadline.ts';
import { createFolder } from './folder.ts';
import { untilQuiet } from './own-time.ts';

export const FIRST_VALUE = 'first-secret-of-the-client';
export const POLICY = { secretLifetime: 90 * 86_400_000, overlap: 3_600_000, verifyFor: 900_000 };

/** One local Aritma for many worlds, one after the other. */
export interface RotationServer extends AsyncDisposable {
  /** Creates a new client, and resets the server. */
  world(settings?: SettingsChange): Promise<RotationWorld>;
}

export interface RotationWorld extends Disposable {
  readonly clientId: string;
  readonly url: string;
  readonly file: string;
  readonly folder: string;
  readonly clock: RotationClock & { advance(ms: number): void };
  readonly iam: IamApi;
  readonly progress: Progress[];
  /** One call of `rotate`, with the given options replaced. */
  rotate(over?: Partial<RotationOptions>): Promise<Outcome>;
  /** Calls it until it is done, and lets the overlap pass. */
  finish(): Promise<void>;
  /** The options of `rotate`, on an opened store. */
  options(store: OpenStore): RotationOptions;
  open(): Promise<OpenStore>;
  tokenFor(value: string): Promise<Verdict>;
  listed(): Promise<ClientSecret[]>;
  stored(): string;
  journal(): Journal;
  control(path: string, body: object | undefined, method?: string): Promise<void>;
  /** Ends the time limit of IAM calls whose response is held back, each time, until it is disposed. */
  passDeadlines(): AsyncDisposable;
}

export async function startRotationServer(): Promise<RotationServer> {
  let now = Date.parse('2026-11-21T10:00:00Z');
  const clock: Clock = {
    now: () => now,
    async sleep(ms) {
      now += ms;
    },
    advance(ms) {
      now += ms;
    },
  };
  const emulator = await startEmulator({ port: 0, now: clock.now, clients: [ADMIN] });
  const pool = new Pool(emulator.url);
  const deadline = createDeadline();
  return {
    async world(settings = {}) {
      await control(pool, '/faults', undefined, 'DELETE');
      await control(pool, '/iam', { createResponse: 'body', clientCacheS: 0 }, 'PUT');
      const iam = connect(pool, deadline.ms);
      const clientId = (await iam.createClient(CLIENT)) ?? '';
      await iam.createSecret(clientId, { value: new Secret(FIRST_VALUE), description: 'made in the portal' });
      await control(pool, '/iam', settings, 'PUT');
      return createWorld({ url: emulator.url, clock, pool, iam, clientId, deadline });
    },
    async [Symbol.asyncDispose]() {
      await pool.destroy();
      await emulator.close();
      deadline[Symbol.dispose]();
    },
  };
}

type Clock = RotationWorld['clock'];

interface Parts {
  readonly url: string;
  readonly clock: Clock;
  readonly pool: Pool;
  readonly iam: IamApi;
  readonly clientId: string;
  readonly deadline: Deadline;
}

function createWorld({ url, clock, pool, iam, clientId, deadline }: Parts): RotationWorld {
  const folder = createFolder();
  const file = folder.write('secret', `${FIRST_VALUE}\n`);
  const tokenFor = async (value: string): Promise<Verdict> =>
    (await askForToken(pool, { clientId, value, scope: 'api' })) ? 'accepted' : 'refused';
  const progress: Progress[] = [];
  const open = () => createFileStore(file).open();
  const options = (store: OpenStore): RotationOptions => ({
    ...{ clientId, store, iam, policy: POLICY, clock },
    trySecret: (secret) => tokenFor(secret.reveal()),
    onProgress: (step) => progress.push(step),
  });
  const run = async (over: Partial<RotationOptions> = {}) => {
    const store = await open();
    try {
      return await rotate({ ...options(store), ...over });
    } finally {
      await store.close();
    }
  };
  return {
    ...{ clientId, url, file, folder: folder.path, clock, iam, progress, rotate: run, options, open, tokenFor },
    async finish() {
      for (let outcome = await run(); outcome.kind === 'waiting'; outcome = await run()) {
        clock.advance(outcome.until - clock.now());
      }
    },
    async listed() {
      const secrets: ClientSecret[] = [];
      for await (const secret of iam.secrets(clientId)) secrets.push(secret);
      return secrets;
    },
    stored: () => readFileSync(file, 'utf8').trim(),
    journal: () => JSON.parse(readFileSync(`${file}.rotation`, 'utf8')) as Journal,
    control: (path, body, method = 'POST') => control(pool, path, body, method),
    passDeadlines: () => passDeadlines(pool, deadline),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

/** A call is held back once its fault is used up; it has had its effect when nothing changes any more. */
function passDeadlines(pool: Pool, deadline: Deadline): AsyncDisposable {
  let goesOn = true;
  const left = async () => {
    const { body } = await pool.request({ method: 'GET', path: '/_emulator/faults' });
    const { pending } = (await body.json()) as { pending: { times?: number }[] };
    return pending.reduce((sum, { times = 1 }) => sum + times, 0);
  };
  const pump = async () => {
    for (let before = await left(); goesOn; ) {
      const now = await left();
      await untilQuiet();
      if (now < before) deadline.pass();
      before = now;
    }
  };
  const pumping = pump();
  return {
    async [Symbol.asyncDispose]() {
      goesOn = false;
      await pumping;
    },
  };
}

function connect(pool: Pool, deadlineMs: number): IamApi {
  const admin = { clientId: ADMIN.clientId, value: ADMIN_VALUE, scope: 'services.iam' };
  return createIamApi({
    dispatcher: pool,
    basePath: '/core/iam',
    deadlineMs,
    authorize: async () => new Secret(`Bearer ${await askForToken(pool, admin)}`),
  });
}

async function control(pool: Pool, path: string, body: object | undefined, method: string): Promise<void> {
  const answer = await pool.request({
    ...{ method: method as 'POST', path: `/_emulator${path}` },
    ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  const text = await answer.body.text();
  if (answer.statusCode >= 300) throw new Error(`the emulator says ${answer.statusCode} ${text}`);
}

const CLIENT = {
  ...{ name: 'Test ERP', description: 'of a test', redirectUris: [] },
  ...{ allowedGrantTypes: ['client_credentials'], allowedScopes: ['api'] },
};
const ADMIN_VALUE = 'secret-of-the-administrator';
const ADMIN = {
  ...{ ...CLIENT, clientId: 'test-admin', allowedScopes: ['services.iam'], policies: [] },
  secrets: [{ clientSecretId: 'test-admin-1', value: ADMIN_VALUE, description: 'of a test' }],
};

interface Asked {
  readonly clientId: string;
  readonly value: string;
  readonly scope: string;
}

async function askForToken(pool: Pool, { clientId, value, scope }: Asked): Promise<string | undefined> {
  const form = new URLSearchParams({
    ...{ grant_type: 'client_credentials', client_id: clientId },
    ...{ client_secret: value, scope },
  });
  const answer = await pool.request({
    ...{ method: 'POST', path: '/connect/token', body: form.toString() },
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  });
  return ((await answer.body.json()) as { access_token?: string }).access_token;
}
