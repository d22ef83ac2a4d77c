/** The package as users get it: packed, installed in an empty folder, run from there. */
import { execFile } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { describe, expect, it, onTestFinished } from 'vitest';

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
      ({ path }) => !/^(dist\/.*\.js|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/.test(path),
    );
    expect(surplus).toEqual([]);

    for (const path of ['dist/main.js', 'package.json', 'README.md', 'LICENSE', 'CHANGELOG.md']) {
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

    const binary = join(folder, 'node_modules', '.bin', 'aritma-sidecar');
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect((await run(binary, ['--version'], { cwd: folder, env })).stdout).toBe(`${version}\n`);
    const flags = ['--once', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--emulator', '127.0.0.1:0'];
    const answer = await run(binary, ['demo', ...flags], { cwd: folder, env });
    expect((JSON.parse(answer.stdout) as { data: unknown[] }).data.length).toBeGreaterThan(0);
  }, 120_000);
});

/** What compiled code asks for that is neither beside it, nor in Node, nor a dependency. */
function unexpectedImports(folder: string): string[] {
  const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  const code = globSync('dist/**/*.js', { cwd: folder }).map((path) => ({
    path,
    text: readFileSync(join(folder, path), 'utf8'),
  }));
  expect(code.length).toBeGreaterThan(100);
  return code.flatMap(({ path, text }) => {
    const names = [...text.matchAll(/(?:\bfrom |\bimport |\bimport\()'([^'\n]+)'/g)].map(([, name = '']) => name);
    const isThere = (name: string) => {
      if (name.startsWith('.')) return existsSync(join(folder, dirname(path), name));
      return name.startsWith('node:') || name.replace(/^(@[^/]+\/[^/]+|[^/]+).*$/, '$1') in dependencies;
    };
    return names.filter((name) => !isThere(name)).map((name) => `${path}: ${name}`);
  });
}
