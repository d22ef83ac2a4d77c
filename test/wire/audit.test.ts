/** Calls that may change something leave a proof; the proof is checked by the command that operators have. */
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { auditVerdict } from '../../src/sidecar/audit/verdict.ts';
import { createDeadline } from '../support/deadline.ts';
import { createFolder } from '../support/folder.ts';
import { untilQuiet } from '../support/own-time.ts';
import { createProxyWorld, type ProxyWorld, type ProxyWorldOptions } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { until } from '../support/until.ts';

async function auditWorld(audit: object = {}, options: ProxyWorldOptions = {}) {
  const folder = createFolder();
  const file = join(folder.path, 'audit.jsonl');
  const world = await createProxyWorld({ ...options, config: { ...options.config, audit: { file, ...audit } } });
  let ended = false;
  const end = async () => {
    if (!ended) await world[Symbol.asyncDispose]();
    ended = true;
  };
  onTestFinished(async () => {
    await end();
    folder[Symbol.dispose]();
  });
  const entries = () =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { world, file, entries, end };
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const LARGE = 'x'.repeat(300_000);

describe('the audit log', () => {
  it('has one line for every call that may change something, with the hash of its body, and none for the others', async () => {
    const { world, file, entries, end } = await auditWorld();
    const call = (line: string, rest: string) => world.call(line, rest);
    await call('GET /api/x?secret=1 HTTP/1.1', '\r\n');
    await call('POST /api/pay?account=1 HTTP/1.1', 'X-Request-Id: pay-1\r\nContent-Length: 2\r\n\r\nhi');
    await call('PUT /api/large HTTP/1.1', `Content-Length: ${LARGE.length}\r\n\r\n${LARGE}`);
    await call('DELETE /api/x HTTP/1.1', 'Transfer-Encoding: chunked\r\n\r\n3\r\nbye\r\n0\r\n\r\n');
    await call('POST /nowhere HTTP/1.1', 'Content-Length: 0\r\n\r\n');
    await end();
    const told = entries().filter(({ event }) => event === 'request');
    expect(told).toMatchObject([
      {
        requestId: 'pay-1',
        caller: 'anyone',
        route: '/api',
        method: 'POST',
        path: '/api/pay',
        status: 200,
        sha256: sha256('hi'),
      },
      { method: 'PUT', path: '/api/large', bodyComplete: true, sha256: sha256(LARGE) },
      { method: 'DELETE', sha256: sha256('bye') },
    ]);
    expect(readFileSync(file, 'utf8')).not.toMatch(/secret|account=|token-1/);
    expect(await auditVerdict([file], undefined)).toMatchObject({
      exit: 0,
      data: { result: 'ok', lines: 5, closed: true },
    });
  });

  it('says of a call that broke whether it may have been executed', async () => {
    const { world, entries, end } = await auditWorld(
      {},
      { answer: ({ socket }) => void socket.destroy() as undefined },
    );
    await world.call('POST /api/pay HTTP/1.1', 'Content-Length: 2\r\n\r\nhi');
    await end();
    expect(entries().find(({ event }) => event === 'request')).toMatchObject({
      status: 502,
      code: 'UPSTREAM_RESET',
      mayHaveExecuted: true,
    });
  });

  it('is named on /status with its head, which verify can be given', async () => {
    const { world, file, end } = await auditWorld();
    await world.call('POST /api/pay HTTP/1.1', 'Content-Length: 2\r\n\r\nhi');
    await end();
    const { data } = await auditVerdict([file], undefined);
    expect((await auditVerdict([file], String(data['hash']))).exit).toBe(0);
    expect(await auditVerdict([file], 'f'.repeat(64))).toMatchObject({ exit: 11, data: { result: 'broken' } });
    expect((await auditVerdict([`${file}.none`], undefined)).exit).toBe(2);
  });

  it.each([
    ['refuse', 503, 'SIDECAR_AUDIT_FAILED', 0],
    ['report', 200, undefined, 1],
  ])('while it cannot be written, %s: a payment gets %i', async (whenFailing, status, code, reached) => {
    const { world, file } = await auditWorld({ whenFailing });
    renameSync(file, `${file}.1`);
    mkdirSync(file);
    expect((await pay(world)).status).toBe(200);
    await until('it is told', () => metric(world, 'audit_failing 1'));
    const answer = await pay(world);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([status, code]);
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(200);
    expect(world.upstream.requests).toHaveLength(reached + 2);
    expect(world.sidecar.logs).toContainEqual(
      expect.objectContaining({
        level: 'error',
        message: 'the audit log cannot be written',
        errno: 'NOT_OURS',
      }),
    );
    rmdirSync(file);
    await until('it is written again', () => metric(world, 'audit_failing 0'));
    expect((await pay(world)).status).toBe(200);
  });

  it('does not let a call go on that was out of time while its line was on the way to the disk', async () => {
    using deadline = createDeadline();
    const config = { timeouts: { total: `${deadline.ms}ms` } };
    const { world, entries, end } = await auditWorld({ fsync: 'always' }, { config });
    using caller = await world.open();
    caller.send(`POST /api/pay HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nh`);
    await until('it is about to be sent', () => entries().some(({ event }) => event === 'intent'));
    const release = await holdDisk();
    deadline.pass();
    await untilQuiet();
    caller.send('i');
    await untilQuiet();
    release();
    const answer = await caller.answer();
    expect([answer.status, answer.json()['mayHaveExecuted']]).toEqual([504, false]);
    expect(world.upstream.requests).toHaveLength(0);
    await end();
    expect(entries().find(({ event }) => event === 'request')).toMatchObject({ status: 504, mayHaveExecuted: false });
  });

  it('loses no call when its file is removed or moved, and looks for it on SIGHUP', async () => {
    const { world, file, end } = await auditWorld({ whenFailing: 'refuse' });
    await pay(world);
    await until('it has a line', () => readFileSync(file, 'utf8').includes('"event":"request"'));
    renameSync(file, `${file}.1`);
    for (let call = 0; call < 12; call += 1) expect((await pay(world)).status).toBe(200);
    await until(
      'they are there',
      () => existsSync(file) && readFileSync(file, 'utf8').split('"event":"request"').length === 13,
    );
    renameSync(file, `${file}.2`);
    world.sidecar.reload();
    await until(
      'a new file is there',
      () => existsSync(file) && readFileSync(file, 'utf8').includes('"reason":"moved"'),
    );
    await end();
    expect(await auditVerdict([file], undefined)).toMatchObject({
      exit: 0,
      data: { lines: 17, firstSeq: 1, closed: true },
    });
    expect(
      world.sidecar.logs.filter(({ message }) => message === 'the audit log continues in a new file'),
    ).toHaveLength(2);
  });

  it.each<[string, (file: string) => void, RegExp]>([
    ['another sidecar has', () => undefined, /is in use: process \d+ on \S+ since \S+ writes it/],
    ['a secret stands in', (file) => writeFileSync(`${file}.other`, 'not-a-real-secret'), /is not an audit log/],
  ])('does not start on a file that %s, and says so', async (_what, put, message) => {
    const { file } = await auditWorld();
    await expect.poll(() => readFileSync(file, 'utf8')).not.toBe('');
    put(file);
    const other = existsSync(`${file}.other`) ? `${file}.other` : file;
    const before = readFileSync(other, 'utf8');
    const starting = createProxyWorld({ config: { audit: { file: other } } });
    await expect(starting).rejects.toMatchObject({
      code: 'SIDECAR_AUDIT_FAILED',
      extras: { problems: [{ where: `audit ${other}`, message: expect.stringMatching(message) }] },
    });
    expect(readFileSync(other, 'utf8')).toBe(before);
  });

  it.skipIf(process.platform === 'win32')('warns of a folder that everybody can write', async () => {
    const folder = createFolder();
    onTestFinished(() => folder[Symbol.dispose]());
    chmodSync(folder.path, 0o777);
    const { world } = await auditWorld({ file: join(folder.path, 'audit.jsonl') });
    expect(world.sidecar.logs).toContainEqual(
      expect.objectContaining({ level: 'warn', problem: expect.stringMatching(/folder that everybody/) }),
    );
  });
});

describe('the audit log with fsync: always', () => {
  const always = async (options: ProxyWorldOptions = {}) => {
    const audited = await auditWorld({ fsync: 'always', whenFailing: 'refuse' }, options);
    // Written in the background.
    await until('it is opened', () => audited.entries().length > 0);
    return audited;
  };

  it('has an intent before the API gets the request, and the outcome before the caller gets the response', async () => {
    const seen: Record<string, unknown>[][] = [];
    const { world, entries, end, file } = await always({
      answer: () => {
        seen.push(entries());
        return ok('fine');
      },
    });
    using caller = await world.open();
    for (const body of ['hi', LARGE]) {
      caller.send(`POST /api/pay HTTP/1.1\r\n${world.host}Content-Length: ${body.length}\r\n\r\n${body}`);
      expect((await caller.answer()).body.toString()).toBe('fine');
      const [intent, outcome] = entries().slice(-2);
      expect(seen.at(-1)?.at(-1)).toEqual(intent);
      expect(intent).toMatchObject({ event: 'intent', method: 'POST', path: '/api/pay', caller: 'anyone' });
      expect(outcome).toMatchObject({ event: 'request', status: 200, intent: intent?.['seq'], sha256: sha256(body) });
    }
    await end();
    expect(await auditVerdict([file], undefined)).toMatchObject({ data: { unknownCount: 0, lines: 6, closed: true } });
  });

  it.each([
    ['has no content', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
    ['is long', ok('y'.repeat(500_000)), 'y'.repeat(500_000)],
    ['ends with its connection', `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${LARGE}`, LARGE],
    ['is chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n', 'abc'],
    ['is a refusal', 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno', 'no'],
  ])('delivers a response that %s whole, after its line', async (_what, response, content) => {
    const { world, entries } = await always({
      answer: ({ socket }) =>
        void (response.includes('close') ? socket.end(response) : socket.write(response)) as undefined,
    });
    const got = await pay(world);
    expect([got.status, got.body.toString()]).toEqual([Number(response.slice(9, 12)), content]);
    expect(entries().at(-1)).toMatchObject({ event: 'request', status: got.status });
  });

  it('says of a response that broke off after its line that it did', async () => {
    const { world, entries, end } = await always({
      answer: ({ socket }) => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc', () => socket.resetAndDestroy());
        return undefined;
      },
    });
    using caller = await world.open();
    caller.send(`POST /api/pay HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nhi`);
    await caller.answer().catch(() => undefined);
    await end();
    const told = entries().filter(({ requestId }) => requestId !== undefined);
    expect(told.map(({ event, status, code }) => [event, status, code])).toEqual([
      ['intent', undefined, undefined],
      ['request', 200, undefined],
      ['broken', 502, 'UPSTREAM_RESET'],
    ]);
  });

  it('concludes a call that got no response, before the caller is told', async () => {
    const { world, entries } = await always({ answer: ({ socket }) => void socket.destroy() as undefined });
    expect((await pay(world)).status).toBe(502);
    expect(entries().slice(-2)).toMatchObject([
      { event: 'intent' },
      { event: 'request', status: 502, code: 'UPSTREAM_RESET' },
    ]);
  });

  it('sends nothing whose intent cannot be written, where calls are refused then', async () => {
    const { world, file, entries } = await always();
    renameSync(file, `${file}.1`);
    mkdirSync(file);
    const refused = await pay(world);
    expect([refused.status, refused.header('x-sidecar-error')]).toEqual([503, 'SIDECAR_AUDIT_FAILED']);
    expect(world.upstream.requests).toHaveLength(0);
    rmdirSync(file);
    await until('it is written again', () => metric(world, 'audit_failing 0'));
    expect((await pay(world)).status).toBe(200);
    expect(entries()).toMatchObject([
      { event: 'reopened' },
      { event: 'intent' },
      { event: 'request', status: 503, code: 'SIDECAR_AUDIT_FAILED' },
      { event: 'intent' },
      { event: 'request', status: 200 },
    ]);
  });

  it('leaves calls that change nothing alone', async () => {
    const { world, entries } = await always();
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(200);
    expect(entries().map(({ event }) => event)).toEqual(['opened']);
  });
});

const pay = (world: ProxyWorld) => world.call('POST /api/pay HTTP/1.1', 'Content-Length: 2\r\n\r\nhi');

/** Nothing gets to the disk until what comes back is called. */
async function holdDisk(): Promise<() => void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  await using any = await open(import.meta.filename);
  const handles = Object.getPrototypeOf(any) as FileHandle;
  const { sync } = handles;
  const held = vi.spyOn(handles, 'sync').mockImplementation(async function (this: FileHandle) {
    await promise;
    await sync.call(this);
  });
  onTestFinished(() => held.mockRestore());
  return resolve;
}

async function metric(world: ProxyWorld, line: string): Promise<boolean> {
  // A whole line: what the metric means is written out in a line of its own.
  return (await (await fetch(`${world.sidecar.adminUrl}/metrics`)).text()).includes(`\naritma_sidecar_${line}\n`);
}
