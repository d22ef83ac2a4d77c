/** A day of logrotate in a minute, under load: whatever it does with the audit log, every payment is there once. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Agent } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { auditVerdict } from '../../src/sidecar/audit/verdict.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { startSidecarProcess } from '../support/sidecar-process.ts';
import { startTokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';

const installed = spawnSync('logrotate', ['--version']).status === 0;
/** A move a minute, for a day. */
const DAY = 1440;
const CALLERS = 8;
/** A thousand programs have to be started, on a machine however slow. */
const LIMIT_MS = 900_000;

async function setUp(audit: object = {}) {
  const folder = createFolder();
  const file = join(folder.path, 'audit.jsonl');
  const api = createServer((req, res) => req.resume().on('end', () => res.end('{}'))).listen(0, '127.0.0.1');
  await once(api, 'listening');
  const tokens = await startTokenServer();
  const sidecar = await startSidecarProcess({
    upstream: `http://127.0.0.1:${(api.address() as AddressInfo).port}`,
    tokenEndpoint: tokens.url,
    config: { audit: { file, whenFailing: 'refuse', ...audit } },
  });
  onTestFinished(async () => {
    await sidecar[Symbol.asyncDispose]();
    api.close().closeAllConnections();
    await tokens.close();
    folder[Symbol.dispose]();
  });
  return { folder, file, sidecar };
}

/** Pays until it is stopped; the ids of what was paid, and the statuses of what was not. */
function payAllTheTime(port: number) {
  const agent = new Agent({ connections: CALLERS });
  const paid: string[] = [];
  const others: number[] = [];
  let running = true;
  let count = 0;
  const payer = async () => {
    while (running) {
      const id = `pay-${++count}`;
      const { statusCode, body } = await agent.request({
        ...{ origin: `http://127.0.0.1:${port}`, path: '/api/pay', method: 'POST', body: '{"amount":1}' },
        headers: { 'X-Request-Id': id },
      });
      await body.dump();
      if (statusCode === 200) paid.push(id);
      else others.push(statusCode);
    }
  };
  const payers = Array.from({ length: CALLERS }, payer);
  return async () => {
    running = false;
    await Promise.all(payers);
    await agent.close();
    return { paid, others };
  };
}

async function rotate(folder: Folder, rules: string): Promise<string> {
  const conf = folder.write('logrotate.conf', `"${folder.path}/audit.jsonl" {\n  rotate 5000\n  ${rules}\n}\n`, 0o644);
  const child: ChildProcess = spawn('logrotate', ['-f', '-s', join(folder.path, 'state'), conf]);
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  await once(child, 'close');
  return said;
}

/** Over all files of the log. */
function requestIds(folder: Folder): string[] {
  return readdirSync(folder.path)
    .filter((name) => name.startsWith('audit.jsonl'))
    .flatMap((name) => readFileSync(join(folder.path, name), 'utf8').split('\n'))
    .filter((line) => line.includes('"event":"request"'))
    .map((line) => String((JSON.parse(line) as { requestId: unknown }).requestId));
}

describe.skipIf(!installed && process.env['CI'] === undefined)('the audit log and logrotate', () => {
  it.each([
    ['create', 'create 0600', DAY],
    ['nocreate, and SIGHUP', 'nocreate\n  postrotate\n    kill -HUP PID\n  endscript', 200],
  ])(
    'has every payment once after it was moved all the time, with %s',
    async (_how, rules, moves) => {
      const { folder, file, sidecar } = await setUp();
      const stop = payAllTheTime(sidecar.port);
      for (let move = 0; move < moves; move += 1) {
        expect(await rotate(folder, rules.replace('PID', String(sidecar.pid)))).toBe('');
        await until('the log is in use again', () => sizeOf(file) > 0);
      }
      const { paid, others } = await stop();
      expect((await sidecar.stop()).code).toBe(0);
      const ids = requestIds(folder);
      process.stdout.write(`${moves} moves, ${paid.length} payments, ${readdirSync(folder.path).length} files\n`);
      expect(others).toEqual([]);
      expect(ids.length).toBe(new Set(ids).size);
      expect([...ids].sort()).toEqual([...paid].sort());
      expect(await auditVerdict([file], undefined)).toMatchObject({ exit: 0, data: { firstSeq: 1, closed: true } });
    },
    LIMIT_MS,
  );

  it('has every payment once after it was copied and truncated while nobody paid', async () => {
    const { folder, file, sidecar } = await setUp();
    const paid: string[] = [];
    for (let move = 0; move < 10; move += 1) {
      const payment = await payAllTheTime(sidecar.port)();
      paid.push(...payment.paid);
      await until('they are on disk', () => requestIds(folder).length === paid.length);
      expect(await rotate(folder, 'copytruncate')).toBe('');
    }
    expect((await sidecar.stop()).code).toBe(0);
    expect(requestIds(folder)).toHaveLength(paid.length);
    expect(await auditVerdict([file], undefined)).toMatchObject({ exit: 0, data: { firstSeq: 1, closed: true } });
  });

  it('is not called whole when lines were lost between copying and truncating', async () => {
    const { folder, file, sidecar } = await setUp();
    const stop = payAllTheTime(sidecar.port);
    for (let move = 0; move < 20; move += 1) expect(await rotate(folder, 'copytruncate')).toBe('');
    const { paid, others } = await stop();
    expect((await sidecar.stop()).code).toBe(0);
    const lost = paid.length - requestIds(folder).length;
    process.stdout.write(`copytruncate under load: ${lost} of ${paid.length} lines lost\n`);
    const { exit } = await auditVerdict([file], undefined);
    expect([others, lost > 0 && exit === 0]).toEqual([[], false]);
  });
});

const sizeOf = (file: string) => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
