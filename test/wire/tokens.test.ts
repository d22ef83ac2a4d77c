// Without a token nothing reaches the API; with one, neither it nor the client's secret is ever seen by anyone else.
import { describe, expect, it } from 'vitest';
import { createProxyWorld, type ProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { TEST_SECRET } from '../support/sidecar.ts';
import { grant, json, type TokenAnswerer } from '../support/token-server.ts';

/** Callers that do not wait for a second try. */
const IMPATIENT = { config: { token: { waitTimeout: '900ms' } } };

async function loseToken(world: ProxyWorld, answerer: TokenAnswerer): Promise<void> {
  world.tokens.answerWith(answerer);
  await fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' });
}

const BODY = 'Content-Length: 2\r\n\r\nhi';

describe('a token that cannot be had', () => {
  it.each<[string, TokenAnswerer, string]>([
    ['the endpoint hangs up', (res) => void res.destroy(), 'TOKEN_UNAVAILABLE'],
    ['the endpoint answers 500', json(500, {}), 'TOKEN_UNAVAILABLE'],
    ['the endpoint answers nonsense', json(200, ['x']), 'TOKEN_UNAVAILABLE'],
    ['the endpoint redirects', json(307, {}, { Location: 'http://127.0.0.1:1/' }), 'TOKEN_UNAVAILABLE'],
    ['the token holds a line break', grant('a\r\nX-Evil: 1'), 'TOKEN_UNAVAILABLE'],
    ['the secret is wrong', json(400, { error: 'invalid_client' }), 'CREDENTIALS_REJECTED'],
    ['the scope is refused', json(400, { error: 'invalid_scope' }), 'CREDENTIALS_REJECTED'],
  ])('is 503 with a time to wait when %s; the API sees nothing', async (_case, answerer, code) => {
    await using world = await createProxyWorld(IMPATIENT);
    await loseToken(world, answerer);
    const answer = await world.call('POST /api/x HTTP/1.1', BODY);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([503, code]);
    expect(Number(answer.header('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(answer.json()).toMatchObject({ code, status: 503 });
    expect(answer.header('www-authenticate')).toBeUndefined();
    expect(world.upstream.connections).toBe(0);
  });

  it('is 503 when nothing listens at the endpoint', async () => {
    await using world = await createProxyWorld(IMPATIENT);
    await world.tokens.close();
    await fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    const answer = await world.call('POST /api/x HTTP/1.1', BODY);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([503, 'TOKEN_UNAVAILABLE']);
    expect(world.upstream.connections).toBe(0);
  });

  it('is waited for, once, by callers that came before it', async () => {
    await using world = await createProxyWorld();
    const { promise, resolve } = Promise.withResolvers<void>();
    world.tokens.answerWith((res, call, count) => void promise.then(() => grant('late')(res, call, count)));
    const refreshed = fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    await expect.poll(() => world.tokens.calls.length).toBe(2);
    const answers = Array.from({ length: 50 }, () => world.call('GET /api/x HTTP/1.1'));
    await expect.poll(world.inFlight).toBe(50);
    expect(world.upstream.connections).toBe(0);
    resolve();
    await refreshed;
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(200);
    expect(world.tokens.calls).toHaveLength(2);
    expect(new Set(world.upstream.received.flatMap((bytes) => bytes.match(/Bearer \S+/g)))).toEqual(
      new Set(['Bearer late']),
    );
  });
});

describe('token and secret', () => {
  it('are in no answer of the sidecar and in no line of its log, whatever happens', async () => {
    const TOKEN = 'canary-token-0815-never-printed';
    await using world = await createProxyWorld({
      answer({ target, socket }) {
        if (target === '/reset') socket.destroy();
        return target === '/garbage' ? '\0\r\n\r\n' : ok('fine');
      },
      config: { timeouts: { idle: '200ms' } },
    });
    world.tokens.answerWith(grant(TOKEN));
    await fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    const answers = [
      await world.call('GET /api/x?q=secret-query HTTP/1.1', 'Authorization: Bearer secret-of-caller\r\n\r\n'),
      await world.call('GET /api/reset HTTP/1.1'),
      await world.call('GET /api/garbage HTTP/1.1'),
      await world.call('GET /denied HTTP/1.1'),
      await world.call('TRACE /api/x HTTP/1.1'),
      await world.call('POST /api/x HTTP/1.1', 'Content-Length: 5\r\n\r\nhi'),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 502, 502, 404, 405, 408]);
    await loseToken(world, json(400, { error: 'invalid_client', error_description: TEST_SECRET }));
    answers.push(await world.call('GET /api/x HTTP/1.1'));
    const admin = await Promise.all(
      ['/status', '/metrics', '/readyz'].map(async (path) => (await fetch(world.sidecar.adminUrl + path)).text()),
    );
    const seen = [
      ...answers.map((answer) => JSON.stringify([answer.fields, answer.body])),
      ...admin,
      ...world.sidecar.rawLogs,
    ];
    expect(world.upstream.received.join('')).toContain(TOKEN);
    for (const secret of [TOKEN, TEST_SECRET, 'secret-of-caller', 'secret-query']) {
      expect(seen.filter((text) => text.includes(secret))).toEqual([]);
    }
  });

  it('are kept from the caller by taking them out of headers that the API repeats', async () => {
    await using world = await createProxyWorld({
      answer: (request) => ok('fine', `X-Echo: ${request.fields.at(-1)?.[1]}\r\nX-Raw: token-1 x\r\n`),
    });
    const answer = await world.call('GET /api/x HTTP/1.1');
    expect(JSON.stringify(answer.fields)).not.toContain('token-1');
  });
});
