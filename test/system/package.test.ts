/** The package as users get it: packed, installed in an empty folder, run from there. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { describe, expect, it, onTestFinished } from 'vitest';
import WebSocket from 'ws';
import { start } from '../support/cli.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..');
/** The Node that runs this test comes first, whatever the system has. */
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` };

describe('the npm package', () => {
  it('installs in an empty folder and does the demo from there', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'aritma-sidecar-package-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const packed = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: ROOT, env });
    const [{ filename, files }] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('[\n'))) as [
      { filename: string; files: { path: string }[] },
    ];
    const surplus = files.filter(
      ({ path }) =>
        !/^(dist\/[^/]*\.js|dist\/THIRD-PARTY\.txt|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/.test(path),
    );
    expect(surplus).toEqual([]);

    for (const path of [
      'dist/main.js',
      'dist/THIRD-PARTY.txt',
      'package.json',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
    ]) {
      expect(files.map((file) => file.path)).toContain(path);
    }

    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(folder, filename)], {
      cwd: folder,
      env,
    });
    const installed = join(folder, 'node_modules/aritma-sidecar');
    expect((await publint({ pkgDir: installed, pack: false })).messages).toEqual([]);
    expect(unexpectedImports(installed)).toEqual([]);
    // Everything is inside, so nothing else is installed.
    expect(readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'))).toEqual([
      'aritma-sidecar',
    ]);

    const binary = join(folder, 'node_modules', '.bin', 'aritma-sidecar');
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect((await run(binary, ['--version'], { cwd: folder, env })).stdout).toBe(`${version}\n`);
    const flags = ['--once', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--emulator', '127.0.0.1:0'];
    const answer = await run(binary, ['demo', ...flags], { cwd: folder, env });
    expect((JSON.parse(answer.stdout) as { data: unknown[] }).data.length).toBeGreaterThan(0);
    // A line of http-proxy-3 itself.
    expect(codeOf(installed).filter((text) => text.includes('websocket: new stream'))).toHaveLength(1);
    expect(await echoed(join(installed, 'dist/main.js'), 'by the bundle')).toBe('by the bundle');
  }, 120_000);
});

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
  return globSync('dist/*.js', { cwd: folder }).map((path) => readFileSync(join(folder, path), 'utf8'));
}

/** What its code asks for that is neither beside it nor in Node. */
function unexpectedImports(folder: string): string[] {
  const imports = /^(?:import|export)\b[^;]*?\bfrom "([^"\n]+)";$|\bimport\("([^"\n]+)"\)/gm;
  const found = codeOf(folder).flatMap((text) => [...text.matchAll(imports)]);
  const names = new Set(found.map(([, statically, dynamically]) => statically ?? dynamically ?? ''));
  expect(names.size).toBeGreaterThan(50);
  return [...names].filter((name) => !name.startsWith('node:') && !existsSync(join(folder, 'dist', name)));
}
