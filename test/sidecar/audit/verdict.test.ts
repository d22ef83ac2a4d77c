/** What `audit verify` says: in order or broken, and what it could not check. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { GENESIS, type Head, link } from '../../../src/sidecar/audit/hash-chain.ts';
import { auditVerdict } from '../../../src/sidecar/audit/verdict.ts';
import { run } from '../../support/cli.ts';
import { createFolder } from '../../support/folder.ts';

/** Lines of a chain with these facts, and the hash of each. */
function chain(facts: readonly Record<string, string | number>[]) {
  let head: Head = GENESIS;
  return facts.map((one) => {
    const linked = link(head, { at: '2026-01-02T03:04:05.000Z', ...one });
    head = linked.head;
    return { line: `${linked.line}\n`, hash: head.hash };
  });
}

const call = (event: string, more: object = {}) => ({ event, requestId: 'r', method: 'POST', path: '/pay', ...more });

function setUp(facts: readonly Record<string, string | number>[]) {
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const lines = chain(facts);
  const write = (name: string, from: number, to?: number) => {
    const text = lines
      .slice(from, to)
      .map(({ line }) => line)
      .join('');
    return folder.write(name, name.endsWith('.gz') ? gzipSync(text) : text);
  };
  return { file: join(folder.path, 'audit.jsonl'), write, hash: (at: number) => lines.at(at)?.hash };
}

const SIX = Array.from({ length: 6 }, () => call('request'));

describe('src/sidecar/audit/verdict', () => {
  it('says that the end is not proven without a hash, and until where it is with one', async () => {
    const { file, write, hash } = setUp([...SIX, { event: 'closed' }]);
    write('audit.jsonl', 0);
    const without = await auditVerdict([file], undefined);
    expect([without.exit, without.text]).toEqual([
      0,
      expect.stringMatching(/^ok: 7 .*\n.*\n.*end is not proven.*pass --head\n$/),
    ]);
    const earlier = await auditVerdict([file], hash(3));
    expect([earlier.exit, earlier.text]).toEqual([0, expect.stringMatching(/end is proven up to number 4/)]);
    expect(earlier.data).toMatchObject({ provenSeq: 4 });
    expect(await auditVerdict([file], hash(-1))).toMatchObject({ exit: 0, data: { unchecked: [] } });
  });

  it('is broken when lines at the end are missing that the hash proves', async () => {
    const { file, write, hash } = setUp(SIX);
    write('audit.jsonl', 0, 4);
    expect(await auditVerdict([file], hash(5))).toMatchObject({ exit: 11, data: { problem: 'another head' } });
    expect((await auditVerdict([file], undefined)).text).toContain('pass --head');
  });

  it('says that lines before the first may be missing', async () => {
    const { file, write } = setUp(SIX);
    write('audit.jsonl', 1);
    const { exit, text, data } = await auditVerdict([file], undefined);
    expect([exit, text]).toEqual([0, expect.stringContaining('it begins at number 2: pass the earlier files, too')]);
    expect(data).toMatchObject({ result: 'ok', firstSeq: 2 });
  });

  it.each([
    ['of ours', ['audit.jsonl.000000000002', 'audit.jsonl.000000000004']],
    ['of logrotate', ['audit.jsonl.2', 'audit.jsonl.1']],
    ['of logrotate, by date and compressed', ['audit.jsonl-20260101.gz', 'audit.jsonl-20260102']],
  ])('takes in the files set aside, %s, and the one in use need not be there', async (_whose, [one = '', two = '']) => {
    const { file, write } = setUp(SIX);
    write(one, 0, 2);
    write(two, 2, 4);
    expect(await auditVerdict([file], undefined)).toMatchObject({ exit: 0, data: { lines: 4, firstSeq: 1 } });
    write('audit.jsonl', 4);
    expect(await auditVerdict([file], undefined)).toMatchObject({ exit: 0, data: { lines: 6, firstSeq: 1 } });
  });

  it('takes several files in the order of their lines, however they are given, and finds a gap between them', async () => {
    const { write } = setUp(SIX);
    const [a, b, c] = [write('a', 0, 2), write('b.gz', 2, 4), write('c', 4)];
    const empty = write('empty', 6);
    expect(await auditVerdict([c, a, empty, b, a], undefined)).toMatchObject({
      exit: 0,
      data: { lines: 6, firstSeq: 1 },
    });
    expect(await auditVerdict([c, a], undefined)).toMatchObject({ exit: 11, data: { file: c, line: 1 } });
  });

  it('names the file that is none of a log, and the one that cannot be unpacked', async () => {
    const { file, write } = setUp(SIX);
    const a = write('audit.jsonl', 0);
    writeFileSync(`${file}.1`, 'something else\n');
    expect(await auditVerdict([file], undefined)).toMatchObject({ exit: 11, data: { file: `${file}.1`, line: 1 } });
    writeFileSync(`${file}.2.gz`, readFileSync(a));
    expect(await auditVerdict([a, `${file}.2.gz`], undefined)).toMatchObject({ exit: 2 });
    expect(await auditVerdict([`${file}.none`], undefined)).toMatchObject({ exit: 2, data: { errno: 'ENOENT' } });
  });

  it('ends with a file that has no lines, however long it is, and waits for no pipe', async () => {
    const { file, write } = setUp(SIX);
    write('audit.jsonl', 0);
    execFileSync('mkfifo', [`${file}.9`]);
    expect(await auditVerdict([file], undefined)).toMatchObject({ exit: 0, data: { lines: 6 } });
    writeFileSync(`${file}.1`, 'x'.repeat(50_000_000));
    expect(await auditVerdict([file], undefined)).toMatchObject({ exit: 11, data: { file: `${file}.1`, line: 1 } });
  });

  it('counts intents that have no outcome as unknown, and names them', async () => {
    const { file, write } = setUp([
      call('intent', { requestId: 'paid' }),
      call('intent', { requestId: 'who knows' }),
      call('request', { requestId: 'paid', intent: 1, status: 200 }),
      call('broken', { requestId: 'paid', intent: 1 }),
      { event: 'opened' },
    ]);
    write('audit.jsonl', 0);
    const { exit, text, data } = await auditVerdict([file], undefined);
    expect([exit, text]).toEqual([
      0,
      expect.stringMatching(/1 calls, outcome unknown.*\n.*number 2, .* POST \/pay, request who knows\n/),
    ]);
    expect(data).toMatchObject({ unknownCount: 1, unknown: [{ seq: 2, requestId: 'who knows' }] });
  });

  it('is printed by the command, which takes one file or several', async () => {
    const { write } = setUp(SIX);
    const [a, b] = [write('a', 0, 2), write('b', 2)];
    const { code, stdout } = await run(['audit', 'verify', b, a]);
    expect([code, stdout]).toEqual([0, expect.stringContaining('"lines":6')]);
    expect((await run(['audit', 'verify'])).code).toBe(2);
  });
});
