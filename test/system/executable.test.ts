/** The executable as an operator has it: one file on a machine without Node, run by a user without rights. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostTarget, NODE_VERSION } from '../../deploy/executable/targets.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { addressesOf, type CliOptions, type Running, run, start } from '../support/cli.ts';
import { buildExecutables, type Executables } from '../support/executable.ts';
import { createFolder } from '../support/folder.ts';
import { loadWithGets } from '../support/keep-alive-load.ts';

const ROOT = join(import.meta.dirname, '../..');
const hasStore = ['valkey-server', 'redis-server'].some((program) => spawnSync(program, ['--version']).status === 0);
const NOBODY = 65534;
const REQUESTS = 100_000;
const ANY_PORTS = ['--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'];
/** Only root can become somebody else; who is not root has no rights to give up. */
const user = process.getuid?.() === 0 ? { user: NOBODY } : {};

let built: Executables;
let file: string;
let options: CliOptions;
beforeAll(async () => {
  built = await buildExecutables(hostTarget());
  file = built.alone(hostTarget());
  options = { program: [file], cwd: dirname(file), env: {}, ...user };
}, 300_000);
afterAll(() => built?.[Symbol.dispose]());

/** Environment and PATH are empty, so everything comes by flag and file. */
async function startServing(folder: string): Promise<Running> {
  const secret = join(folder, 'secret');
  const emulator = start(['emulate', '--listen', '127.0.0.1:0', '--json'], { ...options, limitMs: 120_000 });
  const [, url = ''] = await emulator.untilStdout(/"url":"([^"]+)"/);
  const flags = [
    ...['--environment', 'emulator', '--token-endpoint', `${url}/connect/token`, '--banking-url', `${url}/echo`],
    ...['--client-id', DEMO_CLIENT.clientId, '--client-secret-file', secret, ...ANY_PORTS],
  ];
  const running = start(['serve', ...flags], { ...options, limitMs: 120_000 });
  void running.ended.then(() => emulator.kill('SIGTERM'));
  return running;
}

