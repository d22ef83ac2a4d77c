/** `iam provision` in a process that can be killed at a chosen point, for one new client each, and its result. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ADMIN_CLIENT } from '../../src/emulator/store.ts';
import { COMPILED } from './compiled.ts';
import { createFolder } from './folder.ts';
import type { Point } from './kill-matrix.ts';

export interface ProvisionLane extends Disposable {
  /** Runs it to its end, or until it is killed. */
  run(point?: Point): Promise<Run>;
  /** Returns what is wrong after its end; empty = nothing. */
  wrong(): Promise<string[]>;
}

export interface Run {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
  /** Changes to its folder, in order. */
  readonly changes: readonly string[];
}

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;
const KILL_POINTS = join(import.meta.dirname, 'kill-points.ts');
const POLICY = { scope: '/subscriptions/123', action: 'banking.ais.read' };
const EXPECTED = ['secret', 'secret.rotation', 'service-client.yaml'];

/** @param name of the client, unique */
export function createProvisionLane(origin: string, name: string): ProvisionLane {
  const folder = createFolder();
  const own = createFolder();
  folder.write('service-client.yaml', JSON.stringify(desired(origin, name)));
  return {
    async run(point) {
      const log = own.write('changes', '');
      const env = {
        ...COMPILED,
        ...{
          CRASH_FOLDER: folder.path,
          CRASH_LOG: log,
          CRASH_PROGRAM: MAIN,
          ...(point && { CRASH_POINT: JSON.stringify(point) }),
        },
        ...{ ARITMA_IAM_URL: `${origin}/core/iam`, ARITMA_TOKEN_ENDPOINT: `${origin}/connect/token` },
        ...{ ARITMA_CLIENT_ID: ADMIN_CLIENT.clientId, ARITMA_CLIENT_SECRET: ADMIN_CLIENT.secrets[0]?.value ?? '' },
      };
      const command = ['iam', 'provision', '-f', 'service-client.yaml', '--yes', '--json'];
      const child = spawn(process.execPath, [KILL_POINTS, ...command], { env, cwd: folder.path });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          output += text;
        });
      }
      const [code, signal] = await new Promise<[number | null, string | null]>((resolve) => {
        child.once('close', (...ended) => resolve(ended));
      });
      return { code, signal, output, changes: readFileSync(log, 'utf8').trim().split('\n').filter(Boolean) };
    },
    wrong: () => wrongs(origin, name, folder.path),
    [Symbol.dispose]() {
      folder[Symbol.dispose]();
      own[Symbol.dispose]();
    },
  };
}

function desired(origin: string, name: string): object {
  return {
    client: { name, description: 'of a test', scopes: ['api'] },
    secret: { file: 'secret', lifetime: '90d' },
    policies: [POLICY],
    sidecar: {
      ...{ listen: '127.0.0.1:0', admin: '127.0.0.1:0' },
      credentials: { default: { tokenEndpoint: `${origin}/connect/token` } },
      routes: [{ path: '/banking', upstream: `${origin}/banking/api` }],
    },
  };
}

interface Listed {
  readonly clientId: string;
  readonly name: string;
}

async function wrongs(origin: string, name: string, folder: string): Promise<string[]> {
  const admin = await tokenOf(origin, ADMIN_CLIENT.clientId, ADMIN_CLIENT.secrets[0]?.value ?? '');
  const get = async (path: string) => {
    const answer = await fetch(`${origin}/core/iam/v1${path}`, { headers: { authorization: `Bearer ${admin}` } });
    return ((await answer.json()) as { items: unknown[] }).items;
  };
  const found = (await get(`/clients?searchText=${encodeURIComponent(name)}&pageSize=200`)) as Listed[];
  const clients = found.filter((client) => client.name === name);
  const [client] = clients;
  if (!client) return ['no client'];
  const file = join(folder, 'secret');
  const value = readFileSync(file, 'utf8').trim();
  const token = await tokenOf(origin, client.clientId, value);
  const status =
    token && (await fetch(`${origin}/banking/api/accounts`, { headers: { authorization: `Bearer ${token}` } })).status;
  const secrets = (await get(`/clients/${client.clientId}/secrets`)).length;
  const files = readdirSync(folder).filter((entry) => !EXPECTED.includes(entry));
  return [
    ...(clients.length === 1 ? [] : [`${clients.length} clients`]),
    ...(secrets === 1 ? [] : [`${secrets} secrets`]),
    ...(status === 200 ? [] : [`the API says ${status ?? 'nothing, for there is no token'}`]),
    ...(files.length === 0 ? [] : [`left behind: ${files.join(', ')}`]),
    ...((statSync(file).mode & 0o777) === 0o600 ? [] : ['others can read the secret']),
    ...(readFileSync(`${file}.rotation`, 'utf8').includes(value) ? ['the secret is in the journal'] : []),
  ];
}

async function tokenOf(origin: string, clientId: string, secret: string): Promise<string | undefined> {
  const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: secret };
  const answer = await fetch(`${origin}/connect/token`, { method: 'POST', body: new URLSearchParams(form) });
  return ((await answer.json()) as { access_token?: string }).access_token;
}
