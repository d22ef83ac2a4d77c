// Server-sent events: what a page is sent and when, how many there may be, and that nothing stays behind when one goes.
import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { createLive, type LiveOptions } from '../../src/admin/event-stream.ts';
import { createAdminWorld } from '../support/admin-world.ts';
import { collectAllGarbage } from '../support/garbage.ts';
import { startOwnTime } from '../support/own-time.ts';

interface Page {
  readonly res: IncomingMessage;
  /** The states sent so far. */
  readonly states: readonly string[];
  readonly events: readonly string[];
  readonly ended: Promise<unknown>;
  leave(): void;
}

/** Opens an event stream as a browser does. */
async function open(url: string): Promise<Page> {
  const call = request(`${url}/events`, { agent: false, headers: { 'Sec-Fetch-Site': 'same-origin' } }).end();
  const [res] = (await once(call, 'response')) as [IncomingMessage];
  const events: string[] = [];
  const states: string[] = [];
  let rest = '';
  const ended = new Promise((resolve) => res.once('close', resolve));
  res.setEncoding('utf8').on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n\n');
    rest = parts.pop() ?? '';
    events.push(...parts);
    const data = parts.filter((event) => event.startsWith('data: '));
    states.push(...data.map((event) => (JSON.parse(event.slice(6)) as { main: string }).main));
  });
  res.on('error', () => undefined);
  return { res, states, events, ended, leave: () => call.destroy() };
}

