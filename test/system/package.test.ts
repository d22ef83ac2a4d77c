/** The package as users get it: packed, installed in an empty folder, run from there. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
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

    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(folder, filename)], {
      cwd: folder,
      env,
    });
    const binary = join(folder, 'node_modules', '.bin', 'aritma-sidecar');
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect((await run(binary, ['--version'], { cwd: folder, env })).stdout).toBe(`${version}\n`);
    const flags = ['--once', '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--emulator', '127.0.0.1:0'];
    const answer = await run(binary, ['demo', ...flags], { cwd: folder, env });
    expect((JSON.parse(answer.stdout) as { data: unknown[] }).data.length).toBeGreaterThan(0);
  }, 120_000);
});
