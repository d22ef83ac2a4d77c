// A 401 of the API: one more try with a new token where the challenge blames the token and the body is at hand.
import { describe, expect, it } from 'vitest';
import { createFakeClock } from '../support/clock.ts';
import { createDeadline } from '../support/deadline.ts';
import { valuesOf } from '../support/messages.ts';
import { createProxyWorld, type ProxyWorld, type ProxyWorldOptions } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { grant, json } from '../support/token-server.ts';

const LARGE = 'x'.repeat(100_000);
const REQUESTS = {
  GET: { line: 'GET /api/x HTTP/1.1', rest: '\r\n', body: '' },
  'small POST': {
    line: 'POST /api/x HTTP/1.1',
    rest: 'Idempotency-Key: k1\r\nContent-Length: 2\r\n\r\nhi',
    body: 'hi',
  },
  'small chunked POST': {
    line: 'POST /api/x HTTP/1.1',
    rest: 'Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
    body: 'hi',
  },
  'large POST': { line: 'POST /api/x HTTP/1.1', rest: `Content-Length: 100000\r\n\r\n${LARGE}`, body: LARGE },
} as const;
const INVALID = 'WWW-Authenticate: Bearer error="invalid_token"\r\n';

/** A 401 to anyone whose token is not the second one. */
const refuse =
  (challenge: string): NonNullable<ProxyWorldOptions['answer']> =>
  (request) =>
    valuesOf(request, 'authorization')[0] === 'Bearer token-2'
      ? ok('fine')
      : `HTTP/1.1 401 No\r\n${challenge}X-Api: 1\r\nContent-Length: 3\r\n\r\nbad`;

/** Its first token is two seconds old, so fetching another can help. */
async function agedWorld(options: ProxyWorldOptions): Promise<ProxyWorld> {
  const clock = createFakeClock();
  const world = await createProxyWorld({ clock, ...options });
  await clock.advance(2000);
  return world;
}

async function replays(world: ProxyWorld): Promise<number> {
  const text = await (await fetch(`${world.sidecar.adminUrl}/metrics`)).text();
  return Number(/upstream_replays_total\{reason="unauthorized"\} (\d+)/.exec(text)?.[1]);
}

