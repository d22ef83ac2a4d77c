/**
 * An emulator with several clients, each with a secret in its own folder, and programs that rotate them: started as users
 * start them, killed at any point, and judged by the state of the folder and of IAM.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SettingsChange } from '../../src/emulator/iam-settings.ts';
import { startEmulator } from '../../src/emulator/server.ts';
import { ADMIN_CLIENT, DEMO_CLIENT, type EmulatorClient } from '../../src/emulator/store.ts';
import { createFolder, type Folder } from './folder.ts';
import type { Point } from './kill-matrix.ts';
import { type Passage, type RotationRelay, startRotationRelay } from './kill-relay.ts';

export interface Lane {
  readonly clientId: string;
  readonly folder: string;
  readonly secretFile: string;
  readonly config: string;
  /** Origin of Aritma for programs of this lane. */
  readonly origin: string;
  /** The largest number of secrets that the client had at one time. */
  mostSecrets: number;
  /** Number of secrets created for it through the API. */
  created: number;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  /** All its changes, on disk and by request, in order. */
  readonly changes: readonly string[];
}

export interface Run {
  readonly point?: Point | undefined;
  readonly hold?: Passage['hold'];
  /** Program to run instead of `rotate`, with its arguments. */
  readonly program?: readonly string[];
  /** Program that starts Node, with its arguments. */
  readonly launcher?: readonly string[];
  /** Longest run time, ms. */
  readonly limitMs?: number;
}

export interface Started {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly ended: Promise<Ending>;
}

export interface RotationWorld extends AsyncDisposable {
  /** Origin of the emulator itself. */
  readonly aritma: string;
  readonly lanes: readonly Lane[];
  start(lane: Lane, run?: Run): Started;
  rotate(lane: Lane, run?: Run): Promise<Ending>;
  /** Ids and descriptions of all secrets of a client. */
  secretsOf(clientId: string): Promise<readonly ListedSecret[]>;
  /** Whether a value gets a token. */
  accepts(clientId: string, value: string): Promise<boolean>;
  addSecret(clientId: string, value: string): Promise<void>;
  keep<T extends AsyncDisposable | Disposable>(thing: T): T;
}

export interface ListedSecret {
  readonly clientSecretId: string;
  readonly description: string;
}

export interface WorldOptions {
  readonly lanes: number;
  /** `rotation` options of every lane. */
  readonly rotation?: Readonly<Record<string, unknown>>;
  readonly iam?: SettingsChange;
  readonly tokenLifetimeS?: number;
}

const ROOT = new URL('../..', import.meta.url).pathname;
export const MAIN = join(ROOT, 'src/main.ts');
const KILL_POINTS = join(import.meta.dirname, 'kill-points.ts');
export const BYSTANDER = 'bystander';

export const valueIn = (lane: Lane) => readFileSync(lane.secretFile, 'utf8').trim();
export const journalOf = (lane: Lane) => JSON.parse(readFileSync(`${lane.secretFile}.rotation`, 'utf8')) as Journal;

interface Journal {
  readonly rotatedAt?: number;
  readonly attempt?: { readonly phase: string };
  readonly current?: { readonly clientSecretId: string };
}

