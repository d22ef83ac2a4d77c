// Callers that drip their requests or do not read their answers: they are gone when their time is up, cost little
// memory meanwhile, and whoever behaves well hardly notices.
import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { descriptorsOf, openFlood, p99, timesOf } from '../support/flood.ts';
import { withinOwn } from '../support/own-time.ts';
import { residentBytes } from '../support/processes.ts';
import { ok } from '../support/raw.ts';
import { startSidecarProcess } from '../support/sidecar-process.ts';
import { startTokenServer } from '../support/token-server.ts';
import { untilStill } from '../support/until-still.ts';
import { startUpstream } from '../support/upstream.ts';

const MIB = 1024 * 1024;
const LARGE = Buffer.alloc(10 * MIB, 'x');
/** What other work of this machine may cost a caller, ms. */
const PATIENCE_MS = 250;
const CLIENT_HELLO = Buffer.from('160301010001000000fc0303', 'hex');

/** `/api/large` answers with 10 MiB, everything else with a word. */
async function createWorld(timeouts: Readonly<Record<string, string>>) {
  const upstream = await startUpstream(({ target, socket }) => {
    if (target !== '/large') return ok('fine');
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${LARGE.length}\r\n\r\n`);
    // The same memory for all of them.
    socket.write(LARGE);
    return undefined;
  });
  const tokens = await startTokenServer();
  const sidecar = await startSidecarProcess({
    upstream: upstream.url,
    tokenEndpoint: tokens.url,
    config: { timeouts },
  });
  const url = `http://127.0.0.1:${sidecar.port}`;
  const good = async () => expect(await (await fetch(`${url}/api/x`)).text()).toBe('fine');
  const unsent = () => upstream.sockets.reduce((sum, socket) => sum + socket.writableLength, 0);
  await timesOf(good, 200);
  return {
    sidecar,
    url,
    /** Resolves when nobody takes more of the answers: every buffer on the way is full. */
    untilStalled: () => untilStill(unsent),
    host: `Host: 127.0.0.1:${sidecar.port}\r\n`,
    /** p99 of a caller that behaves well, ms: the best of three rounds, because this machine has other work too. */
    async pace() {
      const rounds: number[] = [];
      for (let round = 0; round < 3; round += 1) rounds.push(p99(await timesOf(good, 100)));
      return Math.min(...rounds);
    },
    async [Symbol.asyncDispose]() {
      await sidecar[Symbol.asyncDispose]();
      await tokens.close();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

async function discard(url: string): Promise<void> {
  for await (const chunk of (await fetch(url)).body ?? []) void chunk;
}

describe.skipIf(!existsSync('/proc/self/fd'))('slow callers', () => {
  it('of every kind are gone when their time is up, while a good one is served as ever', async () => {
    await using world = await createWorld({ callerHeaders: '2s', idle: '1500ms' });
    const { sidecar, host } = world;
    const [port, before, quiet] = [sidecar.port, descriptorsOf(sidecar.pid), await world.pace()];
    using deaf = await openFlood(port, 100, { paused: true });
    for (const caller of deaf.callers) caller.send(`GET /api/large HTTP/1.1\r\n${host}\r\n`);
    await world.untilStalled();
    const startedAt = performance.now();
    using headers = await openFlood(port, 300);
    using bodies = await openFlood(port, 100);
    using silent = await openFlood(port, 50);
    using garbage = await openFlood(port, 50);
    for (const caller of headers.callers) caller.send(`GET /api/x HTTP/1.1\r\n${host}X-Slow: `);
    for (const caller of bodies.callers) caller.send(`POST /api/x HTTP/1.1\r\n${host}Content-Length: 60000\r\n\r\n`);
    for (const caller of garbage.callers) caller.send(CLIENT_HELLO);
    const drip = setInterval(() => {
      for (const { socket } of [...headers.callers, ...bodies.callers]) if (!socket.destroyed) socket.write('x');
    }, 100);
    expect(headers.open()).toBe(300);
    const busy = await world.pace();
    await expect.poll(() => garbage.open(), { timeout: 1000 }).toBe(0);
    const slow = () => headers.open() + bodies.open() + silent.open();
    await expect.poll(slow, { timeout: 12_000, interval: 20 }).toBe(0);
    clearInterval(drip);
    // Two seconds for the headers, at most two until Node looks; twice that, because this machine has other work too.
    expect(performance.now() - startedAt).toBeLessThan(12_000);
    await withinOwn(5000, () => expect.poll(() => descriptorsOf(sidecar.pid)).toBeLessThanOrEqual(before + 4));
    // Whoever is dripping when the connection is closed resets it, and with it may lose the answer.
    for (const { callers } of [headers, bodies]) {
      expect(callers.some(({ received }) => received.includes(' 408 '))).toBe(true);
    }
    // Browsers connect ahead of need: who has asked for nothing is told nothing.
    expect(silent.callers.every(({ received }) => received === '')).toBe(true);
    expect(garbage.callers.every(({ received }) => received.startsWith('HTTP/1.1 400 '))).toBe(true);
    expect(busy).toBeLessThan(2 * quiet + PATIENCE_MS);
  });

  it('that leave 200 answers of 10 MiB unread cost little memory and nobody else’s time', async () => {
    // So long that a busy machine does not make those that read look as if they did not.
    await using world = await createWorld({ idle: '6s' });
    const { sidecar, host } = world;
    // The same amount, read at once: what a busy process has of garbage and arenas is no matter of slow readers. It is
    // about as much again: a process that has done nothing before grows by some 100 MiB in all.
    for (let round = 0; round < 2; round += 1) {
      await Promise.all(Array.from({ length: 50 }, () => discard(`${world.url}/api/large`)));
    }
    const [before, memory, quiet] = [descriptorsOf(sidecar.pid), residentBytes(sidecar.pid) ?? 0, await world.pace()];
    const highest = { bytes: 0 };
    const watch = setInterval(() => {
      highest.bytes = Math.max(highest.bytes, residentBytes(sidecar.pid) ?? 0);
    }, 20);
    using deaf = await openFlood(sidecar.port, 180, { paused: true });
    using slow = await openFlood(sidecar.port, 20, { paused: true });
    for (const caller of [...slow.callers, ...deaf.callers]) caller.send(`GET /api/large HTTP/1.1\r\n${host}\r\n`);
    let sipping = true;
    const received = slow.callers.map(({ socket }) => {
      const count = { bytes: 0 };
      socket.on('data', (chunk) => {
        count.bytes += chunk.length;
        if (sipping) socket.pause();
      });
      return count;
    });
    await world.untilStalled();
    const sip = setInterval(() => {
      for (const { socket } of slow.callers) socket.resume();
    }, 20);
    const busy = await world.pace();
    // What is slow has lasted longer than anybody may stand still; now it may be over.
    await expect.poll(() => sidecar.metric('aritma_sidecar_requests_in_flight')).toBeLessThanOrEqual(20);
    sipping = false;
    // Whoever reads, however slowly, gets all of it; the others are cut off.
    await expect.poll(() => received.every(({ bytes }) => bytes > LARGE.length)).toBe(true);
    // The last of those that stand still may have begun to when the first were already cut off.
    await expect.poll(() => sidecar.metric('aritma_sidecar_requests_in_flight')).toBe(0);
    clearInterval(watch);
    clearInterval(sip);
    for (const { socket } of slow.callers) socket.destroy();
    // A connection to the API is kept for every answer that was read to its end.
    await withinOwn(5000, () => expect.poll(() => descriptorsOf(sidecar.pid)).toBeLessThanOrEqual(before + 60));
    // Held in memory, they would be 2 GiB.
    expect(highest.bytes - memory).toBeLessThan(256 * MIB);
    expect(busy).toBeLessThan(2 * quiet + PATIENCE_MS);
  });
});
