// Programs as they are written: curl, Python, Java old and new, .NET, PHP and Perl, each with its own idea of HTTP, get the
// API's answers through the sidecar as operators have it, one executable file, without knowing anything of tokens.
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostTarget } from '../../deploy/executable/targets.ts';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { addressesOf, type Running, start } from '../support/cli.ts';
import { callWithCurl, type Seen, sha256, textOf, uploaded } from '../support/curl-caller.ts';
import { buildExecutables, type Executables } from '../support/executable.ts';
import { createFolder } from '../support/folder.ts';
import { type Relay, startRelay } from '../support/relay.ts';

const DOWNLOAD = 20 * 1024 * 1024;
const TRANSFER = JSON.stringify({
  debtorAccount: { iban: 'NO9386011117947' },
  creditorAccount: { iban: 'NO9386011117947' },
  amount: { value: '12.50', currency: 'NOK' },
});

interface World extends AsyncDisposable {
  readonly emulator: Emulator;
  /** The executable, serving. */
  readonly running: Running;
  readonly url: string;
  /** Leads to the sidecar and counts connections. */
  readonly relay: Relay;
  readonly relayUrl: string;
}

async function createWorld(program: string): Promise<World> {
  const folder = createFolder();
  const emulator = await startEmulator({ port: 0 });
  const relay = await startRelay();
  const secret = folder.write('secret', DEMO_CLIENT.secrets[0]?.value ?? '', 0o600);
  const config = {
    ...{ listen: '127.0.0.1:0', admin: '127.0.0.1:0', log: { format: 'json' } },
    credentials: {
      default: {
        tokenEndpoint: `${emulator.url}/connect/token`,
        clientId: DEMO_CLIENT.clientId,
        secrets: [{ file: secret }],
      },
    },
    routes: [
      { path: '/banking', upstream: `${emulator.url}/banking/api` },
      { path: '/echo', upstream: `${emulator.url}/echo` },
    ],
    callers: { hosts: [`127.0.0.1:${relay.port}`] },
  };
  const file = folder.write('config.json', JSON.stringify(config), 0o600);
  const running = start(['serve', '--config', file], { program: [program], env: {}, limitMs: 120_000 });
  const { url } = await addressesOf(running);
  relay.aim(Number(new URL(url).port));
  return {
    ...{ emulator, running, url, relay, relayUrl: `http://127.0.0.1:${relay.port}` },
    async [Symbol.asyncDispose]() {
      await relay[Symbol.asyncDispose]();
      await running[Symbol.asyncDispose]();
      await emulator.close();
      folder[Symbol.dispose]();
    },
  };
}

const run = promisify(execFile);
const pattern = (length: number) => Buffer.from(Array.from({ length }, (_, index) => index % 251));

async function printed(command: string, args: readonly string[]): Promise<Seen[]> {
  const { stdout } = await run(command, [...args], { timeout: 60_000, maxBuffer: DOWNLOAD });
  const lines = stdout.trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Seen);
}

const script = (name: string) => new URL(name, import.meta.url).pathname;

/** C# has to be compiled first. */
async function callWithDotNet({ url, relayUrl }: World): Promise<Seen[]> {
  using folder = createFolder();
  const program = join(folder.path, 'Caller.exe');
  await run('mcs', [`-out:${program}`, script('Caller.cs')]);
  return await printed('mono', [program, url, relayUrl, TRANSFER]);
}

interface Program {
  readonly tool: string;
  /** What it is asked to see whether it is there; `--version`. */
  readonly probe?: readonly string[];
  /** Calls it has no way to make. */
  readonly cannot?: readonly ('expect' | 'http10')[];
  call(world: World): Promise<Seen[]>;
}

const PROGRAMS: readonly Program[] = [
  { tool: 'curl', call: ({ url, relayUrl }) => callWithCurl(url, relayUrl, TRANSFER) },
  {
    tool: 'python3',
    cannot: ['expect'],
    call: ({ url, relayUrl }) => printed('python3', [script('caller.py'), url, relayUrl, TRANSFER]),
  },
  {
    tool: 'java',
    probe: ['-version'],
    cannot: ['expect'],
    call: ({ url, relayUrl }) => printed('java', [script('Caller.java'), url, relayUrl, TRANSFER]),
  },
  {
    tool: 'java (HttpURLConnection)',
    probe: ['-version'],
    cannot: ['http10'],
    call: ({ url, relayUrl }) => printed('java', [script('OldCaller.java'), url, relayUrl, TRANSFER]),
  },
  { tool: 'mono', call: callWithDotNet },
  {
    tool: 'php',
    probe: ['--ri', 'curl'],
    call: ({ url, relayUrl }) => printed('php', [script('caller.php'), url, relayUrl, TRANSFER]),
  },
  {
    tool: 'perl',
    probe: ['-MLWP::UserAgent', '-e', '1'],
    cannot: ['expect'],
    call: ({ url, relayUrl }) => printed('perl', [script('caller.pl'), url, relayUrl, TRANSFER]),
  },
];

