// A receiver of traces that is down, slow or wrong: calls neither wait nor fail, and spans are lost instead of kept.
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { parseBaseUrl } from '../../../src/config/parsers.ts';
import type { LogFields } from '../../../src/core/log.ts';
import type { SpanDraft } from '../../../src/sidecar/tracing/request-trace.ts';
import { createSpanQueue } from '../../../src/sidecar/tracing/span-queue.ts';
import { COMPLETE_ENV, createFolder, load } from '../../support/folder.ts';
import { createProxyWorld, type ProxyWorld } from '../../support/proxy-world.ts';
import { startTraceReceiver, type TraceAnswerer } from '../../support/trace-receiver.ts';
import { until } from '../../support/until.ts';

const config = (otlp: string) => ({ tracing: { otlp, sample: 1 } });
const losses = (world: ProxyWorld) => world.sidecar.logs.filter(({ message }) => message === 'traces were lost');

const lostSpans = (world: ProxyWorld) => losses(world).reduce((sum, { spans }) => sum + Number(spans), 0);
/** Two for each call, and that of the token request. */
const SPANS_OF_20 = 41;

/** Calls on one connection; how many worked. */
async function call(world: ProxyWorld, count: number): Promise<number> {
  using caller = await world.open();
  let worked = 0;
  for (let sent = 0; sent < count; sent += 1) {
    caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    if ((await caller.answer()).status === 200) worked += 1;
  }
  return worked;
}

const SPAN: SpanDraft = {
  ...{ ids: { traceId: '1'.repeat(32), spanId: '2'.repeat(16) }, parent: undefined, name: 'GET', kind: 'client' },
  ...{ from: 1, to: 2, attributes: { 'server.port': 1, 'error.type': undefined }, isError: false },
};

const FAULTS: readonly (readonly [name: string, answer: TraceAnswerer, cause: string])[] = [
  ['refuses', (res) => void res.writeHead(401).end('no'), 'otlp_refused'],
  ['knows no such path', (res) => void res.writeHead(404).end(), 'otlp_refused'],
  ['fails', (res) => void res.writeHead(500).end(), 'otlp_refused'],
  ['redirects', (res) => void res.writeHead(307, { Location: 'http://127.0.0.1:9/' }).end(), 'otlp_refused'],
  ['closes the connection', (_res, req) => void req.socket.destroy(), 'connection_reset'],
  ['sends no HTTP', (_res, req) => void req.socket.end('220 smtp\r\n'), 'not_http'],
];

describe('a receiver of traces', () => {
  it.each(FAULTS)('that %s costs spans, and no call', async (_name, answer, cause) => {
    await using receiver = await startTraceReceiver(answer);
    const world = await createProxyWorld({ config: config(receiver.url) });
    expect(await call(world, 20)).toBe(20);
    await until('a loss is logged', () => losses(world).length > 0);
    const { host } = new URL(receiver.url);
    expect(losses(world)[0]).toMatchObject({ level: 'warn', cause, host });
    await world[Symbol.asyncDispose]();
    expect(lostSpans(world)).toBe(SPANS_OF_20);
  });

  it('that sends an endless response gets its connection closed, and keeps the spans', async () => {
    let closed = false;
    await using receiver = await startTraceReceiver((res) => {
      res.writeHead(200).on('close', () => {
        closed = true;
      });
      const fill = () => {
        while (!res.destroyed && res.write('x'.repeat(64 * 1024)));
      };
      res.on('drain', fill);
      fill();
    });
    await using world = await createProxyWorld({ config: config(receiver.url) });
    expect(await call(world, 3)).toBe(3);
    await until('the connection is closed', () => closed);
    expect(losses(world)).toEqual([]);
  });

  it('that is away for a moment gets the batch again', async () => {
    await using receiver = await startTraceReceiver(
      (res, _req, count) => void res.writeHead(count === 1 ? 503 : 200).end(),
    );
    await using world = await createProxyWorld({ config: config(receiver.url) });
    expect(await call(world, 1)).toBe(1);
    await until('the batch arrives again', () => receiver.bodies.length >= 2);
    expect(receiver.bodies[1]?.equals(receiver.bodies[0] ?? Buffer.alloc(0))).toBe(true);
    expect(losses(world)).toEqual([]);
  });

  it('that never responds delays no call, and the stop by a second at most', async () => {
    await using receiver = await startTraceReceiver(() => undefined);
    const world = await createProxyWorld({ config: config(receiver.url) });
    const before = performance.now();
    expect(await call(world, 20)).toBe(20);
    await until('a batch waits for its response', () => receiver.bodies.length > 0);
    await world[Symbol.asyncDispose]();
    process.stdout.write(`worked and stopped in ${Math.round(performance.now() - before)} ms\n`);
    expect(lostSpans(world)).toBe(SPANS_OF_20);
    expect(losses(world).at(-1)).toMatchObject({ cause: 'otlp_stopped', host: new URL(receiver.url).host });
  });

  it('that is away while the sidecar stops gets no second try', async () => {
    await using receiver = await startTraceReceiver((res) => void res.writeHead(503).end());
    const world = await createProxyWorld({ config: config(receiver.url) });
    expect(await call(world, 1)).toBe(1);
    await world[Symbol.asyncDispose]();
    expect(losses(world).every(({ cause }) => cause === 'otlp_refused')).toBe(true);
    expect(lostSpans(world)).toBe(3);
  });

  it('that never responds fills a bounded queue; what does not fit is lost and counted', async () => {
    await using receiver = await startTraceReceiver(() => undefined);
    using folder = createFolder();
    const loaded = load(folder, { env: COMPLETE_ENV });
    const lost: number[] = [];
    const log = { warn: (_message: string, fields?: LogFields) => void lost.push(Number(fields?.spans)) };
    const queue = createSpanQueue({ base: parseBaseUrl(receiver.url), loaded, log });
    for (let count = 0; count < 5000; count += 1) queue.add(SPAN);
    expect(lost).toEqual([1]);
    await queue.close();
    // One batch on each of four connections.
    expect(receiver.spans).toHaveLength(4 * 256);
    expect(lost).toEqual([1, 4999]);
  });

  it('that is down prints nothing, and leaves the process nothing to wait for', async () => {
    await using world = await createProxyWorld({ config: config('http://127.0.0.1:1') });
    expect(await call(world, 5)).toBe(5);
    await until('the loss is logged', () => losses(world).length > 0);
    expect(losses(world)[0]).toMatchObject({ cause: 'connect_refused', host: '127.0.0.1:1' });
  });

  it('fails calls that a naive exporter lets wait for it', async () => {
    await using receiver = await startTraceReceiver((_res, req) => void req.socket.destroy());
    /** Sends the span before the response. */
    const naive = createServer(async (_req, res) => {
      const exported = request(receiver.url, { method: 'POST', path: '/v1/traces' }).end();
      const isSent = await once(exported, 'response').then(
        () => true,
        () => false,
      );
      res.writeHead(isSent ? 200 : 502).end();
    });
    naive.listen(0, '127.0.0.1');
    await once(naive, 'listening');
    const { status } = await fetch(`http://127.0.0.1:${(naive.address() as AddressInfo).port}/api/x`);
    naive.close();
    naive.closeAllConnections();
    expect(status).toBe(502);
  });
});
