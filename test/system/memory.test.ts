// A heap far too small for what comes: requests are turned away, the process lives, and all is well afterwards.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFlood } from '../support/flood.ts';
import { loadWithGets } from '../support/keep-alive-load.ts';
import { withinOwn } from '../support/own-time.ts';
import { startSidecarProcess } from '../support/sidecar-process.ts';
import { startTokenServer } from '../support/token-server.ts';
import { startUpstream } from '../support/upstream.ts';

const CALLERS = 2500;
/** In the heap as strings, three quarters of what a request may have of them. */
const HEADERS = Array.from({ length: 60 }, (_, index) => `X-Filler-${index}: ${'h'.repeat(180)}\r\n`).join('');
const BODY = 'b'.repeat(30_000);

describe('a sidecar with a heap of 64 MiB', () => {
  it('sheds a flood of requests that it would have to hold, never crashes, and recovers', async () => {
    await using upstream = await startUpstream(() => undefined);
    const tokens = await startTokenServer();
    await using sidecar = await startSidecarProcess({
      upstream: upstream.url,
      tokenEndpoint: tokens.url,
      config: { limits: { connections: 10_000, upstreamConnections: 10 } },
      nodeArgs: ['--max-old-space-size=64'],
    });
    const host = `Host: 127.0.0.1:${sidecar.port}\r\n`;
    {
      using flood = await openFlood(sidecar.port, CALLERS);
      for (const [index, caller] of flood.callers.entries()) {
        caller.send(`POST /api/${index} HTTP/1.1\r\n${host}${HEADERS}Content-Length: ${BODY.length}\r\n\r\n${BODY}`);
      }
      const answered = () => flood.callers.filter(({ received }) => received !== '').length;
      const held = () => sidecar.metric('aritma_sidecar_requests_in_flight');
      await withinOwn(12_000, () =>
        expect.poll(async () => answered() + (await held()), { interval: 100 }).toBe(CALLERS),
      );
      const refused = flood.callers.filter(({ received }) => received !== '');
      expect(refused.length).toBeGreaterThan(0);
      expect(refused.every(({ received }) => received.includes('"code":"SIDECAR_OVERLOADED"'))).toBe(true);
      expect(await held()).toBeGreaterThan(100);
      expect((await fetch(`${sidecar.adminUrl}/livez`)).status).toBe(200);
    }
    const asked = async () => (await fetch(`http://127.0.0.1:${sidecar.port}/unknown`)).status;
    await withinOwn(8000, () => expect.poll(asked, { interval: 50 }).toBe(404));
    expect(sidecar.isAlive()).toBe(true);
    await tokens.close();
    // A small heap makes a slow process, on a busy machine all the more.
  });
});

describe('the nursery of a sidecar', () => {
  const ANSWER = `HTTP/1.1 200 OK\r\nContent-Length: 686\r\n\r\n${'a'.repeat(686)}`;

  it.each([
    { limit: 'its own limit', nodeArgs: [], isSmall: true },
    {
      limit: 'the limit of V8, which it leaves alone when it is given',
      nodeArgs: ['--max-semi-space-size=32'],
      isSmall: false,
    },
  ])('stays under $limit with 512 callers', async ({ nodeArgs, isSmall }) => {
    const folder = join(import.meta.dirname, '../../node_modules/.cache/aritma-sidecar-memory');
    execFileSync(process.execPath, [join(import.meta.dirname, '../../deploy/package/build.ts'), folder]);
    await using upstream = await startUpstream(() => ANSWER);
    const tokens = await startTokenServer();
    const to = { upstream: upstream.url, tokenEndpoint: tokens.url, main: join(folder, 'main.js'), nodeArgs };
    await using sidecar = await startSidecarProcess(to);
    await Promise.all(Array.from({ length: 32 }, () => loadWithGets(sidecar.port, '/api/x', 800)));
    const text = await (await fetch(`${sidecar.adminUrl}/metrics`)).text();
    await tokens.close();
    const nursery = Number(/^nodejs_heap_space_size_total_bytes\{space="new"\} (\S+)/m.exec(text)?.[1]) / 1024 ** 2;
    // The limit, and what the buffers between two readings add.
    expect(nursery <= 36).toBe(isSmall);
  });
});
