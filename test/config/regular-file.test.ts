// Files a configuration names: only regular ones, never longer than a bound, and who else could put another in their place.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, realpathSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { accessDoubts } from '../../src/config/file-access.ts';
import { readRegularFile, readRegularFileAsync } from '../../src/config/regular-file.ts';
import { COMPLETE_ENV, createFolder, load, problemsOf } from '../support/folder.ts';

const { ARITMA_CLIENT_SECRET: _, ...ENV } = COMPLETE_ENV;

function folderOfTest() {
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  return folder;
}

describe.skipIf(process.platform === 'win32')('config/regular-file', () => {
  const pipe = (path: string) => {
    execFileSync('mkfifo', [path]);
    return path;
  };

  it.each([
    ['a pipe nobody writes to', (folder: string) => pipe(join(folder, 'pipe')), /is a pipe, not a regular file/],
    ['/dev/zero', () => '/dev/zero', /is a device/],
    ['/dev/null', () => '/dev/null', /is a device/],
    ['a folder', (folder: string) => folder, /EISDIR/],
    ['a link to a pipe', (folder: string) => linkTo(pipe(join(folder, 'pipe')), join(folder, 'link')), /is a pipe/],
    ['a link to /dev/zero', (folder: string) => linkTo('/dev/zero', join(folder, 'link')), /is a device/],
    ['a link to itself', (folder: string) => linkTo(join(folder, 'link'), join(folder, 'link')), /ELOOP/],
    [
      'a link to nowhere',
      (folder: string) => linkTo(join(folder, 'none'), join(folder, 'link')),
      /symbolic link.*ENOENT/,
    ],
    ['a file that is too large', (folder: string) => fileOf(65_537, join(folder, 'large')), /larger than 64 KiB/],
  ])('refuses %s at once', (_what, make, message) => {
    const { path } = folderOfTest();
    expect(() => readRegularFile(make(path), 65_536)).toThrow(message);
  });

  it('refuses a socket', async () => {
    const path = join(folderOfTest().path, 'socket');
    const server = createServer().listen(path);
    await new Promise((done) => server.once('listening', done));
    expect(() => readRegularFile(path, 9)).toThrow(/is a socket/);
    server.close();
  });

  it('reads a file of exactly the bound, one without a size, and what links lead to', () => {
    const folder = folderOfTest();
    expect(readRegularFile(fileOf(65_536, join(folder.path, 'large')), 65_536)).toHaveLength(65_536);
    if (process.platform === 'linux') expect(readRegularFile('/proc/self/status', 65_536).toString()).toContain('Pid:');
    // As the kubelet has it.
    mkdirSync(join(folder.path, '..2026'));
    writeFileSync(join(folder.path, '..2026/secret'), 'from the volume');
    symlinkSync('..2026', join(folder.path, '..data'));
    symlinkSync('..data/secret', join(folder.path, 'secret'));
    expect(readRegularFile(join(folder.path, 'secret'), 99).toString()).toBe('from the volume');
  });

  const readers = [
    ['readRegularFile', async (path: string, most: number) => readRegularFile(path, most)],
    ['readRegularFileAsync', readRegularFileAsync],
  ] as const;

  it.each(readers)('takes the memory of a small file, and not that of the limit: %s', async (_name, read) => {
    const path = fileOf(1000, join(folderOfTest().path, 'small'));
    const allocate = vi.spyOn(Buffer, 'allocUnsafe');
    onTestFinished(() => allocate.mockRestore());
    const bytes = await read(path, 4 * 1024 * 1024);
    const sizes = allocate.mock.calls.map(([size]) => size);
    expect(sizes).toContain(1001);
    expect(Math.max(...sizes)).toBeLessThan(65_536);
    expect(bytes.equals(readFileSync(path))).toBe(true);
  });

  // Its size is said to be 0: what comes after it is read, too, and counts.
  it.runIf(process.platform === 'linux').each(readers)('reads on after the size: %s', async (_name, read) => {
    const limits = '/proc/self/limits';
    const whole = readFileSync(limits);
    expect((await read(limits, 65_536)).toString()).toBe(whole.toString());
    expect((await read(limits, whole.length)).toString()).toBe(whole.toString());
    await expect(read(limits, whole.length - 1)).rejects.toThrow(/is larger than/);
    await expect(read(limits, 10)).rejects.toThrow(/is larger than/);
  });

  it('is what secrets, TLS files, NODE_EXTRA_CA_CERTS and the configuration itself are read by', () => {
    const folder = folderOfTest();
    const path = pipe(join(folder.path, 'pipe'));
    const yaml = `routes: [{ path: /a, upstream: "https://a.test", tls: { ca: pipe, cert: /dev/zero, key: pipe } }]\n`;
    const env = { ...ENV, ARITMA_CLIENT_SECRET_FILE: path, NODE_EXTRA_CA_CERTS: '/dev/zero' };
    const at = problemsOf(folder, { yaml, env }).map(
      (problem) => `${problem.path || problem.where}: ${problem.message}`,
    );
    expect(at).toEqual([
      expect.stringMatching(/^credentials\.default\.secrets\.0: the secret file is a pipe/),
      expect.stringMatching(/^routes\.0\.tls\.ca: pipe is a pipe/),
      expect.stringMatching(/^routes\.0\.tls\.cert: \/dev\/zero is a device/),
      expect.stringMatching(/^routes\.0\.tls\.key: pipe is a pipe/),
      expect.stringMatching(/^environment variable NODE_EXTRA_CA_CERTS: \/dev\/zero is a device/),
    ]);
    expect(problemsOf(folder, { env: { ARITMA_CONFIG: 'pipe' } })).toEqual([
      { where: 'pipe', path: '', message: expect.stringMatching(/is a pipe/) },
    ]);
  });

  it('does not hang on a secret that has become a pipe, and goes on with the last good one', () => {
    const folder = folderOfTest();
    const file = folder.write('secret', 'client-secret');
    const loaded = load(folder, { env: { ...ENV, ARITMA_CLIENT_SECRET_FILE: file } });
    unlinkSync(file);
    pipe(file);
    expect(() => loaded.reload()).toThrow('CONFIG_INVALID');
  });

  it('names the folder in which everybody could put another file in the place of a secret', () => {
    const folder = folderOfTest();
    const open = join(realpathSync(folder.path), 'open');
    mkdirSync(join(open, 'below'), { recursive: true });
    writeFileSync(join(open, 'below/secret'), 'x', { mode: 0o600 });
    symlinkSync(join(open, 'below/secret'), join(folder.path, 'link'));
    const causes = (name: string) =>
      accessDoubts(join(folder.path, name), true).map(({ cause, message }) => [cause, message.includes(open)]);
    expect([causes('open/below/secret'), causes('link')]).toEqual([[], []]);
    chmodSync(open, 0o777);
    const said = [['folder_writable_by_others', true]];
    expect([causes('open/below/secret'), causes('link')]).toEqual([said, said]);
    chmodSync(open, 0o1777);
    expect(causes('open/below/secret')).toEqual([]);
    chmodSync(open, 0o777);
    expect(accessDoubts(join(open, 'below/secret'), false)).toEqual([]);
    const env = { ...ENV, ARITMA_CLIENT_SECRET_FILE: join(open, 'below/secret') };
    expect(load(folder, { env }).warnings.join()).toMatch(
      /secret file \S+ is below \S+open, where every user.*chmod o-w/,
    );
  });
});

function linkTo(target: string, path: string): string {
  symlinkSync(target, path);
  return path;
}

function fileOf(bytes: number, path: string): string {
  writeFileSync(path, Buffer.alloc(bytes, 'a'));
  return path;
}
