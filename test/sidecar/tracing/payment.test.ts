// What a receiver of traces gets of calls, decoded: one tree for a payment whose token the API refuses, and no secret.
import * as conventions from '@opentelemetry/semantic-conventions';
import { describe, expect, it } from 'vitest';
import { createFakeClock } from '../../support/clock.ts';
import { valuesOf } from '../../support/messages.ts';
import { createProxyWorld, type ProxyWorldOptions } from '../../support/proxy-world.ts';
import { TEST_CLIENT_ID, TEST_SECRET } from '../../support/sidecar.ts';
import { grant, json } from '../../support/token-server.ts';
import { type ReceivedSpan, startTraceReceiver } from '../../support/trace-receiver.ts';
import { until } from '../../support/until.ts';

const CALLER = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };
const TRACEPARENT = `00-${CALLER.traceId}-${CALLER.spanId}-01`;

/** Executes a payment only with this token. */
const demand =
  (token: string): NonNullable<ProxyWorldOptions['answer']> =>
  (request) =>
    valuesOf(request, 'authorization')[0] === `Bearer ${token}`
      ? 'HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}'
      : 'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n';

const outline = ({ name, kind, attributes }: ReceivedSpan) => {
  const status = attributes['http.response.status_code'];
  return `${kind} ${name}${status === undefined ? '' : ` ${status}`}`;
};

async function createTracedWorld(options: ProxyWorldOptions, tracing: object = {}) {
  const receiver = await startTraceReceiver();
  const config = { tracing: { otlp: receiver.url, sample: 1, ...tracing }, ...options.config };
  const world = await createProxyWorld({ ...options, config });
  return {
    receiver,
    world,
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await receiver[Symbol.asyncDispose]();
    },
  };
}

const isRequest = ({ kind }: ReceivedSpan) => kind === 'SERVER';

