/** What happens to an audit file while it is in use, and what stands in its place at the start: moved, removed, copied, somebody else's. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { filesOf } from '../../../src/sidecar/audit/file-set.ts';
import { verifyFiles } from '../../../src/sidecar/audit/verify.ts';
import { type AuditOptions, openAuditLog } from '../../../src/sidecar/audit/writer.ts';
import { type Faults, faultyDisk } from '../../support/faulty-disk.ts';
import { createFolder } from '../../support/folder.ts';
import { until } from '../../support/until.ts';

type Row = Record<string, unknown>;

async function setUp(more: Partial<AuditOptions> = {}) {
  const folder = createFolder();
  const file = join(folder.path, 'audit.jsonl');
  const events: Row[] = [];
  const openLog = (over: Partial<AuditOptions> = {}) =>
    openAuditLog({
      ...{ file, maxBytes: 1e6, fsync: 'never', now: () => 0, onState: () => undefined },
      ...{ onEvent: (event) => events.push(event), ...more, ...over },
    });
  const log = await openLog();
  const write = async (path: string) => {
    const entry = log.append({ event: 'request', path });
    await until(`${path} is written`, () => entry?.seq !== undefined);
  };
  onTestFinished(async () => {
    await log.close();
    folder[Symbol.dispose]();
  });
  await until('it is open', () => log.head().seq === 1);
  return { folder: folder.path, file, events, log, openLog, write };
}

const rows = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Row);
const told = (file: string) => rows(file).map(({ event, path, reason }) => path ?? reason ?? event);

describe('src/sidecar/audit/audit-file', () => {
  it.each(['audit.jsonl.1', 'audit.jsonl-20260102', 'elsewhere'])(
    'goes on in a new file when its own is moved to %s',
    async (name) => {
      const { folder, file, log, events, write } = await setUp();
      await write('/a');
      renameSync(file, join(folder, name));
      await write('/b');
      expect([told(join(folder, name)), told(file)]).toEqual([
        ['opened', '/a'],
        ['moved', '/b'],
      ]);
      expect([events, statSync(file).mode & 0o777]).toEqual([[{ event: 'reopened', reason: 'moved' }], 0o600]);
      await log.close();
      expect(await verifyFiles([file, join(folder, name)])).toMatchObject({
        lines: 5,
        closed: true,
        broken: undefined,
      });
    },
  );

  it('goes on in a new file when its own is removed, and the chain says from where', async () => {
    const { file, log, write } = await setUp();
    await write('/a');
    rmSync(file);
    await write('/b');
    expect(told(file)).toEqual(['removed', '/b']);
    await log.close();
    expect(await verifyFiles([file])).toMatchObject({ firstSeq: 3, broken: undefined });
  });

  it('goes on in the empty file that was put in the place of its own, whoever made it', async () => {
    const { folder, file, write } = await setUp();
    renameSync(file, join(folder, 'moved'));
    writeFileSync(file, '', { mode: 0o640 });
    await write('/b');
    expect([told(file), statSync(file).mode & 0o777]).toEqual([['moved', '/b'], 0o640]);
  });

  it('makes no file between the moving and the making of a program that rotates logs', async () => {
    const { folder, file, log, write } = await setUp();
    renameSync(file, join(folder, 'audit.jsonl.1'));
    const writing = write('/b');
    // logrotate takes what it finds here for a fault, and renames it to the same name again and again.
    await new Promise(setImmediate);
    writeFileSync(file, '', { flag: 'wx' });
    await writing;
    await log.close();
    expect(told(file)).toEqual(['moved', '/b', 'closed']);
  });

  it('looks for its file when it is told to, and says nothing when that is where it was', async () => {
    const { folder, file, log, events } = await setUp();
    log.reopen();
    await log.close();
    expect([events, told(file)]).toEqual([[], ['opened', 'closed']]);
    const again = await setUp();
    renameSync(again.file, join(folder, 'moved'));
    again.log.reopen();
    await until('it is there again', () => readdirSync(again.folder).includes('audit.jsonl'));
    await until('it has a line', () => told(again.file).length === 1);
    expect(told(again.file)).toEqual(['moved']);
  });

  it('sets nothing aside that somebody else has moved, and loses no line', async () => {
    const { folder, file, log, write } = await setUp({ maxBytes: 600 });
    for (let round = 0; round < 30; round += 1) {
      await write(`/x/${round}`);
      if (round % 3 === 0) renameSync(file, join(folder, `audit.jsonl.${round}.1`));
    }
    await log.close();
    const files = filesOf(file);
    expect(files.length).toBeGreaterThan(10);
    expect(await verifyFiles(files)).toMatchObject({ firstSeq: 1, closed: true, broken: undefined });
    expect(files.flatMap(told).filter((path) => String(path).startsWith('/x/'))).toHaveLength(30);
  });

  it('overwrites no file that has the name it wants to set its own aside to, and grows instead', async () => {
    const { folder, file, events, log, write } = await setUp({ maxBytes: 600 });
    for (let seq = 2; seq < 9; seq += 1) writeFileSync(join(folder, `audit.jsonl.00000000000${seq}`), 'other proof');
    for (let round = 0; round < 5; round += 1) await write(`/x/${round}`);
    expect(events[0]).toEqual({ event: 'not set aside', errno: 'EEXIST' });
    await log.close();
    expect(await verifyFiles([file])).toMatchObject({ lines: 7, broken: undefined });
    expect(readFileSync(join(folder, 'audit.jsonl.000000000004'), 'utf8')).toBe('other proof');
  });

  it('goes on, and does not count as failing, while its file cannot be set aside', async () => {
    const faults: Faults = { rename: 'EACCES' };
    const { file, events, log, write } = await setUp({ maxBytes: 600, disk: faultyDisk(faults) });
    for (let round = 0; round < 9; round += 1) await write(`/x/${round}`);
    expect(log.failing()).toBeUndefined();
    expect(events[0]).toEqual({ event: 'not set aside', errno: 'EACCES' });
    faults.rename = undefined;
    for (let round = 0; round < 9; round += 1) await write(`/y/${round}`);
    expect(filesOf(file).length).toBeGreaterThan(1);
  });

  it('says that its file was truncated, and goes on at its beginning', async () => {
    const { folder, file, log, events, write } = await setUp();
    await write('/a');
    copyFileSync(file, join(folder, 'audit.jsonl.1'));
    truncateSync(file);
    await write('/b');
    expect([told(file), events]).toEqual([
      ['truncated', '/b'],
      [{ event: 'truncated', missingBytes: expect.any(Number) }],
    ]);
    await log.close();
    expect(await verifyFiles(filesOf(file))).toMatchObject({ lines: 5, firstSeq: 1, broken: undefined });
  });

  it('says that somebody else wrote into its file, and spoils no line of its own by it', async () => {
    const { file, log, events, write } = await setUp();
    appendFileSync(file, 'no line');
    await write('/a');
    expect(events).toEqual([{ event: 'extended', foreignBytes: 7 }]);
    await log.close();
    expect((await verifyFiles([file])).broken).toMatchObject({ line: 2, problem: 'is not a complete audit line' });
    expect(readFileSync(file, 'utf8').split('\n')).toHaveLength(6);
  });

  it.each<[string, (file: string) => void]>([
    ['a folder', (file) => mkdirSync(file)],
    ['a link', (file) => symlinkSync(`${file}.other`, file)],
    ['what is not of this log', (file) => writeFileSync(file, 'something else\n')],
  ])('keeps its lines while %s stands in its place, and writes them when that is gone', async (_what, put) => {
    const { folder, file, log, write } = await setUp();
    writeFileSync(`${file}.other`, 'not ours');
    renameSync(file, join(folder, 'moved'));
    put(file);
    const writing = write('/a');
    await until('it fails', () => log.failing() === 'NOT_OURS');
    rmSync(file, { recursive: true });
    log.reopen();
    await writing;
    expect([told(file), log.failing(), readFileSync(`${file}.other`, 'utf8')]).toEqual([
      ['moved', '/a'],
      undefined,
      'not ours',
    ]);
  });

  it('writes what is left where the file was moved to, when nothing may be made in its place until the end', async () => {
    const faults: Faults = {};
    const { folder, file, log } = await setUp({ disk: faultyDisk(faults) });
    renameSync(file, join(folder, 'moved'));
    faults.open = 'EACCES';
    log.append({ event: 'request', path: '/a' });
    await until('it fails', () => log.failing() === 'EACCES');
    expect(await log.close()).toBe(0);
    expect(told(join(folder, 'moved'))).toEqual(['opened', '/a', 'closed']);
  });
});

/** What is not ours, and what has to be said of it. */
const OTHERS: readonly (readonly [string, (file: string) => void, RegExp])[] = [
  ['a secret without a newline', (file) => writeFileSync(file, 'not-a-real-secret'), /its last bytes are not/],
  ['a secret with a newline', (file) => writeFileSync(file, 'not-a-real-secret\n'), /its last line is not a complete/],
  ['several lines of text', (file) => writeFileSync(file, 'a: 1\nb: 2\nc'), /its last line is not a complete/],
  ['JSON of others', (file) => writeFileSync(file, '{"seq":"one"}\n'), /its last line is not a complete/],
  ['a beginning like ours', (file) => writeFileSync(file, '{"seq":7,"at":'), /its last bytes are not/],
  ['a long line', (file) => writeFileSync(file, 'x'.repeat(200_000)), /does not end with a line/],
  ['bytes', (file) => writeFileSync(file, Buffer.from([0, 255, 254, 3, 10, 7])), /not an audit log/],
  ['nothing but NUL', (file) => writeFileSync(file, Buffer.alloc(200_000)), /it has no lines/],
  ['a link to a file', (file) => symlinkSync(`${file}.target`, file), /is a symbolic link/],
  ['a link to nowhere', (file) => symlinkSync(`${file}.nowhere`, file), /is a symbolic link/],
  ['a second name of a secret', (file) => linkSync(`${file}.target`, file), /its last bytes are not/],
  ['a folder', (file) => mkdirSync(file), /is a folder/],
  ['a pipe', (file) => execFileSync('mkfifo', [file]), /is a pipe/],
  ['a device', (file) => execFileSync('mknod', [file, 'c', '1', '5']), /is a pipe, a socket or a device/],
];
const isRoot = process.getuid?.() === 0;

