// The trace of a WebSocket.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import WebSocket, { WebSocketServer } from 'ws';
import { createProxyWorld } from '../../support/proxy-world.ts';
import { startTraceReceiver } from '../../support/trace-receiver.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('sidecar/tracing', () => {
  it('shows a WebSocket as one call from its handshake to its end, and tells the API of the trace', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    onTestFinished(() => server.close());
    const parents: unknown[] = [];
    server.on('connection', (socket, req) => {
      parents.push(req.headers['traceparent']);
      socket.on('message', (data) => socket.send(data));
    });
    const upstream = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using receiver = await startTraceReceiver();
    const routes = [{ path: '/api', upstream, upgrade: true }];
    await using world = await createProxyWorld({ config: { routes, tracing: { otlp: receiver.url, sample: 0 } } });
    const headers = { traceparent: `00-${TRACE}-${SPAN}-01` };
    const client = new WebSocket(`ws://127.0.0.1:${world.sidecar.port}/api/ws?token=x`, { headers });
    await once(client, 'open');
    client.send('hello');
    await once(client, 'message');
    client.close();
    await receiver.untilSpan(({ kind }) => kind === 'SERVER');
    const outline = receiver.tree(TRACE, ({ kind, name, attributes, status }) =>
      [kind, name, attributes['http.response.status_code'], status].join(' '),
    );
    expect(outline).toBe('SERVER GET /api 101 UNSET\n  CLIENT GET 101 UNSET');
    const [request, handshake] = ['SERVER', 'CLIENT'].map((kind) =>
      receiver.spans.find((span) => span.kind === kind && span.traceId === TRACE),
    );
    expect(parents).toEqual([`00-${TRACE}-${handshake?.spanId}-01`]);
    expect(Number((request?.endNs ?? 0n) - (handshake?.endNs ?? 0n))).toBeGreaterThan(0);
  });
});
