/** Calls that may change something leave a proof; the proof is checked by the command that operators have. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { auditVerdict } from '../../src/sidecar/audit/verdict.ts';
import { createFolder } from '../support/folder.ts';
import { createProxyWorld, type ProxyWorldOptions } from '../support/proxy-world.ts';

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
    expect(await auditVerdict(file, undefined)).toMatchObject({
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
    const { data } = await auditVerdict(file, undefined);
    expect((await auditVerdict(file, String(data['hash']))).exit).toBe(0);
    expect(await auditVerdict(file, 'f'.repeat(64))).toMatchObject({ exit: 11, data: { result: 'broken' } });
    expect((await auditVerdict(`${file}.none`, undefined)).exit).toBe(2);
  });

  it.skipIf(process.platform !== 'linux').each([
    ['refuse', 503, 'SIDECAR_AUDIT_FAILED', 0],
    ['report', 200, undefined, 1],
  ])('while its disk is full, %s: a payment gets %i', async (whenFailing, status, code, reached) => {
    const { world } = await auditWorld({ file: '/dev/full', whenFailing });
    const failing = async () =>
      (await (await fetch(`${world.sidecar.adminUrl}/metrics`)).text()).includes('audit_failing 1');
    await expect.poll(failing).toBe(true);
    const answer = await world.call('POST /api/pay HTTP/1.1', 'Content-Length: 2\r\n\r\nhi');
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([status, code]);
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(200);
    expect(world.upstream.requests).toHaveLength(reached + 1);
    expect(world.sidecar.logs).toContainEqual(
      expect.objectContaining({ level: 'error', message: 'the audit log cannot be written', errno: 'ENOSPC' }),
    );
  });
});
