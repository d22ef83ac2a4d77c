/** Kills and full disks with the program itself: every call that was responded to has its line, on disk before the response. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Agent } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { auditVerdict } from '../../src/sidecar/audit/verdict.ts';
import { createFolder } from '../support/folder.ts';
import { startSidecarProcess } from '../support/sidecar-process.ts';
import { startTokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';

const KILLS = 12;
const CALLERS = 32;

async function startWorld() {
  const received = new Set<string>();
  const api = createServer((req, res) => {
    received.add(String(req.headers['x-request-id']));
    req.resume().on('end', () => res.end('{}'));
  }).listen(0, '127.0.0.1');
  await once(api, 'listening');
  const tokens = await startTokenServer();
  const folder = createFolder();
  onTestFinished(async () => {
    api.close().closeAllConnections();
    await tokens.close();
    folder[Symbol.dispose]();
  });
  const upstream = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
  const startSidecar = async (audit: object) => {
    const sidecar = await startSidecarProcess({ upstream, tokenEndpoint: tokens.url, config: { audit } });
    onTestFinished(() => sidecar[Symbol.asyncDispose]());
    return sidecar;
  };
  return { received, folder: folder.path, startSidecar };
}

/** Pays until nobody responds; the ids of all that got a 200. */
async function payUntilItDies(port: number, round: number): Promise<string[]> {
  const agent = new Agent({ connections: CALLERS });
  const paid: string[] = [];
  let count = 0;
  const payer = async () => {
    for (;;) {
      const id = `pay-${round}-${++count}`;
      const { statusCode, body } = await agent.request({
        ...{ origin: `http://127.0.0.1:${port}`, path: '/api/pay', method: 'POST', body: 'x' },
        headers: { 'X-Request-Id': id },
      });
      if (statusCode === 200) paid.push(id);
      await body.dump();
    }
  };
  await Promise.allSettled(Array.from({ length: CALLERS }, payer));
  await agent.destroy();
  return paid;
}

const rows = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe.skipIf(process.platform === 'win32')('the audit log and SIGKILL', () => {
  async function paidAndKilled(fsync: 'always' | 'second') {
    const { received, folder, startSidecar } = await startWorld();
    const file = join(folder, 'audit.jsonl');
    const paid: string[] = [];
    for (let round = 0; round < KILLS; round += 1) {
      const sidecar = await startSidecar({ file, fsync });
      const before = received.size;
      const paying = payUntilItDies(sidecar.port, round);
      await until('it is under load', () => received.size > before + 300 + 37 * round);
      process.kill(sidecar.pid, 'SIGKILL');
      paid.push(...(await paying));
    }
    // Its start repairs what the last kill left.
    await (await startSidecar({ file, fsync })).stop();
    const told = rows(file);
    const withLine = new Set(told.filter(({ event }) => event === 'request').map(({ requestId }) => requestId));
    const intended = new Set(told.filter(({ event }) => event === 'intent').map(({ requestId }) => requestId));
    return { file, received, paid, withLine, intended };
  }

  it('has a line for every call that got a response, and for every call that the API got, with fsync: always', async () => {
    const { file, received, paid, withLine, intended } = await paidAndKilled('always');
    expect(paid.length).toBeGreaterThan(KILLS * 100);
    expect(paid.filter((id) => !withLine.has(id))).toEqual([]);
    expect([...received].filter((id) => !intended.has(id))).toEqual([]);
    const { exit, data } = await auditVerdict([file], undefined);
    expect([exit, data['unknownCount']]).toEqual([0, intended.size - withLine.size]);
    process.stdout.write(`${paid.length} paid, ${received.size} received, ${data['unknownCount']} unknown\n`);
  });

  it('lacks lines with fsync: second, where calls do not wait for them', async () => {
    const { paid, withLine } = await paidAndKilled('second');
    const missing = paid.filter((id) => !withLine.has(id));
    process.stdout.write(`${missing.length} of ${paid.length} paid calls have no line\n`);
    expect(missing.length).toBeGreaterThan(0);
  });
});

/** Which of these a test may do here: only root can mount. */
const mayMount = process.platform === 'linux' && spawnSync('unshare', ['--mount', 'true']).status === 0;

describe.skipIf(!mayMount && process.env['CI'] === undefined)('the audit log on a small disk', () => {
  async function onSmallDisk(audit: object) {
    const { folder, received, startSidecar } = await startWorld();
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=700', 'audit-test', disk]).status).toBe(0);
    onTestFinished(() => void spawnSync('umount', ['--lazy', disk]));
    const sidecar = await startSidecar({ file: join(disk, 'audit.jsonl'), ...audit });
    return { disk, file: join(disk, 'audit.jsonl'), received, sidecar };
  }

  const pay = async (port: number) =>
    (await fetch(`http://127.0.0.1:${port}/api/pay`, { method: 'POST', body: 'x' })).status;

  it.each([
    ['refuse', 'always', 503],
    ['refuse', 'second', 503],
    ['report', 'always', 200],
    ['report', 'second', 200],
  ])(
    'when it is full, with whenFailing: %s and fsync: %s, responds %i, and loses no line',
    async (whenFailing, fsync, status) => {
      const { disk, file, received, sidecar } = await onSmallDisk({ whenFailing, fsync });
      const failing = () => sidecar.metric('aritma_sidecar_audit_failing');
      // Nearly all of it, so that a line does not fit whole.
      writeFileSync(join(disk, 'filler'), Buffer.alloc(52 * 1024));
      let calls = 0;
      for (; (await failing()) === 0 && calls < 1000; calls += 1) await pay(sidecar.port);
      expect(await failing()).toBe(1);
      const before = received.size;
      expect(await pay(sidecar.port)).toBe(status);
      expect(received.size - before).toBe(status === 200 ? 1 : 0);
      spawnSync('rm', [join(disk, 'filler')]);
      await until('it is written again', async () => (await failing()) === 0);
      expect(await pay(sidecar.port)).toBe(200);
      expect((await sidecar.stop()).code).toBe(0);
      const withLine = new Set(
        rows(file)
          .filter(({ event }) => event === 'request')
          .map(({ requestId }) => requestId),
      );
      expect([...received].filter((id) => !withLine.has(id))).toEqual([]);
      expect(await auditVerdict([file], undefined)).toMatchObject({ exit: 0, data: { closed: true, unknownCount: 0 } });
    },
  );

  it.each([
    ['refuse', 503],
    ['report', 200],
  ])('when it can no more be written to, with whenFailing: %s, responds %i', async (whenFailing, status) => {
    const { disk, sidecar } = await onSmallDisk({ whenFailing });
    expect(await pay(sidecar.port)).toBe(200);
    // A read-only view above it: what the path means from now on.
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'ro,size=64k', 'audit-test', disk]);
    onTestFinished(() => void spawnSync('umount', ['--lazy', disk]));
    await pay(sidecar.port);
    await until('it fails', async () => (await sidecar.metric('aritma_sidecar_audit_failing')) === 1);
    expect(await pay(sidecar.port)).toBe(status);
    spawnSync('umount', [disk]);
    await until('it is written again', async () => (await sidecar.metric('aritma_sidecar_audit_failing')) === 0);
    expect(await pay(sidecar.port)).toBe(200);
    expect((await sidecar.stop()).code).toBe(0);
    expect(await auditVerdict([join(disk, 'audit.jsonl')], undefined)).toMatchObject({
      exit: 0,
      data: { firstSeq: 1 },
    });
  });
});