describe('a 401 of the API', () => {
  it.each<[string, keyof typeof REQUESTS, string, boolean]>([
    ['Bearer', 'GET', INVALID, true],
    ['Bearer', 'small POST', INVALID, true],
    ['Bearer', 'small chunked POST', INVALID, true],
    ['Bearer', 'large POST', INVALID, false],
    ['bare Bearer', 'small POST', 'WWW-Authenticate: bearer\r\n', true],
    ['Bearer as second of a list', 'GET', 'WWW-Authenticate: Basic realm="x", Bearer realm="y"\r\n', true],
    ['Bearer on a second line', 'GET', `WWW-Authenticate: Basic realm="x"\r\n${INVALID}`, true],
    ['no', 'GET', '', true],
    ['no', 'small POST', '', false],
    ['no', 'large POST', '', false],
    ['a foreign', 'GET', 'WWW-Authenticate: Basic realm="x"\r\n', false],
    ['a look-alike', 'GET', 'WWW-Authenticate: BearerX realm="x"\r\n', false],
    ['an insufficient_scope', 'GET', 'WWW-Authenticate: Bearer error="insufficient_scope"\r\n', false],
    ['an insufficient_scope', 'small POST', 'WWW-Authenticate: Bearer error="insufficient_scope"\r\n', false],
    ['Bearer in a realm of another scheme', 'small POST', 'WWW-Authenticate: Basic realm="x, Bearer y"\r\n', false],
    ['Bearer in a realm of another scheme', 'GET', 'WWW-Authenticate: Basic realm="x, Bearer y"\r\n', false],
    ['Bearer behind an escaped quote', 'small POST', 'WWW-Authenticate: Basic a="\\", Bearer b=\\""\r\n', false],
    ['Bearer as the token of another scheme', 'small POST', 'WWW-Authenticate: Negotiate Bearer\r\n', false],
    ['Bearer behind a string without end', 'small POST', `WWW-Authenticate: Basic a="x\r\n${INVALID}`, false],
    ['a malformed', 'small POST', 'WWW-Authenticate: Bearer a="b" c="d"\r\n', false],
    ['a malformed', 'GET', 'WWW-Authenticate: Bearer a="b" c="d"\r\n', true],
    ['a malformed insufficient_scope', 'GET', 'WWW-Authenticate: Bearer a="b" error="insufficient_scope"\r\n', false],
    [
      'an insufficient_scope on a second line',
      'small POST',
      'WWW-Authenticate: Bearer a="b"\r\nWWW-Authenticate: error="insufficient_scope"\r\n',
      false,
    ],
    [
      'insufficient_scope beside another Bearer',
      'small POST',
      `WWW-Authenticate: Bearer error=insufficient_scope\r\n${INVALID}`,
      false,
    ],
    ['insufficient_scope in a realm', 'small POST', 'WWW-Authenticate: Bearer realm="insufficient_scope"\r\n', true],
  ])('with %s challenge to %s', async (...[, name, challenge, again]) => {
    await using world = await agedWorld({ answer: refuse(challenge) });
    const { line, rest, body } = REQUESTS[name];
    const answer = await world.call(line, rest);
    expect([answer.status, answer.body]).toEqual(again ? [200, 'fine'] : [401, 'bad']);
    const tokens = again ? ['Bearer token-1', 'Bearer token-2'] : ['Bearer token-1'];
    expect(world.upstream.requests.map((request) => valuesOf(request, 'authorization')[0])).toEqual(tokens);
    expect(world.upstream.requests.every((request) => request.body === body)).toBe(true);
    const keys = new Set(world.upstream.requests.map((request) => valuesOf(request, 'idempotency-key')[0]));
    expect(keys.size).toBe(1);
    const isRenewed = again || (name === 'large POST' && challenge === INVALID);
    await expect.poll(() => world.tokens.calls.length).toBe(isRenewed ? 2 : 1);
  });

  it('a second time is the answer, unchanged', async () => {
    const bytes = `HTTP/1.1 401 Nope\r\n${INVALID}X-Api: 1\r\nContent-Length: 3\r\n\r\nbad`;
    await using world = await agedWorld({ answer: () => bytes });
    const answer = await world.call('POST /api/x HTTP/1.1', REQUESTS['small POST'].rest);
    expect([answer.startLine, answer.body, answer.header('x-api')]).toEqual(['HTTP/1.1 401 Nope', 'bad', '1']);
    expect(answer.header('www-authenticate')).toBe('Bearer error="invalid_token"');
    expect(answer.header('x-sidecar-error')).toBeUndefined();
    expect([world.upstream.requests.length, world.tokens.calls.length]).toEqual([2, 2]);
  });

  it('to fifty requests at once costs one token', async () => {
    await using world = await agedWorld({ answer: refuse(INVALID) });
    const answers = await Promise.all(Array.from({ length: 50 }, () => world.call('GET /api/x HTTP/1.1')));
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200));
    expect(world.tokens.calls).toHaveLength(2);
    expect(world.upstream.requests.length).toBeLessThanOrEqual(100);
  });

  it('to a token that has just come costs one more, at once', async () => {
    await using world = await createProxyWorld({ answer: refuse(INVALID), clock: createFakeClock() });
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => world.call('POST /api/x HTTP/1.1', REQUESTS['small POST'].rest)),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200));
    expect(world.tokens.calls).toHaveLength(2);
  });

  it('to an upload too large to send again renews the token for the calls to come', async () => {
    await using world = await agedWorld({ answer: refuse(INVALID) });
    const { line, rest } = REQUESTS['large POST'];
    expect((await world.call(line, rest)).status).toBe(401);
    await expect.poll(() => world.tokens.calls.length).toBe(2);
    expect((await world.call(line, rest)).status).toBe(200);
  });

  it('is never answered by a replay where the route says so, but the token is renewed', async () => {
    await using api = await createProxyWorld({ answer: refuse(INVALID) });
    const routes = [{ path: '/api', upstream: api.upstream.url, replayOn401: 'never' }];
    await using world = await agedWorld({ config: { routes } });
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(401);
    expect(api.upstream.requests).toHaveLength(1);
    await expect.poll(() => world.tokens.calls.length).toBe(2);
  });

  it('turns into 503 when no new token can be had', async () => {
    await using world = await agedWorld({ answer: refuse(INVALID), config: { token: { waitTimeout: '900ms' } } });
    world.tokens.answerWith(json(500, {}));
    const answer = await world.call('POST /api/x HTTP/1.1', REQUESTS['small POST'].rest);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([503, 'TOKEN_UNAVAILABLE']);
    // What the API has received is not taken back by what failed later, and nothing was sent again.
    expect(answer.json()).toMatchObject({ mayHaveExecuted: true });
    expect(await replays(world)).toBe(0);
    expect(world.sidecar.logs.find(({ message }) => message === 'request')).not.toHaveProperty('replayed');
  });

  it('is counted as a replay once the second one leaves', async () => {
    await using world = await agedWorld({ answer: refuse(INVALID) });
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(200);
    expect(await replays(world)).toBe(1);
    expect(world.sidecar.logs.find(({ message }) => message === 'request')).toMatchObject({ replayed: true });
  });

  it('ends with 504 when all the time is over before there is a new token, and is not sent again later', async () => {
    using deadline = createDeadline();
    const config = { timeouts: { total: `${deadline.ms}ms` } };
    await using world = await agedWorld({ answer: refuse(INVALID), config });
    const { promise, resolve: grantNow } = Promise.withResolvers<void>();
    world.tokens.answerWith((res, call, count) => void promise.then(() => grant('token-2')(res, call, count)));
    const asked = world.call('POST /api/x HTTP/1.1', REQUESTS['small POST'].rest);
    await expect.poll(() => world.tokens.calls.length).toBe(2);
    deadline.pass();
    const answer = await asked;
    expect([answer.status, answer.json()['code'], answer.json()['mayHaveExecuted']]).toEqual([
      504,
      'UPSTREAM_TIMEOUT',
      true,
    ]);
    grantNow();
    expect((await world.call('GET /api/x HTTP/1.1')).body).toBe('fine');
    expect(world.upstream.requests.map(({ method }) => method)).toEqual(['POST', 'GET']);
  });

  it('with an endless body does not hold the replay up, and its connection is given up', async () => {
    await using world = await agedWorld({
      answer: (request) =>
        valuesOf(request, 'authorization')[0] === 'Bearer token-2'
          ? ok('fine')
          : `HTTP/1.1 401 No\r\n${INVALID}Content-Length: 10000000\r\n\r\n${'x'.repeat(200_000)}`,
    });
    expect((await world.call('GET /api/x HTTP/1.1')).body).toBe('fine');
    await expect.poll(() => world.upstream.closed).toBe(1);
  });

  it.each([403, 407, 419])('is not what %i is: never again', async (status) => {
    await using world = await agedWorld({
      answer: () => `HTTP/1.1 ${status} No\r\n${INVALID}Content-Length: 0\r\n\r\n`,
    });
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(status === 407 ? 502 : status);
    expect([world.upstream.requests.length, world.tokens.calls.length]).toEqual([1, 1]);
  });
});
