/** The package as users get it: packed, installed in an empty folder, run from there. */
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { start } from '../support/cli.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..');
/** The Node that runs this test comes first, whatever the system has. */
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` };

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

describe('the npm package', () => {
  let folder: string;
  let built: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'aritma-sidecar-package-'));
    // Not dist/, which another test or a bench may be running from.
    built = join(folder, 'built');
    execFileSync(process.execPath, [join(ROOT, 'deploy/package/build.ts'), built]);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  async function pack(): Promise<Packed> {
    const { stdout } = await run('npm', ['pack', built, '--json', '--pack-destination', folder], { cwd: folder, env });
    const [packed] = JSON.parse(stdout) as [Packed];
    return packed;
  }

  it('installs in an empty folder, brings nothing else along and does the demo from there', async () => {
    const { filename } = await pack();
    const empty = mkdtempSync(join(folder, 'empty-'));
    writeFileSync(join(empty, 'package.json'), '{"private":true}');
    // Nothing has to be fetched.
    await run('npm', ['install', '--offline', join(folder, filename)], { cwd: empty, env });
    expect(readdirSync(join(empty, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual([
      'aritma-sidecar',
    ]);
    const installed = join(empty, 'node_modules/aritma-sidecar');
    expect((await publint({ pkgDir: installed, pack: false })).messages).toEqual([]);
    expect(unexpectedImports(installed)).toEqual(OPTIONAL);

    const binary = join(empty, 'node_modules', '.bin', 'aritma-sidecar');
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect((await run(binary, ['--version'], { cwd: empty, env })).stdout).toBe(`${version}\n`);
    const flags = ['--once', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--emulator', '127.0.0.1:0'];
    const response = await run(binary, ['demo', ...flags], { cwd: empty, env });
    expect((JSON.parse(response.stdout) as { data: unknown[] }).data.length).toBeGreaterThan(0);
    // A line of http-proxy-3 itself.
    expect(codeOf(installed).filter((text) => text.includes('websocket: new stream'))).toHaveLength(1);
    expect(await echoed(join(installed, 'main.js'), 'by the bundle')).toBe('by the bundle');
  }, 120_000);

  it('holds the program, what is said about it, and nothing else', async () => {
    const paths = (await pack()).files.map(({ path }) => path);
    const told = ['CHANGELOG.md', 'LICENSE', 'README.md', 'THIRD-PARTY.txt', 'package.json', 'sbom.cdx.json'];
    expect(paths.filter((path) => !/^[^/]*\.js$/.test(path)).sort()).toEqual(told);
    expect(paths).toContain('main.js');
  });

  it('states what it is, needs no package and runs nothing when it is installed', () => {
    const own = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Record<string, unknown>;
    const { name, version, description, license, engines } = own;
    expect(JSON.parse(readFileSync(join(built, 'package.json'), 'utf8'))).toEqual({
      ...{ name, version, description, license, type: 'commonjs', engines },
      bin: { 'aritma-sidecar': 'main.js' },
      // Without the folder of compiled code that running it leaves beside it.
      files: ['*.js', '*.json', '*.md', '*.txt'],
    });
  });
});

/** What `ws` and `debug` try, and go without. */
const OPTIONAL = ['bufferutil', 'supports-color', 'utf-8-validate'];

/** What comes back through a WebSocket of its demo. */
async function echoed(main: string, message: string): Promise<string> {
  const flags = ['--json', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--emulator', '127.0.0.1:0'];
  await using demo = start(['demo', ...flags], { program: [process.execPath, main] });
  const [, url = ''] = await demo.untilStdout(/"sidecar":"http([^"]+)"/);
  const socket = new WebSocket(`ws${url}/echo`);
  await once(socket, 'open');
  socket.send(message);
  const [heard] = await once(socket, 'message');
  const closed = once(socket, 'close');
  socket.close();
  await closed;
  return String(heard);
}

function codeOf(folder: string): string[] {
  return globSync('*.js', { cwd: folder }).map((path) => readFileSync(join(folder, path), 'utf8'));
}

/** What its code asks for that is neither beside it nor in Node. */
function unexpectedImports(folder: string): string[] {
  const requires = /(?<![.\w])(?:require|import)\("([^"\n]+)"\)/g;
  const names = new Set(codeOf(folder).flatMap((text) => [...text.matchAll(requires)].map(([, name = '']) => name)));
  expect(names.size).toBeGreaterThan(50);
  return [...names].filter((name) => !isBuiltin(name) && !existsSync(join(folder, name))).sort();
}