/** For a user a missing tool is none of our business; where CI runs, it has to be there. */
const isMissing = ({ tool, probe = ['--version'] }: Program) =>
  !process.env['CI'] && spawnSync(tool.replace(/ .*/, ''), probe).status !== 0;

let executables: Executables | undefined;
let file = '';
beforeAll(async () => {
  if (PROGRAMS.every(isMissing)) return;
  executables = await buildExecutables(hostTarget());
  file = executables.alone(hostTarget());
}, 300_000);
afterAll(() => executables?.[Symbol.dispose]());

describe.each(PROGRAMS)('$tool, through the executable', (program) => {
  const { tool, cannot = [], call } = program;
  const skip = isMissing(program);
  let world: World | undefined;
  let seen: Seen[] = [];
  beforeAll(async () => {
    if (skip) return;
    world = await createWorld(file);
    seen = await call(world);
  });
  afterAll(() => world?.[Symbol.asyncDispose]());

  const only = (name: string): Seen => {
    const found = seen.find((one) => one.call === name);
    if (!found) throw new Error(`${tool} did not come to ${name}`);
    return found;
  };

  it.skipIf(skip)('gets the accounts', () => {
    const answer = only('get');
    expect(answer.status).toBe(200);
    expect(textOf(answer)).toContain('"iban"');
  });

  it.skipIf(skip)('makes a payment with JSON, once', async () => {
    const answer = only('post');
    expect([answer.status, JSON.parse(textOf(answer))]).toEqual([201, expect.objectContaining({ status: 'received' })]);
    const counters = (await (await fetch(`${world?.emulator.url}/_emulator/counters`)).json()) as { payments: unknown };
    expect(counters.payments).toMatchObject({ created: 1 });
  });

  it.skipIf(skip)('uploads 5 MiB in chunks', () => {
    const answer = only('upload');
    const echo = JSON.parse(textOf(answer)) as { headers: string[] };
    expect(answer.status).toBe(200);
    expect(echo).toMatchObject({ method: 'PUT', bytes: uploaded().length, sha256: sha256(uploaded()) });
    expect(echo.headers.map((text) => text.toLowerCase())).toContain('chunked');
  });

  it.skipIf(skip || cannot.includes('expect'))('uploads after asking with Expect: 100-continue', () => {
    const answer = only('expect');
    expect([answer.status, JSON.parse(textOf(answer))]).toEqual([
      200,
      expect.objectContaining({ sha256: sha256(uploaded()) }),
    ]);
  });

  it.skipIf(skip)('downloads 20 MiB', () => {
    expect(only('download')).toMatchObject({ status: 200, bytes: DOWNLOAD, sha256: sha256(pattern(DOWNLOAD)) });
  });

  it.skipIf(skip)('gets the length of HEAD and no body', () => {
    expect(only('head')).toMatchObject({ status: 200, bytes: 0, length: '1000' });
  });

  it.skipIf(skip)('keeps its connection for a second request', () => {
    const kept = seen.filter(({ call: name }) => name === 'kept');
    expect(kept.map(({ status }) => status)).toEqual([200, 200]);
    expect(world?.relay.connections).toBe(1);
  });

  it.skipIf(skip || cannot.includes('http10'))('speaks HTTP/1.0 and gets no coding it does not know', () => {
    const answer = only('http10');
    expect(answer).toMatchObject({ status: 200, bytes: 100_000, sha256: sha256(pattern(100_000)) });
    expect(answer.coding ?? '').toBe('');
  });

  it.skipIf(skip)('is written into the access log, every call of it and no token', async () => {
    const running = world?.running;
    running?.kill('SIGTERM');
    const { code, stdout = '', stderr } = (await running?.ended) ?? {};
    expect([code, stderr]).toEqual([0, '']);
    const requests = stdout.split('\n').filter((line) => line.includes('"message":"request"'));
    expect(requests.length).toBeGreaterThanOrEqual(seen.length);
    expect(requests.filter((line) => /"status":5\d\d|"code":/.test(line))).toEqual([]);
    expect(stdout).not.toMatch(/eyJ|Bearer/);
  });
});