export async function createRotationWorld(options: WorldOptions): Promise<RotationWorld> {
  const clients = Array.from({ length: options.lanes }, (_, index) => laneClient(`lane-${index}`));
  const emulator = await startEmulator({
    port: 0,
    // Requests may wait for seconds in front of the emulator on a busy machine: a token outlives that.
    tokenLifetimeS: options.tokenLifetimeS ?? 12,
    // The administrator's tokens live long: the number of renewals must not depend on the speed of a run.
    clients: [{ ...ADMIN_CLIENT, tokenLifetimeS: 3600 }, laneClient(BYSTANDER), ...clients],
    ...(options.iam && { iam: options.iam }),
  });
  const relay = await startRotationRelay(emulator.url);
  const folder = createFolder();
  const kept: (AsyncDisposable | Disposable)[] = [];
  const iam = createIam(emulator.url);
  const lanes = clients.map((client) => createLane(client, relay, options));
  let runs = 0;
  chmodSync(folder.path, 0o755);

  function start(lane: Lane, run: Run = {}): Started {
    runs += 1;
    const log = folder.write(`changes-${runs}`, '');
    const started = startProgram(lane, run, { log, cache: join(folder.path, 'compiled') });
    kept.push({
      async [Symbol.asyncDispose]() {
        started.child.kill('SIGKILL');
        await started.ended;
      },
    });
    relay.open(lane.clientId, {
      log,
      point: run.point,
      kill: async () => {
        started.child.kill('SIGKILL');
        await started.ended;
      },
      onEffect: async (name) => {
        if (name !== 'POST secrets') return;
        lane.created += 1;
        lane.mostSecrets = Math.max(lane.mostSecrets, (await iam.secretsOf(lane.clientId)).length);
      },
      ...(run.hold && { hold: run.hold }),
    });
    return started;
  }

  return {
    aritma: emulator.url,
    lanes,
    start,
    rotate: (lane, run) => start(lane, run).ended,
    ...iam,
    keep(thing) {
      kept.push(thing);
      return thing;
    },
    async [Symbol.asyncDispose]() {
      for (const thing of kept.toReversed()) {
        if (Symbol.asyncDispose in thing) await thing[Symbol.asyncDispose]();
        else thing[Symbol.dispose]();
      }
      await relay.close();
      await emulator.close();
      for (const lane of [...lanes.map(asFolder), folder]) lane[Symbol.dispose]();
    },
  };
}

const folders = new WeakMap<Lane, Folder>();
const asFolder = (lane: Lane) => folders.get(lane) ?? createFolder();

function laneClient(clientId: string): EmulatorClient {
  const secret = { clientSecretId: `${clientId}-first`, value: `${clientId}-first-secret`, description: 'by hand' };
  return { ...DEMO_CLIENT, clientId, name: clientId, secrets: [secret] };
}

function createLane({ clientId, secrets }: EmulatorClient, relay: RotationRelay, options: WorldOptions): Lane {
  const folder = createFolder();
  const origin = relay.at(clientId);
  const secretFile = folder.write('secret', `${secrets[0]?.value}\n`);
  const config = folder.write('config.json', JSON.stringify(rotationConfig(clientId, origin, secretFile, options)));
  const lane: Lane = { clientId, folder: folder.path, secretFile, config, origin, mostSecrets: 1, created: 0 };
  folders.set(lane, folder);
  return lane;
}

function rotationConfig(clientId: string, origin: string, file: string, { rotation }: WorldOptions): object {
  const tokenEndpoint = `${origin}/connect/token`;
  const { overlap = '1s', ...rest } = rotation ?? {};
  return {
    listen: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    credentials: {
      default: { tokenEndpoint, clientId, secrets: [{ file }], scope: 'api', rotation: { overlap, ...rest } },
      admin: { tokenEndpoint, clientId: ADMIN_CLIENT.clientId, secrets: [{ env: 'ADMIN_SECRET' }] },
    },
    // Responses are held back while other processes start, which takes long on a busy machine.
    iam: { url: `${origin}/core/iam`, credential: 'admin', timeout: '60s' },
    token: { attemptTimeout: '60s', waitTimeout: '60s' },
    routes: [{ path: '/banking', upstream: `${origin}/banking/api` }],
    log: { format: 'json' },
  };
}

interface Place {
  readonly log: string;
  /** Cache of compiled code, which saves every start the same work. */
  readonly cache: string;
}

function startProgram(lane: Lane, run: Run, { log, cache }: Place): Started {
  const { program = [MAIN, 'rotate', '--json', '--config', lane.config], launcher = [], limitMs = 60_000 } = run;
  // Another user may write into it.
  chmodSync(log, 0o666);
  const [main = '', ...programArgs] = program;
  const [command = '', ...args] = [...launcher, process.execPath, KILL_POINTS, ...programArgs];
  const env = {
    ADMIN_SECRET: ADMIN_CLIENT.secrets[0]?.value ?? '',
    CRASH_FOLDER: lane.folder,
    CRASH_LOG: log,
    CRASH_PROGRAM: main,
    ...(run.point && { CRASH_POINT: JSON.stringify(run.point) }),
    NODE_COMPILE_CACHE: cache,
  };
  const child = spawn(command, args, { cwd: '/', env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
  const ended = new Promise<Ending>((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(limit);
      resolve({ code, signal, output, changes: linesOf(log) });
    });
  });
  return { child, output: () => output, ended };
}

