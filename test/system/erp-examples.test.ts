// The examples in deploy/README.md, run as they stand there: a payment, and what each says of it when something fails.
import { execFile, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Emulator, startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { exampleOf } from '../support/erp-examples.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { startRelay } from '../support/relay.ts';
import { startTestSidecar, type TestSidecar } from '../support/sidecar.ts';

const run = promisify(execFile);
/** The one the examples send. */
const KEY = 'the-key-of-this-erp';
const JARS = ['httpclient', 'httpcore', 'commons-logging', 'commons-codec'].map(
  (name) => `/usr/share/java/${name}.jar`,
);

interface Program {
  readonly heading: string;
  readonly file: string;
  readonly needs: readonly (readonly string[])[];
  /** Run once before, in the folder. */
  readonly compile?: readonly string[];
  /** Followed by the payment's UUID. */
  readonly command: readonly string[];
  /** Besides tools, files. */
  readonly files?: readonly string[];
}

const JAVA = { file: 'Pay.java', needs: [['javac', '-version']] } as const;
const PROGRAMS: readonly Program[] = [
  { heading: 'curl', file: 'pay.sh', needs: [['curl', '--version']], command: ['sh', 'pay.sh'] },
  { heading: 'Java: HttpURLConnection', ...JAVA, compile: ['javac', 'Pay.java'], command: ['java', '-cp', '.', 'Pay'] },
  {
    heading: 'Java: Apache HttpClient 4',
    ...JAVA,
    files: JARS,
    compile: ['javac', '-cp', JARS.join(':'), 'Pay.java'],
    command: ['java', '-cp', ['.', ...JARS].join(':'), 'Pay'],
  },
  {
    heading: '.NET Framework',
    file: 'Pay.cs',
    needs: [
      ['mcs', '--version'],
      ['mono', '--version'],
    ],
    compile: ['mcs', 'Pay.cs'],
    command: ['mono', 'Pay.exe'],
  },
  { heading: 'PHP', file: 'pay.php', needs: [['php', '--ri', 'curl']], command: ['php', 'pay.php'] },
  {
    heading: 'Perl: LWP',
    file: 'pay.pl',
    needs: [['perl', '-MLWP::UserAgent', '-e', '1']],
    command: ['perl', 'pay.pl'],
  },
  { heading: 'Python', file: 'pay.py', needs: [['python3', '--version']], command: ['python3', 'pay.py'] },
];

/** For a user a missing tool is none of our business; where CI runs, it has to be there. */
function isMissing({ needs, files = [] }: Program): boolean {
  if (process.env['CI']) return false;
  return needs.some(([tool = '', ...args]) => spawnSync(tool, args).status !== 0) || !files.every(existsSync);
}

/** Compiles the example for an address; what it prints when it pays under a UUID. */
async function prepare(program: Program, folder: Folder, address: string): Promise<(uuid: string) => Promise<string>> {
  const text = exampleOf(program.heading).replaceAll('127.0.0.1:7080', address);
  folder.write(program.file, text);
  const options = { cwd: folder.path, timeout: 60_000 };
  const [compiler, ...args] = program.compile ?? [];
  if (compiler) await run(compiler, args, options);
  const [command = '', ...given] = program.command;
  return async (uuid) => (await run(command, [...given, uuid], options)).stdout.trim();
}

interface Sidecars {
  readonly emulator: Emulator;
  readonly healthy: TestSidecar;
  /** Its identity server cannot be reached. */
  readonly tokenless: TestSidecar;
  /** Knows another key. */
  readonly strange: TestSidecar;
}

async function startSidecars(host: string, folder: Folder): Promise<Sidecars> {
  const emulator = await startEmulator({ port: 0 });
  onTestFinished(() => emulator.close());
  const start = async (tokenEndpoint: string, key: string) => {
    const file = folder.write(randomUUID(), key);
    const sidecar = await startTestSidecar({
      upstream: emulator.url,
      tokenEndpoint,
      clientId: DEMO_CLIENT.clientId,
      secret: DEMO_CLIENT.secrets[0]?.value ?? '',
      config: {
        routes: [{ path: '/banking', upstream: `${emulator.url}/banking/api` }],
        callers: { hosts: [host], keys: { erp: [{ file }] } },
        token: { waitTimeout: '300ms' },
      },
    });
    onTestFinished(async () => void (await sidecar.stop()));
    return sidecar;
  };
  const works = `${emulator.url}/connect/token`;
  return {
    emulator,
    healthy: await start(works, KEY),
    tokenless: await start('http://127.0.0.1:9/token', KEY),
    strange: await start(works, 'the-key-of-another-erp'),
  };
}

/** Takes a request and hangs up. */
async function startBreaking(): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).once('data', () => socket.destroy());
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

async function script(emulator: Emulator, fault: object): Promise<void> {
  const body = JSON.stringify({ target: 'banking', method: 'POST', ...fault });
  const headers = { 'Content-Type': 'application/json' };
  expect((await fetch(`${emulator.url}/_emulator/faults`, { method: 'POST', headers, body })).status).toBe(201);
}

async function paymentsOf({ url }: Emulator): Promise<unknown> {
  return ((await (await fetch(`${url}/_emulator/counters`)).json()) as { payments: unknown }).payments;
}

describe.each(PROGRAMS)('$heading', (program) => {
  it.skipIf(isMissing(program))('pays once, and says what became of a payment whatever fails', async () => {
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    const relay = await startRelay();
    const host = `127.0.0.1:${relay.port}`;
    const { emulator, healthy, tokenless, strange } = await startSidecars(host, folder);
    const pay = await prepare(program, folder, host);
    const through = (port: number, uuid: string = randomUUID()) => {
      relay.aim(port);
      return pay(uuid);
    };
    const first = randomUUID();
    const seen: Record<string, string> = { 'all is well': await through(healthy.port, first) };
    seen['the same once more'] = await through(healthy.port, first);
    expect(await paymentsOf(emulator)).toEqual({ created: 1, replayed: 1 });
    const lost = randomUUID();
    await script(emulator, { after: true, reset: true });
    seen['the API broke after it had paid'] = await through(healthy.port, lost);
    seen['that once more'] = await through(healthy.port, lost);
    expect(await paymentsOf(emulator)).toEqual({ created: 2, replayed: 2 });
    await script(emulator, { status: 500 });
    seen['the API says 500'] = await through(healthy.port);
    seen['the API refuses'] = await through(healthy.port, 'not-a-uuid');
    seen['no token'] = await through(tokenless.port);
    seen['a wrong key'] = await through(strange.port);
    seen['hung up'] = await through(await startBreaking());
    await relay[Symbol.asyncDispose]();
    seen['no sidecar'] = await pay(randomUUID());
    expect(seen).toEqual({
      'all is well': 'paid',
      'the same once more': 'paid',
      'the API broke after it had paid': 'unknown',
      'that once more': 'paid',
      'the API says 500': 'unknown',
      'the API refuses': 'refused',
      'no token': 'not sent',
      'a wrong key': 'not sent',
      'hung up': 'unknown',
      'no sidecar': 'not sent',
    });
    expect(await paymentsOf(emulator)).toEqual({ created: 2, replayed: 2 });
  });
});