/** The hub alone, behind a server, and faster than in life. */
async function createHub(options: Partial<LiveOptions<string>> = { intervalMs: 20, heartbeatMs: 100 }) {
  const state = { text: 'one', renders: 0 };
  const render = () => {
    state.renders += 1;
    return state.text;
  };
  const live = createLive<string>({ render, headers: {}, ...options });
  const server = createServer((_req, res) => {
    if (!live.attach(res, 'page')) res.writeHead(503).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    live,
    state,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

describe('admin/live', () => {
  it('sends the state at once, then every change, and nothing where nothing changes', async () => {
    await using hub = await createHub();
    const page = await open(hub.url);
    await expect.poll(() => page.states).toEqual(['one']);
    const before = hub.state.renders;
    await expect.poll(() => hub.state.renders).toBeGreaterThan(before + 3);
    expect(page.states).toEqual(['one']);
    hub.state.text = 'two\n\ndata: not an event\r\n';
    await expect.poll(() => page.states).toEqual(['one', hub.state.text]);
  });

  it('renders once for all pages of a kind', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    await using hub = await createHub({ intervalMs: 100, heartbeatMs: 60_000 });
    await Promise.all(Array.from({ length: 10 }, () => open(hub.url)));
    const before = hub.state.renders;
    vi.advanceTimersByTime(1000);
    expect(hub.state.renders - before).toBe(10);
  });

  it('sends heartbeats that scripts see while nothing changes, by which both sides notice a dead connection', async () => {
    await using hub = await createHub();
    const page = await open(hub.url);
    const heartbeat = expect.stringMatching(/^event: heartbeat\ndata: \d+$/);
    await expect.poll(() => page.events.slice(-2)).toEqual([heartbeat, heartbeat]);
    expect(page.states).toEqual(['one']);
  });

  it('is silent for less than the five seconds after which a page calls itself stale', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    await using hub = await createHub({});
    const page = await open(hub.url);
    await expect.poll(() => page.events).toHaveLength(1);
    for (let count = 2; count < 5; count += 1) {
      vi.advanceTimersByTime(2000);
      await expect.poll(() => page.events).toHaveLength(count);
    }
  });

  it('takes twenty pages, and another one when one has left', async () => {
    await using hub = await createHub();
    const pages = await Promise.all(Array.from({ length: 20 }, () => open(hub.url)));
    expect((await open(hub.url)).res.statusCode).toBe(503);
    pages[7]?.leave();
    await expect.poll(() => hub.live.listeners()).toBe(19);
    expect((await open(hub.url)).res.statusCode).toBe(200);
  });

  it('leaves nothing behind when the pages go: no listener, no timer, no rendering', async () => {
    using started = vi.spyOn(globalThis, 'setInterval');
    using cleared = vi.spyOn(globalThis, 'clearInterval');
    await using hub = await createHub({ intervalMs: 21 });
    for (let round = 0; round < 3; round += 1) {
      const pages = await Promise.all(Array.from({ length: 20 }, () => open(hub.url)));
      for (const page of pages) page.leave();
      await expect.poll(() => hub.live.listeners()).toBe(0);
    }
    const { renders } = hub.state;
    await sleep(200);
    expect(hub.state.renders).toBe(renders);
    const timers = started.mock.results.filter((_result, index) => started.mock.calls[index]?.[1] === 21);
    expect(timers).toHaveLength(3);
    for (const { value } of timers) expect(cleared).toHaveBeenCalledWith(value);
  });

  it('sends the last state at drain, ends every stream and takes no other', async () => {
    await using hub = await createHub({ intervalMs: 60_000 });
    const page = await open(hub.url);
    await expect.poll(() => page.states).toEqual(['one']);
    hub.state.text = 'draining';
    hub.live.drain();
    await page.ended;
    expect(page.states).toEqual(['one', 'draining']);
    expect((await open(hub.url)).res.statusCode).toBe(503);
  });

  it('lets a page that does not read miss states instead of keeping them', async () => {
    await using hub = await createHub();
    const page = await open(hub.url);
    await expect.poll(() => page.states).toEqual(['one']);
    page.res.pause();
    await collectAllGarbage();
    const before = process.memoryUsage().arrayBuffers;
    const changes = 100;
    for (let count = 0; count < changes; count += 1) {
      hub.state.text = `${count} ${'x'.repeat(500_000)}`;
      await sleep(20);
    }
    await collectAllGarbage();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(25_000_000);
    page.res.resume();
    await expect.poll(() => page.states.at(-1)?.slice(0, 3)).toBe('99 ');
    expect(page.states.length).toBeLessThan(changes);
  });

  it('ends the streams where a state cannot be rendered, and the process lives on', async () => {
    const broken = { now: false };
    const render = () => {
      if (broken.now) throw new Error('a defect in the page');
      return 'fine';
    };
    await using hub = await createHub({ render, intervalMs: 20 });
    const page = await open(hub.url);
    await expect.poll(() => page.states).toEqual(['fine']);
    broken.now = true;
    await page.ended;
    await expect.poll(() => hub.live.listeners()).toBe(0);
  });
});

describe('admin/server: GET /events', () => {
  it('sends what the page shows, anew after a failed request', async () => {
    await using world = await createAdminWorld();
    await fetch(`${world.sidecar.url}/api/x`);
    const page = await open(world.sidecar.adminUrl);
    expect(page.res.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    await expect.poll(() => page.states).toHaveLength(1);
    expect(page.states[0]).toMatch(/^<section id="now"/);
    expect(page.states[0]).not.toContain('ROUTE_NOT_FOUND');
    await fetch(`${world.sidecar.url}/nowhere`);
    await expect.poll(() => page.states.at(-1)).toContain('ROUTE_NOT_FOUND');
    page.leave();
  });

  it('offers the button only to pages of a listener with actions', async () => {
    for (const adminActions of [false, true]) {
      await using world = await createAdminWorld({ adminActions });
      const page = await open(world.sidecar.adminUrl);
      await expect.poll(() => page.states.length).toBeGreaterThan(0);
      expect(page.states[0]?.includes('<form')).toBe(adminActions);
      page.leave();
    }
  });

  it('answers the twenty-first listener with 503 and Retry-After', async () => {
    await using world = await createAdminWorld();
    const pages = await Promise.all(Array.from({ length: 20 }, () => open(world.sidecar.adminUrl)));
    expect(pages.map(({ res }) => res.statusCode)).toEqual(Array(20).fill(200));
    const refused = await world.admin('/events');
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '5']);
    for (const page of pages) page.leave();
    await expect.poll(async () => (await world.admin('/')).status).toBe(200);
  });

  it('tells open pages of the drain and does not hold it up', async () => {
    await using world = await createAdminWorld({ drain: { minimum: '500ms', limit: '5s' } });
    const page = await open(world.sidecar.adminUrl);
    await expect.poll(() => page.states.length).toBeGreaterThan(0);
    using own = startOwnTime();
    const stopped = world.sidecar.stop();
    await page.ended;
    expect(page.states.at(-1)).toMatch(/<strong id="word" role="status">Draining</);
    expect(await stopped).toBe(true);
    expect(own.ms).toBeLessThan(3000);
  });
});
