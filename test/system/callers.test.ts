// Programs as they are written: curl, Python and Java, each with its own idea of HTTP, get the API's answers through a
// sidecar without knowing anything of tokens.
import { execFile, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { startTestSidecar, type TestSidecar } from '../support/sidecar.ts';

const DOWNLOAD = 20 * 1024 * 1024;
const CHUNKED = '/echo/bytes/100000?chunked=1';
const TRANSFER = JSON.stringify({
  debtorAccount: { iban: 'NO9386011117947' },
  creditorAccount: { iban: 'NO9386011117947' },
  amount: { value: '12.50', currency: 'NOK' },
});

/** What a program saw of one call. */
interface Seen {
  readonly call: string;
  readonly status: number;
  readonly text?: string;
  readonly text64?: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly length?: string | null;
  readonly coding?: string | null;
}

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
const uploaded = () => Buffer.concat(Array.from({ length: 80 }, (_, index) => Buffer.alloc(65_536, index % 251)));
const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex');

async function printed(command: string, args: readonly string[]): Promise<Seen[]> {
  const { stdout } = await run(command, [...args], { timeout: 60_000, maxBuffer: DOWNLOAD });
  const lines = stdout.trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Seen);
}

const script = (name: string) => new URL(name, import.meta.url).pathname;

/** The same calls as the scripts make, each as somebody would type it. */
async function callWithCurl({ sidecar, relayUrl }: World): Promise<Seen[]> {
  const folder = mkdtempSync(join(tmpdir(), 'aritma-sidecar-test-'));
  const body = join(folder, 'body');
  const upload = join(folder, 'upload');
  writeFileSync(upload, uploaded());
  const curl = async (call: string, ...args: readonly string[]): Promise<Seen> => {
    const format = '%{http_code} %header{content-length} %header{transfer-encoding}';
    const { stdout } = await run('curl', ['-sS', '-m', '15', '-o', body, '-w', format, ...args]);
    const [status, length = '', coding = ''] = stdout.split(' ');
    const data = readFileSync(body);
    return {
      call,
      status: Number(status),
      text: data.toString(),
      bytes: data.length,
      sha256: sha256(data),
      length,
      coding,
    };
  };
  try {
    const json = ['-H', 'Content-Type: application/json', '-d', TRANSFER];
    const accounts = `${relayUrl}/banking/accounts`;
    const seen = [
      await curl('get', `${sidecar.url}/banking/accounts`),
      await curl('post', ...json, `${sidecar.url}/banking/payments/credit-transfer`),
      await curl('upload', '-T', upload, '-H', 'Transfer-Encoding: chunked', `${sidecar.url}/echo/up`),
      await curl('expect', '-T', upload, '-H', 'Expect: 100-continue', `${sidecar.url}/echo/up`),
      await curl('download', `${sidecar.url}/echo/bytes/${DOWNLOAD}`),
      await curl('http10', '--http1.0', sidecar.url + CHUNKED),
    ];
    // With --head curl writes the header lines where a body would go.
    const head = await curl('head', '--head', `${sidecar.url}/echo/bytes/1000`);
    seen.push({ ...head, bytes: head.bytes - (textOf(head).indexOf('\r\n\r\n') + 4) });
    const { stdout } = await run('curl', ['-sS', '-o', body, '-o', body, '-w', '%{http_code}\n', accounts, accounts]);
    const text = readFileSync(body, 'utf8');
    for (const status of stdout.trim().split('\n')) {
      seen.push({ call: 'kept', status: Number(status), text, bytes: text.length, sha256: '' });
    }
    return seen;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const PROGRAMS: readonly { tool: string; version: string; call: (world: World) => Promise<Seen[]> }[] = [
  { tool: 'curl', version: '--version', call: callWithCurl },
  {
    tool: 'python3',
    version: '--version',
    call: ({ sidecar, relayUrl }) => printed('python3', [script('caller.py'), sidecar.url, relayUrl, TRANSFER]),
  },
  {
    tool: 'java',
    version: '-version',
    call: ({ sidecar, relayUrl }) => printed('java', [script('Caller.java'), sidecar.url, relayUrl, TRANSFER]),
  },
];

/** For a user a missing tool is none of our business; where CI runs, it has to be there. */
const isMissing = (tool: string, version: string) => !process.env['CI'] && spawnSync(tool, [version]).status !== 0;

const textOf = ({ text, text64 }: Seen) => text ?? Buffer.from(text64 ?? '', 'base64').toString();

describe.each(PROGRAMS)('$tool', ({ tool, version, call }) => {
  const skip = isMissing(tool, version);
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

  it.skipIf(skip || tool !== 'curl')('uploads after asking with Expect: 100-continue', () => {
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

  it.skipIf(skip)('speaks HTTP/1.0 and gets no coding it does not know', () => {
    const answer = only('http10');
    expect(answer).toMatchObject({ status: 200, bytes: 100_000, sha256: sha256(pattern(100_000)) });
    expect(answer.coding ?? '').toBe('');
  });
});
