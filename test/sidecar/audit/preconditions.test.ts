/** What is said of an audit log before it is opened, and that saying so changes nothing. */
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { auditObstacle } from '../../../src/sidecar/audit/preconditions.ts';
import { openAuditLog } from '../../../src/sidecar/audit/writer.ts';
import { lockForWriting } from '../../../src/sidecar/audit/writer-lock.ts';
import { createFolder } from '../../support/folder.ts';

function setUp() {
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const state = () =>
    readdirSync(folder.path, { recursive: true, encoding: 'utf8' })
      .sort()
      .map((name) => {
        const path = join(folder.path, name);
        const stats = statSync(path, { throwIfNoEntry: false });
        return [name, stats?.mtimeMs, stats?.ino, stats?.isFile() ? readFileSync(path, 'latin1') : undefined];
      });
  return { folder: folder.path, file: join(folder.path, 'audit.jsonl'), state };
}

async function writeLog(file: string): Promise<void> {
  const log = await openAuditLog({ file, maxBytes: 1e6, fsync: 'never', now: Date.now, onState: () => undefined });
  log.append({ event: 'request' });
  await log.close();
}

const ROWS: readonly (readonly [what: string, put: (file: string) => unknown, cause: string | undefined])[] = [
  ['nothing yet', () => undefined, undefined],
  ['a log', writeLog, undefined],
  [
    'a log whose last line a crash cut off',
    async (file) => {
      await writeLog(file);
      const [last = ''] = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-1);
      const { seq } = JSON.parse(last) as { seq: number };
      writeFileSync(file, `{"seq":${seq + 1},"`, { flag: 'a' });
    },
    undefined,
  ],
  ['something else', (file) => writeFileSync(file, 'not a log\n'), 'audit_not_ours'],
  ['something else without a line', (file) => writeFileSync(file, 'not a log'), 'audit_not_ours'],
  ['a folder', (file) => mkdirSync(file), 'audit_not_ours'],
  ['a link', (file) => symlinkSync('/dev/null', file), 'audit_not_ours'],
  ['a file set aside that is no log', (file) => writeFileSync(`${file}.000000000007`, 'x\n'), 'audit_not_ours'],
];

describe('src/sidecar/audit/preconditions', () => {
  it.each(ROWS)('says of %s what opening it would, and changes nothing', async (_what, put, cause) => {
    const { file, state } = setUp();
    await put(file);
    const before = state();
    expect((await auditObstacle(file, 0))?.cause).toBe(cause);
    expect(state()).toEqual(before);
    const opening = openAuditLog({ file, maxBytes: 1e6, fsync: 'never', now: Date.now, onState: () => undefined });
    const opened = await opening.catch(() => undefined);
    expect(opened === undefined).toBe(cause !== undefined);
    await opened?.close();
  });

  it('says that the folder is missing, and names no path, since callers are told the same', async () => {
    const { folder } = setUp();
    const words = await auditObstacle(join(folder, 'none', 'audit.jsonl'), 0);
    expect(words).toMatchObject({ cause: 'audit_folder_missing', message: 'its folder does not exist (ENOENT)' });
    expect(JSON.stringify(words)).not.toContain(folder);
  });

  it('names who writes it, takes nothing from that one, and finds nothing once it has ended', async () => {
    const { file, state } = setUp();
    await writeLog(file);
    const { release } = await lockForWriting(file);
    const before = state();
    for (let round = 0; round < 3; round += 1)
      expect((await auditObstacle(file, 0))?.message).toMatch(new RegExp(`in use: process ${process.pid} on `));
    expect((await lockForWriting(file)).heldBy).toContain(`process ${process.pid}`);
    expect(state()).toEqual(before);
    release?.();
    expect(await auditObstacle(file, 0)).toBeUndefined();
    const next = await lockForWriting(file);
    expect(next.release).toBeDefined();
    next.release?.();
  });
});