/** None when the world has ended before the program. */
function linesOf(log: string): string[] {
  return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
}

function createIam(origin: string): Pick<RotationWorld, 'secretsOf' | 'accepts' | 'addSecret'> {
  const token = async (clientId: string, value: string) => {
    const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: value };
    const answer = await fetch(`${origin}/connect/token`, { method: 'POST', body: new URLSearchParams(form) });
    return { ok: answer.ok, ...((await answer.json()) as { access_token?: string; expires_in?: number }) };
  };
  let admin: { readonly bearer: string; readonly until: number } | undefined;
  const bearer = async () => {
    if (admin && Date.now() < admin.until) return admin.bearer;
    const { access_token, expires_in = 0 } = await token(ADMIN_CLIENT.clientId, ADMIN_CLIENT.secrets[0]?.value ?? '');
    admin = { bearer: `Bearer ${access_token}`, until: Date.now() + expires_in * 500 };
    return admin.bearer;
  };
  const secrets = (clientId: string) => `${origin}/core/iam/v1/clients/${clientId}/secrets?pageSize=100`;
  return {
    async secretsOf(clientId) {
      const answer = await fetch(secrets(clientId), { headers: { authorization: await bearer() } });
      return ((await answer.json()) as { items: ListedSecret[] }).items;
    },
    accepts: async (clientId, value) => (await token(clientId, value)).ok,
    async addSecret(clientId, value) {
      const headers = { authorization: await bearer(), 'content-type': 'application/json' };
      const body = JSON.stringify({ value, description: 'by hand' });
      await fetch(secrets(clientId), { method: 'POST', headers, body });
    },
  };
}

/** Returns what is wrong after a rotation; empty = nothing. @param old value that was in the file before */
export async function leftWrong(world: RotationWorld, lane: Lane, old: string): Promise<string[]> {
  const value = valueIn(lane);
  const secrets = await world.secretsOf(lane.clientId);
  const files = readdirSync(lane.folder).filter((name) => !EXPECTED.includes(name));
  return [
    ...(value === old ? ['the secret in the file is the old one'] : []),
    ...(secrets.length === 1 ? [] : [`${secrets.length} secrets at IAM`]),
    ...((await world.accepts(lane.clientId, value)) ? [] : ['the secret in the file gets no token']),
    ...((await world.accepts(lane.clientId, old)) ? ['the old secret still gets a token'] : []),
    ...(lane.mostSecrets > 2 ? [`${lane.mostSecrets} secrets at one time`] : []),
    ...(files.length > 0 ? [`left behind: ${files.join(', ')}`] : []),
  ];
}

const EXPECTED = ['config.json', 'secret', 'secret.rotation'];

/** The same for the journal: it must know the secret in the file and not contain its value. */
export async function journalWrong(world: RotationWorld, lane: Lane, old: string): Promise<string[]> {
  const text = readFileSync(`${lane.secretFile}.rotation`, 'utf8');
  const [secret] = await world.secretsOf(lane.clientId);
  const { attempt, current } = journalOf(lane);
  return [
    ...(attempt ? ['the journal still has an attempt'] : []),
    ...(/"value"/.test(text) || [old, valueIn(lane)].some((value) => text.includes(value)) ? ['a value in it'] : []),
    ...(current?.clientSecretId === secret?.clientSecretId ? [] : ['the journal names another secret']),
  ];
}

/** What must always hold, whatever was just killed; empty = it does. */
export async function unsafeNow(world: RotationWorld, lane: Lane): Promise<string[]> {
  const secrets = await world.secretsOf(lane.clientId);
  const works = await world.accepts(lane.clientId, valueIn(lane));
  return [
    ...(secrets.length > 2 ? [`${secrets.length} secrets at IAM after the kill`] : []),
    ...(works ? [] : ['after the kill the secret in the file gets no token']),
  ];
}
