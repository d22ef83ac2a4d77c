// Too much at once: connections, slow callers and slow readers are bounded, and whoever behaves well hardly notices.
import { describe, expect, it } from 'vitest';
import { openFlood } from '../support/flood.ts';
import { withinOwn } from '../support/own-time.ts';
import { createProxyWorld, type ProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';

const GET = 'GET /api/x HTTP/1.1';

async function refusals(world: ProxyWorld): Promise<number> {
  const text = await (await fetch(`${world.sidecar.adminUrl}/metrics`)).text();
  return Number(/^aritma_sidecar_errors_total\{code="SIDECAR_OVERLOADED"\} (\d+)$/m.exec(text)?.[1] ?? 0);
}

describe('more connections than limits.connections', () => {
  it('are answered 503 and closed, thousands of them, while those in use go on', async () => {
    await using world = await createProxyWorld({
      answer: () => undefined,
      config: { limits: { connections: 20 } },
    });
    using busy = await openFlood(world.sidecar.port, 20);
    for (const caller of busy.callers) caller.send(`${GET}\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(20);
    for (let round = 0; round < 30; round += 1) {
      using flood = await openFlood(world.sidecar.port, 100);
      const answers = await Promise.all(flood.callers.map((caller) => caller.answer()));
      expect(answers.filter(({ status }) => status !== 503)).toEqual([]);
      const [answer] = answers;
      expect(answer?.header('retry-after')).toBe('1');
      expect(answer?.json()).toMatchObject({ code: 'SIDECAR_OVERLOADED', status: 503 });
      await Promise.all(flood.callers.map((caller) => caller.ended()));
    }
    expect(await refusals(world)).toBe(3000);
    expect(world.sidecar.logs.filter(({ code }) => code === 'SIDECAR_OVERLOADED')).toHaveLength(1);
    for (const { socket } of world.upstream.requests) socket.write(ok('done'));
    const answers = await Promise.all(busy.callers.map((caller) => caller.answer()));
    expect(answers.map(({ body }) => body)).toEqual(Array(20).fill('done'));
  });

  it('get their 503 also when they send a request, with and without a large body, before they read', async () => {
    await using world = await createProxyWorld({ answer: () => undefined, config: { limits: { connections: 1 } } });
    using busy = await world.open();
    busy.send(`${GET}\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(1);
    for (const rest of ['\r\n', `Content-Length: 50000\r\n\r\n${'x'.repeat(50_000)}`]) {
      expect((await world.call('POST /api/x HTTP/1.1', rest)).status).toBe(503);
    }
    expect(world.upstream.requests).toHaveLength(1);
  });

  it('take the place of those that have long been idle, so that a hoarder locks nobody out', async () => {
    await using world = await createProxyWorld({ config: { limits: { connections: 50 } } });
    using hoard = await openFlood(world.sidecar.port, 50);
    for (const caller of hoard.callers.slice(0, 25)) {
      caller.send(`${GET}\r\n${world.host}\r\n`);
      await caller.answer();
    }
    const statuses: number[] = [];
    await withinOwn(3000, () =>
      expect.poll(async () => statuses.push((await world.call(GET)).status) && statuses.at(-1)).toBe(200),
    );
    expect(new Set(statuses)).toEqual(new Set(statuses.length > 1 ? [503, 200] : [200]));
    // The rest of the hoard is as it was.
    expect(hoard.open()).toBe(49);
  });

  it('are counted over all listeners together', async () => {
    await using world = await createProxyWorld({
      answer: () => undefined,
      config: { listen: ['127.0.0.1:0', '127.0.0.1:0'], limits: { connections: 1 } },
    });
    const [, second = ''] = world.sidecar.logs
      .filter(({ message }) => message === 'listening for callers')
      .map(({ address }) => String(address));
    using busy = await world.open();
    busy.send(`${GET}\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(1);
    expect((await fetch(`${second}/api/x`)).status).toBe(503);
  });
});

describe('too little memory', () => {
  it('has new requests answered 503 at once, bodies and all, while running ones go on, until it is over', async () => {
    const heap = { used: 0.2 };
    await using world = await createProxyWorld({
      answer: ({ method }) => (method === 'POST' ? undefined : ok('fine')),
      heapShare: () => heap.used,
    });
    using running = await world.open();
    running.send(`POST /api/x HTTP/1.1\r\n${world.host}Content-Length: 2\r\n\r\nhi`);
    await world.upstream.untilRequests(1);
    heap.used = 0.95;
    await expect.poll(async () => (await world.call(GET)).status).toBe(503);
    const seen = world.upstream.requests.length;
    const answer = await world.call('PUT /api/x HTTP/1.1', `Content-Length: 50000\r\n\r\n${'x'.repeat(50_000)}`);
    expect([answer.status, answer.header('retry-after')]).toEqual([503, '1']);
    expect(answer.json()).toMatchObject({ code: 'SIDECAR_OVERLOADED' });
    expect((await fetch(`${world.sidecar.adminUrl}/readyz`)).status).toBe(200);
    expect(world.upstream.requests).toHaveLength(seen);
    world.upstream.requests[0]?.socket.write(ok('paid'));
    expect((await running.answer()).body).toBe('paid');
    heap.used = 0.2;
    await expect.poll(async () => (await world.call(GET)).status).toBe(200);
    expect(await refusals(world)).toBeGreaterThan(1);
  });
});
