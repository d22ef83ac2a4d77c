/** The audit log on a real disk: its chain, its rotation, crashes and full disks. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { DISK } from '../../../src/sidecar/audit/disk.ts';
import { filesOf } from '../../../src/sidecar/audit/file-set.ts';
import { verifyFiles } from '../../../src/sidecar/audit/verify.ts';
import { type AuditLog, type AuditOptions, openAuditLog } from '../../../src/sidecar/audit/writer.ts';
import { type Faults, faultyDisk } from '../../support/faulty-disk.ts';
import { createFolder } from '../../support/folder.ts';
import { until } from '../../support/until.ts';

function setUp() {
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const file = join(folder.path, 'audit.jsonl');
  const states: (string | undefined)[] = [];
  const openLog = (more: Partial<AuditOptions> = {}) =>
    openAuditLog({
      file,
      maxBytes: 1024 * 1024,
      fsync: 'never',
      now: () => Date.UTC(2026, 0, 1),
      onState: (state) => states.push(state),
      ...more,
    });
  const write = async (count: number, more?: Partial<AuditOptions>) => {
    const log = await openLog(more);
    fill(log, count);
    await log.close();
  };
  return { folder, file, states, openLog, write, lines: () => readFileSync(file, 'utf8').split('\n').slice(0, -1) };
}

function fill(log: AuditLog, count: number): void {
  for (let index = 0; index < count; index += 1) log.append({ event: 'request', status: 201, path: `/x/${index}` });
}

describe('src/audit', () => {
  it('writes a chain that verifies, from opening to closing, over restarts', async () => {
    const { file, write } = setUp();
    await write(3);
    await write(2);
    expect(await verifyFiles([file])).toMatchObject({ lines: 9, firstSeq: 1, closed: true, broken: undefined });
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('sets files aside by size without a break, and verifies them together and each from where it begins', async () => {
    const { file, write } = setUp();
    await write(100, { maxBytes: 4096 });
    const files = filesOf(file);
    expect(files.length).toBeGreaterThan(4);
    for (const one of files.slice(0, -1)) expect(statSync(one).size).toBeLessThan(4096 + 1024);
    expect(await verifyFiles(files)).toMatchObject({ lines: 102, closed: true, broken: undefined });
    expect((await verifyFiles(files.slice(2))).broken).toBeUndefined();
    const gap = await verifyFiles([files[0] ?? '', files[2] ?? '']);
    expect(gap.broken).toMatchObject({ file: files[2], line: 1, problem: expect.stringMatching(/has number/) });
    // The next start goes on from a file set aside when its own is empty.
    writeFileSync(file, '');
    await write(1);
    expect(await verifyFiles([files.at(-2) ?? '', file])).toMatchObject({ closed: true, broken: undefined });
  });

  it.each<[string, (lines: string[]) => string[], number, RegExp]>([
    [
      'one byte is changed',
      (lines) => lines.map((line, at) => (at === 4 ? line.replace('201', '200') : line)),
      5,
      /changed/,
    ],
    ['a line is taken out', (lines) => lines.filter((_line, at) => at !== 4), 5, /has number 6, where 5/],
    [
      'two lines are swapped',
      (lines) => [...lines.slice(0, 3), lines[4] ?? '', lines[3] ?? '', ...lines.slice(5)],
      4,
      /number/,
    ],
    ['a line is put in', (lines) => [...lines.slice(0, 4), lines[3] ?? '', ...lines.slice(4)], 5, /number/],
    [
      'a line of something else is put in',
      (lines) => [...lines.slice(0, 4), '{"seq":5}', ...lines.slice(4)],
      5,
      /not a complete/,
    ],
    [
      'the first line is taken out and the rest pretends',
      (lines) => lines.map((line) => line.replace('"seq":2,', '"seq":1,')).slice(1),
      1,
      /changed/,
    ],
  ])('says at which line when %s', async (_what, tamper, line, problem) => {
    const { file, write, lines } = setUp();
    await write(8);
    writeFileSync(file, `${tamper(lines()).join('\n')}\n`);
    expect((await verifyFiles([file])).broken).toMatchObject({ line, problem: expect.stringMatching(problem) });
  });

  it('says where a file was cut off, in a line and between lines', async () => {
    const { file, write, lines } = setUp();
    await write(8);
    const kept = `${lines().slice(0, 6).join('\n')}\n`;
    truncateSync(file, kept.length - 10);
    expect((await verifyFiles([file])).broken).toEqual({ file, line: 6, problem: 'is cut off in the middle' });
    writeFileSync(file, kept);
    expect(await verifyFiles([file])).toMatchObject({ lines: 6, closed: false, broken: undefined });
  });

  it('goes on after a kill in the middle of a line, and tells how much was lost', async () => {
    const { file, write, openLog, lines } = setUp();
    await write(3);
    appendFileSync(file, '{"seq":6,"event":"reque');
    expect((await verifyFiles([file])).broken?.problem).toBe('is cut off in the middle');
    const log = await openLog();
    await log.close();
    expect(await verifyFiles([file])).toMatchObject({ lines: 7, broken: undefined });
    expect(lines().at(-2)).toContain('"event":"opened","lostBytes":23');
  });

  it('refuses to go on from a line that is not its own', async () => {
    const { file, openLog } = setUp();
    writeFileSync(file, 'something else\n');
    await expect(openLog()).rejects.toThrow(/is not a complete audit line/);
  });

  it.skipIf(process.platform !== 'linux')('survives kill -9 at any moment with a chain that verifies', async () => {
    const { file, openLog } = setUp();
    const program = `
      import { openAuditLog } from ${JSON.stringify(join(import.meta.dirname, '../../../src/sidecar/audit/writer.ts'))};
      const log = await openAuditLog({ file: ${JSON.stringify(file)}, maxBytes: 200_000, fsync: 'second', now: Date.now, onState() {} });
      process.stdout.write('running\\n');
      for (;;) {
        for (let index = 0; index < 50; index += 1) log.append({ event: 'request', path: '/x'.repeat(index) });
        await new Promise(setImmediate);
      }`;
    for (let round = 0; round < 3; round += 1) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      await expect.poll(() => statSync(file).size + filesOf(file).length * 1000).toBeGreaterThan(3000 * (round + 1));
      child.kill('SIGKILL');
      await once(child, 'exit');
      const log = await openLog();
      await log.close();
      expect((await verifyFiles(filesOf(file))).broken).toBeUndefined();
    }
  });

  it.each(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS'])(
    'reports %s, keeps what it could not write, and takes back what of it was written',
    async (code) => {
      const { file, states, openLog } = setUp();
      const faults: Faults = {};
      const log = await openLog({ disk: faultyDisk(faults) });
      await until('the file has a line', () => statSync(file).size > 0);
      const { size } = statSync(file);
      faults.write = code;
      fill(log, 3);
      await until('it fails', () => log.failing() === code);
      expect([states, statSync(file).size]).toEqual([[code], size + 10]);
      faults.write = undefined;
      log.reopen();
      await until('it is written again', () => log.failing() === undefined);
      expect([states, await log.close()]).toEqual([[code, undefined], 0]);
      expect(await verifyFiles([file])).toMatchObject({ lines: 5, closed: true, broken: undefined });
    },
  );

  it('does not call a line durable that the disk refused to keep, and writes it once in the end', async () => {
    const { file, openLog } = setUp();
    const faults: Faults = {};
    const log = await openLog({ fsync: 'always', disk: faultyDisk(faults) });
    await until('the file has a line', () => log.head().seq === 1);
    faults.sync = 'EIO';
    const entry = log.append({ event: 'intent' });
    expect(entry && (await log.onDisk(entry))).toBe(false);
    // It failed already: nobody waits a second time.
    const next = log.append({ event: 'intent' });
    expect(next && (await log.onDisk(next))).toBe(false);
    faults.sync = undefined;
    log.reopen();
    await until('it is written', () => next?.seq === 3);
    expect(await log.close()).toBe(0);
    expect(await verifyFiles([file])).toMatchObject({ lines: 4, closed: true, broken: undefined });
  });

  it('says in the log how many entries it could not keep', async () => {
    const { file, lines, openLog } = setUp();
    const faults: Faults = { write: 'ENOSPC' };
    const log = await openLog({ maxBytes: 1e9, disk: faultyDisk(faults) });
    fill(log, 10_005);
    expect(log.append({ event: 'request' })).toBeUndefined();
    await until('it fails', () => log.failing() === 'ENOSPC');
    faults.write = undefined;
    log.reopen();
    await until('it is written again', () => log.failing() === undefined);
    await log.close();
    // 10,000 waited, the opening among them.
    expect(lines().filter((line) => line.includes('"event":"lost","lines":7'))).toHaveLength(1);
    expect(await verifyFiles([file])).toMatchObject({ lines: 10_002, closed: true, broken: undefined });
  });

  it('tells how many entries are lost when it is closed on a full disk', async () => {
    const { openLog } = setUp();
    const faults: Faults = {};
    const log = await openLog({ disk: faultyDisk(faults) });
    await until('it is open', () => log.head().seq === 1);
    faults.write = 'ENOSPC';
    fill(log, 3);
    expect(await log.close()).toBe(4);
  });

  it('counts a disk that does nothing as failing after ten seconds, and waits no longer for it in the end', async () => {
    const { states, openLog } = setUp();
    const faults: Faults = {};
    const log = await openLog({ fsync: 'always', disk: faultyDisk(faults) });
    await until('it is open', () => log.head().seq === 1);
    vi.useFakeTimers({ toFake: ['setTimeout', 'setInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    faults.write = 'nothing';
    const entry = log.append({ event: 'intent' });
    const onDisk = entry && log.onDisk(entry);
    vi.advanceTimersByTime(10_000);
    expect([await onDisk, states]).toEqual([false, ['ETIMEDOUT']]);
    const closing = log.close();
    vi.advanceTimersByTime(10_000);
    expect(await closing).toBe(2);
  });

  it('tries a disk that fails once a second, however long it fails', async () => {
    const { states, openLog } = setUp();
    let tries = 0;
    let isBroken = false;
    const lstat: typeof DISK.lstat = async (path, options) => {
      if (!isBroken) return DISK.lstat(path, options);
      tries += 1;
      throw Object.assign(new Error('out of order'), { code: 'EIO' });
    };
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const log = await openLog({ fsync: 'second', disk: { ...DISK, lstat } });
    await vi.waitUntil(() => log.head().seq === 1);
    isBroken = true;
    log.append({ event: 'request' });
    await vi.advanceTimersByTimeAsync(30_000);
    expect([states, tries]).toEqual([['EIO'], 31]);
    isBroken = false;
    expect(await log.close()).toBe(0);
  });

  it('syncs many entries that wait for the disk at once', async () => {
    const { openLog } = setUp();
    const faults: Faults = { syncs: 0 };
    const log = await openLog({ fsync: 'always', disk: faultyDisk(faults) });
    const entries = Array.from({ length: 500 }, () => log.append({ event: 'intent' }));
    const onDisk = await Promise.all(entries.map((entry) => entry && log.onDisk(entry)));
    expect(onDisk.every(Boolean)).toBe(true);
    await log.close();
    expect(faults.syncs).toBeLessThan(10);
  });
});