describe('src/sidecar/audit/audit-file at the start', () => {
  it.skipIf(process.platform === 'win32').each(OTHERS.filter(([what]) => isRoot || what !== 'a device'))(
    'refuses %s and leaves it as it was',
    async (_what, put, problem) => {
      using folder = createFolder();
      const file = join(folder.path, 'audit.jsonl');
      writeFileSync(`${file}.target`, 'not-a-real-secret');
      put(file);
      const before = state(file);
      const opening = openAuditLog({ file, maxBytes: 1e6, fsync: 'never', now: () => 0, onState: () => undefined });
      await expect(opening).rejects.toThrow(problem);
      expect([state(file), readFileSync(`${file}.target`, 'utf8')]).toEqual([before, 'not-a-real-secret']);
      expect(readdirSync(folder.path).includes('audit.jsonl.nowhere')).toBe(false);
    },
  );

  it('repairs what a loss of power left: half a line, and NUL to the length that the file had got', async () => {
    const { file, log, openLog } = await setUp();
    await log.close();
    const { size } = statSync(file);
    appendFileSync(file, Buffer.concat([Buffer.from('{"seq":3,"at":"1970'), Buffer.alloc(150_000)]));
    await (await openLog()).close();
    expect(rows(file)[2]).toMatchObject({ event: 'opened', lostBytes: 150_019 });
    expect(await verifyFiles([file])).toMatchObject({ lines: 4, closed: true, broken: undefined });
    expect(size).toBeLessThan(statSync(file).size);
  });

  it('says that lines before the end are broken, and goes on', async () => {
    const { file, log, events, openLog } = await setUp();
    await log.close();
    const [first, ...rest] = readFileSync(file, 'utf8').split('\n');
    writeFileSync(file, [first, first, ...rest].join('\n'));
    await (await openLog()).close();
    expect(events).toEqual([{ event: 'broken', problem: 'the line after number 1 has number 1, where 2 should be' }]);
    expect((await verifyFiles([file])).broken).toMatchObject({ line: 2 });
  });

  it.each<[string, (file: string) => void]>([
    ['moved', (file) => renameSync(file, `${file}.1`)],
    ['moved, by date', (file) => renameSync(file, `${file}-20260102`)],
    [
      'moved and compressed',
      (file) => {
        writeFileSync(`${file}.1.gz`, gzipSync(readFileSync(file)));
        rmSync(file);
      },
    ],
    [
      'copied and truncated',
      (file) => {
        copyFileSync(file, `${file}.1`);
        truncateSync(file);
      },
    ],
  ])('goes on from the file that was %s while nothing ran', async (_what, rotate) => {
    const { file, log, openLog } = await setUp();
    await log.close();
    rotate(file);
    await (await openLog()).close();
    expect(await verifyFiles(filesOf(file))).toMatchObject({ lines: 4, firstSeq: 1, closed: true, broken: undefined });
  });

  it('does not go on from an older file than the newest', async () => {
    const { file, log, openLog } = await setUp();
    await log.close();
    for (const name of ['.3', '.2', '.1']) {
      renameSync(file, file + name);
      await (await openLog()).close();
    }
    rmSync(file);
    await (await openLog()).close();
    expect(await verifyFiles(filesOf(file).filter((path) => path !== file))).toMatchObject({ lines: 6 });
    expect(rows(file)[0]).toMatchObject({ seq: 7 });
  });

  it('makes a file that only its owner can read, whatever the umask', async () => {
    const before = process.umask(0);
    const { file } = await setUp();
    process.umask(before);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    chmodSync(file, 0o600);
  });
});

function state(file: string): unknown {
  const stats = statSync(file, { throwIfNoEntry: false });
  return [stats?.ino, stats?.mtimeMs, stats?.size, stats?.isFile() && readFileSync(file, 'latin1')];
}
