/** One writer per audit log: among processes, in one process, after kills, and wherever no lock can be had. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { lockForWriting } from '../../../src/sidecar/audit/writer-lock.ts';
import { createFolder } from '../../support/folder.ts';

function setUp(): { readonly folder: string; readonly file: string } {
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  return { folder: folder.path, file: join(folder.path, 'audit.jsonl') };
}

/** Another process that has the lock. */
async function startHolder(file: string) {
  const lock = join(import.meta.dirname, '../../../src/sidecar/audit/writer-lock.ts');
  const program = `
    const { lockForWriting } = await import(${JSON.stringify(lock)});
    const held = await lockForWriting(${JSON.stringify(file)});
    process.stdout.write(held.release ? 'has it' : 'has it not');
    setInterval(() => held, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  expect(String(said)).toBe('has it');
  return child;
}

describe('src/sidecar/audit/writer-lock', () => {
  it('names who has it, and is free as soon as that one was killed', async () => {
    const { file } = setUp();
    const holder = await startHolder(file);
    const { heldBy, release } = await lockForWriting(file);
    expect([heldBy, release]).toEqual([
      expect.stringMatching(new RegExp(`^process ${holder.pid} on ${hostname()} since 20\\d\\d-`)),
      undefined,
    ]);
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    const lock = await lockForWriting(file);
    expect(lock).toEqual({ release: expect.any(Function) });
    lock.release?.();
  });

  it.skipIf(process.platform === 'win32')('belongs to one that stands still as to any other', async () => {
    const { file } = setUp();
    const holder = await startHolder(file);
    holder.kill('SIGSTOP');
    expect((await lockForWriting(file)).heldBy).toMatch(/^process /);
  });

  it('is had once in one process, too, and again after it was released', async () => {
    const { file } = setUp();
    const first = await lockForWriting(file);
    expect((await lockForWriting(file)).heldBy).toContain(`process ${process.pid} `);
    expect((await lockForWriting(file)).heldBy).toContain(`process ${process.pid} `);
    first.release?.();
    const second = await lockForWriting(file);
    expect(second.release).toBeDefined();
    second.release?.();
    // As of a sidecar that is stopped twice.
    second.release?.();
  });

  it.skipIf(process.platform === 'win32')('can be taken by its owner only, whatever the umask', async () => {
    const { folder, file } = setUp();
    const before = process.umask(0);
    const lock = await lockForWriting(file);
    expect([statSync(join(folder, '.audit.jsonl.lock')).mode & 0o777, process.umask(before)]).toEqual([0o600, 0]);
    lock.release?.();
  });

  it('is of one log alone', async () => {
    const { folder, file } = setUp();
    const first = await lockForWriting(file);
    const other = await lockForWriting(join(folder, 'other.jsonl'));
    expect([first.release, other.release]).toEqual([expect.any(Function), expect.any(Function)]);
    first.release?.();
    other.release?.();
  });

  it.each<[string, (lock: string) => void, string]>([
    ['a folder', (lock) => mkdirSync(lock), 'ENOTREG'],
    ['a link', (lock) => symlinkSync(`${lock}.elsewhere`, lock), 'ENOTREG'],
    ['what is no database', (lock) => writeFileSync(lock, 'x'.repeat(4096)), 'SQLITE 26'],
  ])('is not to be had, and that is said, where %s has its name', async (_what, put, code) => {
    const { folder, file } = setUp();
    put(join(folder, '.audit.jsonl.lock'));
    expect(await lockForWriting(file)).toEqual({ code });
  });

  it.skipIf(process.getuid?.() === 0 || process.platform === 'win32')(
    'is not to be had, and that is said, in a folder that may not be written',
    async () => {
      const { folder, file } = setUp();
      chmodSync(folder, 0o500);
      onTestFinished(() => chmodSync(folder, 0o700));
      expect(await lockForWriting(file)).toEqual({ code: expect.stringMatching(/^SQLITE/) });
    },
  );

  it('is not to be had in a folder that is not there', async () => {
    const { folder, file } = setUp();
    rmSync(folder, { recursive: true });
    expect(await lockForWriting(file)).toEqual({ code: expect.stringMatching(/^SQLITE/) });
  });
});