describe('the executable, alone in an empty folder with an empty environment', () => {
  it('does the demo and leaves nothing behind', async () => {
    const { code, stdout, stderr } = await run(['demo', '--once', ...ANY_PORTS, '--emulator', '127.0.0.1:0'], options);
    expect([code, stderr]).toEqual([0, '']);
    expect((JSON.parse(stdout) as { data: unknown[] }).data.length).toBeGreaterThan(0);
    expect(readdirSync(dirname(file))).toEqual(['aritma-sidecar']);
  });

  it.skipIf(!hasStore && !process.env['CI'])('shares one token between sidecars through a store', async () => {
    const args = ['demo', '--fleet', '2', '--once', ...ANY_PORTS, '--emulator', '127.0.0.1:0'];
    const { code, stdout, stderr } = await run(args, { ...options, env: { PATH: process.env['PATH'] ?? '' } });
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^(\{"url":"[^"]+","status":200\}\n){2}\{"tokenRequests":1\}\n$/);
  });

  it('knows its version', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(await run(['--version'], options)).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it(`serves ${REQUESTS} requests as a user without rights`, async () => {
    using folder = createFolder();
    folder.write('secret', DEMO_CLIENT.secrets[0]?.value ?? '', 0o644);
    chmodSync(folder.path, 0o755);
    await using running = await startServing(folder.path);
    const { url, adminUrl } = await addressesOf(running);
    if (user.user !== undefined && existsSync('/proc')) {
      expect(readFileSync(`/proc/${running.child.pid}/status`, 'utf8')).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
    }
    const { statuses, seconds } = await loadWithGets(Number(new URL(url).port), '/banking/bytes/64', REQUESTS);
    expect(statuses).toEqual({ 200: REQUESTS });
    const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
    expect(metrics).toContain(`aritma_sidecar_requests_total{route="/banking",method="GET",code="200"} ${REQUESTS}`);
    process.stdout.write(`executable: ${REQUESTS} requests in ${seconds.toFixed(1)} s\n`);
    running.kill('SIGTERM');
    expect((await running.ended).code).toBe(0);
  }, 120_000);
});

describe('the executable beside `node dist/main.js`', () => {
  it('is ready no later', async () => {
    const compiled = { program: [process.execPath, compile()], env: {} };
    const times: Record<'executable' | 'compiled', number[]> = { executable: [], compiled: [] };
    for (let round = 0; round < 5; round += 1) {
      times.executable.push(await timeToReady(options));
      times.compiled.push(await timeToReady(compiled));
    }
    const [executable, javascript] = [median(times.executable), median(times.compiled)];
    const [size, nodeSize] = [file, process.execPath].map((path) => statSync(path).size / 1024 ** 2);
    process.stdout.write(
      `start to ready: executable ${executable} ms, ${size?.toFixed(0)} MiB; node dist/main.js ${javascript} ms, ` +
        `Node alone ${nodeSize?.toFixed(0)} MiB\n`,
    );
    expect(executable).toBeLessThan(javascript * 1.5);
  }, 120_000);
});

/** What `npm run build` makes, in a place that no other test touches. */
function compile(): string {
  const folder = join(ROOT, 'node_modules/.cache/aritma-sidecar-compiled');
  execFileSync(process.execPath, [join(ROOT, 'deploy/package/build.ts'), folder]);
  return join(folder, 'main.js');
}

function sbom() {
  return JSON.parse(readFileSync(join(built.folder, 'sbom.cdx.json'), 'utf8')) as {
    components: { type: string; name: string; version: string }[];
  };
}

/** Until callers can connect, ms. */
async function timeToReady(how: CliOptions): Promise<number> {
  const startedAt = performance.now();
  const env = { ARITMA_CLIENT_SECRET: 'not-a-real-one' };
  await using running = start(['--environment', 'emulator', '--client-id', 'x', ...ANY_PORTS], { ...how, env });
  await running.untilStdout(/listening for callers/);
  return Math.round(performance.now() - startedAt);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

describe('what could be read out of the executable', () => {
  const secret = { ARITMA_CLIENT_SECRET: 'canary-in-the-environment' };

  it.each(['--inspect=127.0.0.1:0', '--report-on-signal', '--insecure-http-parser'])(
    'refuses to start with NODE_OPTIONS=%s',
    async (flag) => {
      const env = { ...secret, NODE_OPTIONS: flag };
      const args = ['--environment', 'emulator', '--client-id', 'x', ...ANY_PORTS];
      const { code, stderr } = await run(args, { ...options, env });
      expect([code, stderr]).toEqual([2, expect.stringContaining('environment variable NODE_OPTIONS')]);
    },
  );
});

describe('what comes with the executable', () => {
  it('has the SHA-256 of every file', () => {
    const sums = readFileSync(join(built.folder, 'SHA256SUMS'), 'utf8').trim().split('\n');
    const found = readdirSync(built.folder)
      .filter((name) => name !== 'SHA256SUMS')
      .map((name) => {
        const hash = createHash('sha256').update(readFileSync(join(built.folder, name)));
        return `${hash.digest('hex')}  ${name}`;
      });
    expect(sums.sort()).toEqual(found.sort());
  });

  it('lists Node and every package inside as CycloneDX', () => {
    expect(sbom()).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: 'aritma-sidecar' } } });
    const [node] = sbom().components;
    expect(node).toMatchObject({ type: 'platform', name: 'node', version: NODE_VERSION });
  });

  it('has the licences of Node and of every runtime dependency', () => {
    const text = readFileSync(join(built.folder, 'THIRD-PARTY.txt'), 'utf8');
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    for (const [name, version] of Object.entries(dependencies)) expect(text).toContain(`- ${name} ${version} (`);
    // Each named in the list and above its own text.
    const titles = [...text.matchAll(/^- (.+)$/gm)].map(([, title = '']) => title);
    const listed = titles.filter((title) => text.includes(`${'='.repeat(100)}\n${title}\n${'='.repeat(100)}`));
    expect(listed.length).toBeGreaterThan(30);
    expect(listed.slice(1).map((title) => title.replace(/ \(.*/, ''))).toEqual(
      sbom()
        .components.slice(1)
        .map(({ name, version }) => `${name} ${version}`),
    );
    expect(listed[0]).toBe('Node.js');
    // Of parts of Node that are not in any npm package.
    for (const part of ['V8', 'OpenSSL', 'ICU', 'libuv']) expect(text).toContain(part);
  });

  it('says how large it is and how long it takes to start', () => {
    expect(built.report).toMatch(/^aritma-sidecar-\S+ {2}\d+\.\d MiB, Node \S+, `--version` in \d+ ms$/m);
  });
});
