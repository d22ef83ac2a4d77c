// Programs as they are written: curl, Python, Java old and new, .NET, PHP and Perl, each with its own idea of HTTP, get the
// API's answers through a sidecar without knowing anything of tokens.
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { callWithCurl, type Seen, sha256, textOf, uploaded } from '../support/curl-caller.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { startTestSidecar, type TestSidecar } from '../support/sidecar.ts';

const DOWNLOAD = 20 * 1024 * 1024;
const TRANSFER = JSON.stringify({
  debtorAccount: { iban: 'NO9386011117947' },
  creditorAccount: { iban: 'NO9386011117947' },
  amount: { value: '12.50', currency: 'NOK' },
});

interface World extends AsyncDisposable {
  readonly emulator: Emulator;
  readonly sidecar: TestSidecar;
  /** Leads to the sidecar and counts connections. */
  readonly relay: Relay;
  readonly relayUrl: string;
}

async function createWorld(): Promise<World> {
  const emulator = await startEmulator({ port: 0 });
  const relay = await startRelay();
  const sidecar = await startTestSidecar({
    upstream: emulator.url,
    tokenEndpoint: `${emulator.url}/connect/token`,
    clientId: DEMO_CLIENT.clientId,
    secret: DEMO_CLIENT.secrets[0]?.value ?? '',
    config: {
      routes: [
        { path: '/banking', upstream: `${emulator.url}/banking/api` },
        { path: '/echo', upstream: `${emulator.url}/echo` },
      ],
      callers: { hosts: [`127.0.0.1:${relay.port}`] },
    },
  });
  relay.aim(sidecar.port);
  return {
    emulator,
    sidecar,
    relay,
    relayUrl: `http://127.0.0.1:${relay.port}`,
    async [Symbol.asyncDispose]() {
      await relay[Symbol.asyncDispose]();
      await sidecar.stop();
      await emulator.close();
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
async function callWithDotNet({ sidecar, relayUrl }: World): Promise<Seen[]> {
  const folder = mkdtempSync(join(tmpdir(), 'aritma-sidecar-test-'));
  const program = join(folder, 'Caller.exe');
  try {
    await run('mcs', [`-out:${program}`, script('Caller.cs')]);
    return await printed('mono', [program, sidecar.url, relayUrl, TRANSFER]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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
  { tool: 'curl', call: ({ sidecar, relayUrl }) => callWithCurl(sidecar.url, relayUrl, TRANSFER) },
  {
    tool: 'python3',
    cannot: ['expect'],
    call: ({ sidecar, relayUrl }) => printed('python3', [script('caller.py'), sidecar.url, relayUrl, TRANSFER]),
  },
  {
    tool: 'java',
    probe: ['-version'],
    cannot: ['expect'],
    call: ({ sidecar, relayUrl }) => printed('java', [script('Caller.java'), sidecar.url, relayUrl, TRANSFER]),
  },
  {
    tool: 'java (HttpURLConnection)',
    probe: ['-version'],
    cannot: ['http10'],
    call: ({ sidecar, relayUrl }) => printed('java', [script('OldCaller.java'), sidecar.url, relayUrl, TRANSFER]),
  },
  { tool: 'mono', call: callWithDotNet },
  {
    tool: 'php',
    probe: ['--ri', 'curl'],
    call: ({ sidecar, relayUrl }) => printed('php', [script('caller.php'), sidecar.url, relayUrl, TRANSFER]),
  },
  {
    tool: 'perl',
    probe: ['-MLWP::UserAgent', '-e', '1'],
    cannot: ['expect'],
    call: ({ sidecar, relayUrl }) => printed('perl', [script('caller.pl'), sidecar.url, relayUrl, TRANSFER]),
  },
];

/** For a user a missing tool is none of our business; where CI runs, it has to be there. */
const isMissing = ({ tool, probe = ['--version'] }: Program) =>
  !process.env['CI'] && spawnSync(tool.replace(/ .*/, ''), probe).status !== 0;

describe.each(PROGRAMS)('$tool', (program) => {
  const { tool, cannot = [], call } = program;
  const skip = isMissing(program);
  let world: World | undefined;
  let seen: Seen[] = [];
  beforeAll(async () => {
    if (skip) return;
    world = await createWorld();
    seen = await call(world);
  }, 90_000);
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
});
