// No file descriptor left, at the start or later: the process lives, says honestly what happened, answers its probes,
// and is as before when there are some again.
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { type Caller, openCaller } from '../support/caller.ts';
import { descriptorsOf, nextDescriptorOf, openFlood } from '../support/flood.ts';
import { withinOwn } from '../support/own-time.ts';
import { ok } from '../support/raw.ts';
import { type SidecarProcess, startSidecarProcess } from '../support/sidecar-process.ts';
import { startTokenServer } from '../support/token-server.ts';
import { type Answerer, startUpstream } from '../support/upstream.ts';

/** For a user a missing tool is none of our business; where CI runs, it has to be there. */
const isMissing = !process.env['CI'] && spawnSync('prlimit', ['--version']).status !== 0;

async function createWorld(answer: Answerer, launcher: readonly string[] = []) {
  const upstream = await startUpstream(answer);
  const tokens = await startTokenServer();
  const sidecar = await startSidecarProcess({ upstream: upstream.url, tokenEndpoint: tokens.url, launcher });
  return {
    upstream,
    sidecar,
    async [Symbol.asyncDispose]() {
      await sidecar[Symbol.asyncDispose]();
      await tokens.close();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

const get = ({ port }: SidecarProcess) => `GET /api/x HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`;
const probe = ({ adminUrl }: SidecarProcess) =>
  `GET /livez HTTP/1.1\r\nHost: ${adminUrl.slice('http://'.length)}\r\n\r\n`;
const livez = async ({ adminUrl }: SidecarProcess) => (await fetch(`${adminUrl}/livez`)).status;

async function ask(caller: Caller, request: string) {
  caller.send(request);
  return await caller.answer();
}

describe.skipIf(isMissing)('a sidecar under prlimit', () => {
  it('with 64 descriptors survives 1000 connections, is always live, and recovers', async () => {
    await using world = await createWorld(() => undefined, ['prlimit', '--nofile=64:64']);
    const { sidecar, upstream } = world;
    const before = descriptorsOf(sidecar.pid);
    {
      using flood = await openFlood(sidecar.port, 1000);
      for (const caller of flood.callers) if (!caller.socket.destroyed) caller.send(get(sidecar));
      expect(await livez(sidecar)).toBe(200);
      const refused = () => flood.callers.filter(({ received }) => received.includes('SIDECAR_OVERLOADED')).length;
      await withinOwn(5000, () => expect.poll(() => flood.open() - upstream.requests.length).toBe(0));
      expect(refused()).toBeGreaterThan(900);
      expect(upstream.requests.length).toBeGreaterThan(0);
      expect(descriptorsOf(sidecar.pid)).toBeLessThan(64);
      expect(await livez(sidecar)).toBe(200);
    }
    await withinOwn(5000, () => expect.poll(() => descriptorsOf(sidecar.pid)).toBeLessThanOrEqual(before + 2));
    using caller = await openCaller(sidecar.port);
    caller.send(get(sidecar));
    await expect.poll(() => upstream.requests.length).toBeGreaterThan(1);
    expect(sidecar.isAlive()).toBe(true);
  });

  it('that loses its last descriptor while it runs says so, with mayHaveExecuted false, and recovers', async () => {
    await using world = await createWorld(() => ok('fine'));
    const { sidecar } = world;
    using caller = await openCaller(sidecar.port);
    using operator = await openCaller(Number(new URL(sidecar.adminUrl).port));
    expect((await ask(operator, probe(sidecar))).status).toBe(200);
    await expect.poll(async () => (await ask(caller, `GET /none HTTP/1.1\r\nHost: x\r\n\r\n`)).status).toBe(421);
    const limitTo = (soft: number) =>
      expect(spawnSync('prlimit', ['--pid', String(sidecar.pid), `--nofile=${soft}:`]).status).toBe(0);
    limitTo(nextDescriptorOf(sidecar.pid));
    // A few may get one that was in use for a moment; the others are accepted and closed at once.
    using flood = await openFlood(sidecar.port, 200);
    await withinOwn(5000, () => expect.poll(flood.open).toBeLessThan(30));
    const answer = await ask(caller, get(sidecar));
    expect(answer.status).toBe(502);
    expect(answer.json()).toMatchObject({ code: 'UPSTREAM_UNREACHABLE', mayHaveExecuted: false });
    expect((await ask(operator, probe(sidecar))).status).toBe(200);
    limitTo(1024);
    expect((await ask(caller, get(sidecar))).status).toBe(200);
    using late = await openCaller(sidecar.port);
    expect((await ask(late, get(sidecar))).body).toBe('fine');
    expect(await livez(sidecar)).toBe(200);
    expect(sidecar.isAlive()).toBe(true);
  });
});