describe('sidecar/tracing', () => {
  it('shows a payment that waits for a token which the API then refuses as one tree, which the caller began', async () => {
    const clock = createFakeClock();
    await using traced = await createTracedWorld({ clock, answer: demand('token-3') });
    const { world, receiver } = traced;
    const held = Promise.withResolvers<void>();
    const isHeld = (count: number) => (count === 2 ? held.promise : Promise.resolve());
    world.tokens.answerWith((...ask) => void isHeld(ask[2]).then(() => grant(`token-${ask[2]}`)(...ask)));
    const refreshed = fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    await until('the refresh is on its way', () => world.tokens.calls.length === 2);
    const rest = `traceparent: ${TRACEPARENT}\r\ntracestate: erp=1\r\nContent-Length: 2\r\n\r\n{}`;
    const answer = world.call('POST /api/payments?iban=NO93 HTTP/1.1', rest);
    await until('the payment waits', async () => (await world.inFlight()) === 1);
    held.resolve();
    await refreshed;
    await until('the payment is over', async () => {
      // Token requests are a second apart; in small steps, because the payment waits for ten of this clock.
      await clock.advance(50);
      return (await world.inFlight()) === 0;
    });
    expect((await answer).status).toBe(201);
    const request = await receiver.untilSpan(isRequest);
    const tree = receiver.tree(CALLER.traceId, outline);
    process.stdout.write(`${tree}\n`);
    expect(tree).toBe(
      [
        'SERVER POST /api 201',
        ...['  INTERNAL token wait', '  CLIENT POST 401', '  INTERNAL token renewal', '  CLIENT POST 201'],
      ].join('\n'),
    );
    expect(request).toMatchObject({
      ...{ parentSpanId: CALLER.spanId, status: 'UNSET' },
      attributes: {
        ...{ 'http.request.method': 'POST', 'http.route': '/api', 'url.scheme': 'http' },
        ...{ 'server.address': '127.0.0.1', 'server.port': world.sidecar.port, 'network.protocol.version': '1.1' },
      },
      resource: { 'service.name': 'aritma-sidecar', 'service.version': expect.stringMatching(/^\d+\.\d+\.\d+/) },
    });
    const tries = receiver.spans.filter(({ kind, traceId }) => kind === 'CLIENT' && traceId === CALLER.traceId);
    const { hostname, port } = new URL(world.upstream.url);
    const server = { 'server.address': hostname, 'server.port': Number(port) };
    expect(tries.map(({ attributes, status }) => ({ ...attributes, status }))).toEqual([
      {
        'http.request.method': 'POST',
        ...server,
        'http.response.status_code': 401,
        'error.type': '401',
        status: 'ERROR',
      },
      {
        'http.request.method': 'POST',
        ...server,
        'http.response.status_code': 201,
        'http.request.resend_count': 1,
        status: 'UNSET',
      },
    ]);
    // The first try ends with its response, before there is a new token.
    const renewal = receiver.spans.find(({ name }) => name === 'token renewal');
    expect(Number((tries[0]?.endNs ?? 0n) - (renewal?.endNs ?? 0n))).toBeLessThan(0);
    // Each try has told the API its own id, in the caller's trace.
    const told = world.upstream.requests.map((seen) => [valuesOf(seen, 'traceparent'), valuesOf(seen, 'tracestate')]);
    expect(told).toEqual(tries.map(({ spanId }) => [[`00-${CALLER.traceId}-${spanId}-01`], ['erp=1']]));
  });

  it('shows the token requests as traces of their own, which the spans of waiting calls link to', async () => {
    const clock = createFakeClock();
    await using traced = await createTracedWorld({ clock, answer: demand('token-2') });
    const { world, receiver } = traced;
    await clock.advance(2000);
    await world.call('POST /api/payments HTTP/1.1', 'Content-Length: 2\r\n\r\n{}');
    const renewal = await receiver.untilSpan(({ name }) => name === 'token renewal');
    const isOfToken = ({ attributes, kind }: ReceivedSpan) =>
      kind === 'CLIENT' && attributes['aritma_sidecar.credential'] === 'default';
    const [first, second] = receiver.spans.filter(isOfToken);
    expect(receiver.spans.filter(isOfToken).map(outline)).toEqual(['CLIENT POST', 'CLIENT POST']);
    expect(first).toMatchObject({
      parentSpanId: '',
      attributes: { 'server.port': Number(new URL(world.tokens.url).port) },
    });
    expect(renewal.links).toEqual([`${second?.traceId} ${second?.spanId}`]);
  });

  it('shows the wait for a token that cannot be had, with its error code', async () => {
    const clock = createFakeClock();
    await using traced = await createTracedWorld({ clock, answer: demand('token-2') });
    const { world, receiver } = traced;
    await clock.advance(2000);
    world.tokens.answerWith(json(400, { error: 'invalid_scope' }));
    expect((await world.call('POST /api/payments HTTP/1.1', 'Content-Length: 2\r\n\r\n{}')).status).toBe(503);
    const { traceId, attributes, status } = await receiver.untilSpan(isRequest);
    expect(receiver.tree(traceId, outline)).toBe(
      ['SERVER POST /api 503', '  CLIENT POST 401', '  INTERNAL token renewal'].join('\n'),
    );
    expect([attributes['error.type'], status]).toEqual(['CREDENTIALS_REJECTED', 'ERROR']);
  });

  it('sends none of path, query, headers, bodies, client and tokens, whatever callers and servers put there', async () => {
    await using traced = await createTracedWorld({
      answer: () =>
        'HTTP/1.1 500 planted-reason\r\nX-Planted: planted-response\r\nContent-Length: 12\r\n\r\nplanted-body',
    });
    const { world, receiver } = traced;
    const headers = [
      `traceparent: ${TRACEPARENT}`,
      'tracestate: planted=planted-state',
      'baggage: planted=planted-baggage',
      'Authorization: Bearer planted-token',
      'X-Sidecar-Key: planted-key',
      'X-Request-Id: planted-id',
      'User-Agent: planted-agent',
    ].join('\r\n');
    await world.call(
      'POST /api/planted-path?planted=planted-query HTTP/1.1',
      `${headers}\r\nContent-Length: 7\r\n\r\nplanted`,
    );
    await world.call('PROPFIND /api/x HTTP/1.1');
    await world.call('GET /planted HTTP/1.1');
    await receiver.untilSpan(({ attributes }) => attributes['http.response.status_code'] === 404);
    const all = Buffer.concat(receiver.bodies).toString('latin1').toLowerCase() + JSON.stringify(receiver.heads);
    for (const secret of ['planted', 'token-1', TEST_SECRET, TEST_CLIENT_ID, 'bearer'])
      expect(all).not.toContain(secret);
    // That this way of looking finds what is there.
    for (const known of ['/api', 'post', '_other', 'route_not_found']) expect(all).toContain(known);
  });

  it('names attributes as the published conventions do', async () => {
    await using traced = await createTracedWorld({ answer: () => 'HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n' });
    await traced.world.call('GET /api/x HTTP/1.1');
    await traced.receiver.untilSpan(isRequest);
    const used = traced.receiver.spans.flatMap(({ attributes, resource }) =>
      Object.keys({ ...attributes, ...resource }),
    );
    const published = new Set<unknown>(Object.values(conventions));
    const own = [...new Set(used)].filter((name) => !published.has(name)).sort();
    expect(own).toEqual(['aritma_sidecar.credential']);
  });
});
