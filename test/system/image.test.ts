/** The Dockerfile's steps in clean roots, and the image they make run as a cluster would: no engine is needed. */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Client } from 'undici';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { createBaseImages } from '../support/base-images.ts';
import { startContainer } from '../support/container.ts';
import { type BuiltImage, buildImage } from '../support/dockerfile-build.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { PATIENCE_MS } from '../support/own-time.ts';
import { until } from '../support/until.ts';

const ROOT = join(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const installed = process.getuid?.() === 0 && spawnSync('debootstrap', ['--version']).status === 0;
const WRITABLE = ['/run/aritma', '/var/log/aritma'];

/** What an engine sends to the builder: .dockerignore leaves out everything and names what may come. */
function createContext(folder: string): string {
  const lines = readFileSync(join(ROOT, '.dockerignore'), 'utf8').trim().split('\n');
  expect(lines[0]).toBe('*');
  for (const line of lines.slice(1)) {
    const name = line.replace(/^!/, '');
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  return folder;
}

/** What the builder's network needs, as an engine hands it on. */
const NETWORK = ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'NODE_EXTRA_CA_CERTS', 'npm_config_registry'];
const network = Object.fromEntries(NETWORK.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));

describe.skipIf(!installed && !process.env['CI'])('the image', () => {
  let work: Folder;
  let image: BuiltImage;
  beforeAll(() => {
    work = createFolder();
    chmodSync(work.path, 0o755);
    const startedAt = performance.now();
    const seconds = () => ((performance.now() - startedAt) / 1000).toFixed(0);
    const bases = createBaseImages(work.path);
    process.stdout.write(`base trees after ${seconds()} s\n`);
    image = buildImage({
      dockerfile: join(ROOT, 'Dockerfile'),
      context: createContext(join(work.path, 'context')),
      work: work.path,
      bases: new Map([
        ['node:26-slim', bases.node],
        ['gcr.io/distroless/cc-debian13', bases.runtime],
      ]),
      args: { TARGETARCH: process.arch === 'arm64' ? 'arm64' : 'amd64', VERSION: version, ...network },
    });
    const { stdout } = spawnSync('du', ['-sm', image.root], { encoding: 'utf8' });
    process.stdout.write(`image of ${stdout.split('\t')[0]} MiB after ${seconds()} s\n`);
  }, 480_000);
  afterAll(() => work?.[Symbol.dispose](), 120_000);

  it('has one program, no shell and no user but a number', () => {
    const programs = globSync('{bin,sbin,usr/bin,usr/sbin,usr/local/bin}/*', { cwd: image.root });
    expect(programs).toEqual(['usr/local/bin/aritma-sidecar']);
    expect(image.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    const licences = join(image.root, 'usr/share/doc/aritma-sidecar');
    for (const name of ['LICENSE', 'THIRD-PARTY.txt', 'sbom.cdx.json']) {
      expect([name, existsSync(join(licences, name))]).toEqual([name, true]);
    }
  });

  it('says what it is, where it listens and how it is stopped', () => {
    expect(image.labels).toMatchObject({
      'org.opencontainers.image.title': 'aritma-sidecar',
      'org.opencontainers.image.licenses': 'Apache-2.0',
      'org.opencontainers.image.version': version,
    });
    expect([image.ports, image.stopSignal, image.command]).toEqual([['7080', '7090'], 'SIGTERM', ['serve']]);
  });

  it('does the demo with nothing to write to', async () => {
    await using container = startContainer(image, { args: ['demo', '--once'] });
    const { code, stdout, stderr } = await container.ended;
    expect([code, stderr]).toEqual([0, '']);
    expect((JSON.parse(stdout) as { data: unknown[] }).data.length).toBeGreaterThan(0);
  });

  it('reads no file but those it was given', async () => {
    const args = ['--environment', 'emulator', '--client-id', 'x', '--client-secret-file', '/etc/os-release'];
    await using container = startContainer(image, { args });
    const { code, stderr } = await container.ended;
    expect([code, stderr]).toEqual([2, expect.stringContaining('cannot be read (ERR_ACCESS_DENIED)')]);
  });

  it('serves, is healthy, audits, and drains when it is stopped', async () => {
    await using container = startContainer(image, { mounts: configure(work.path), writable: WRITABLE });
    const pid = await container.pid();
    const emulator = await container.beside(['emulate']);
    try {
      await vi.waitFor(() => expect(container.output()).toContain('token obtained'), { timeout: PATIENCE_MS });
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      for (const line of ['Uid:\t10001\t10001\t10001\t10001', 'NoNewPrivs:\t1', 'CapEff:\t0000000000000000']) {
        expect(status).toContain(line);
      }
      expect(await container.exec(image.healthcheck)).toBe(0);
      const root = await container.root();
      expect(() => writeFileSync(join(root, 'etc/aritma/new'), '')).toThrow('EROFS');
      expect(() => writeFileSync(join(root, 'new'), '')).toThrow('EROFS');

      const client = new Client('http://localhost', { socketPath: join(root, 'run/aritma/sidecar.sock') });
      const body = Readable.from(halvesAround(pid, container.output));
      const answer = await client.request({ method: 'POST', path: '/x', body });
      expect([answer.statusCode, await answer.body.json()]).toEqual([200, expect.objectContaining({ bytes: 10 })]);
      const audited = readFileSync(join(root, 'var/log/aritma/audit'), 'utf8');
      expect(audited).toContain('"method":"POST"');
      await client.destroy();
      expect((await container.ended).code).toBe(0);
    } finally {
      emulator.kill('SIGKILL');
    }
  });
});

/** Configuration and secret, as a cluster mounts them. */
function configure(folder: string): Record<string, string> {
  const [config, secrets] = [join(folder, 'config'), join(folder, 'secrets')];
  for (const path of [config, secrets]) mkdirSync(path);
  writeFileSync(join(secrets, 'aritma'), DEMO_CLIENT.secrets[0]?.value ?? '', { mode: 0o444 });
  const settings = {
    environment: 'emulator',
    listen: 'unix:/run/aritma/sidecar.sock',
    credentials: { default: { clientId: DEMO_CLIENT.clientId, secrets: [{ file: '/run/secrets/aritma' }] } },
    routes: [{ path: '/', upstream: 'http://127.0.0.1:7100/echo' }],
    // On disk before the response leaves: right after it, nobody could look into the container any more.
    audit: { file: '/var/log/aritma/audit', fsync: 'always' },
  };
  writeFileSync(join(config, 'aritma-sidecar.yaml'), JSON.stringify(settings));
  return { '/etc/aritma': config, '/run/secrets': secrets };
}

/** A body whose second half comes only after the process has been told to stop. */
async function* halvesAround(pid: number, output: () => string): AsyncGenerator<string> {
  yield 'first';
  process.kill(pid, 'SIGTERM');
  await until('it is stopping', () => output().includes('"message":"stopping"'));
  yield 'other';
}
