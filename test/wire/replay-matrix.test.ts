/** Every 401 by method, challenge and persistence: how often the API is asked, with which bytes, and for how many tokens. */
import { request } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { createFakeClock } from '../support/clock.ts';
import { valuesOf } from '../support/messages.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { startTestSidecar } from '../support/sidecar.ts';

const MIB = 'x'.repeat(1024 * 1024);
const post = (body: string) => `Idempotency-Key: k1\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const REQUESTS = {
  GET: { line: 'GET /api/x HTTP/1.1', rest: '\r\n', body: '' },
  'a small POST': { line: 'POST /api/x HTTP/1.1', rest: post('hi'), body: 'hi' },
  'a POST of 1 MiB': { line: 'POST /api/x HTTP/1.1', rest: post(MIB), body: MIB },
};
const CHALLENGES = {
  'a challenge': 'WWW-Authenticate: Bearer error="invalid_token"\r\n',
  'no challenge': '',
  insufficient_scope: 'WWW-Authenticate: Bearer error="insufficient_scope"\r\n',
};
type Name = keyof typeof REQUESTS;
type Challenge = keyof typeof CHALLENGES;

/** The decision, spelled out: which of them go a second time. */
const AGAIN: ReadonlySet<string> = new Set(['GET/a challenge', 'GET/no challenge', 'a small POST/a challenge']);
const ROWS = (Object.keys(REQUESTS) as Name[]).flatMap((name) =>
  (Object.keys(CHALLENGES) as Challenge[]).flatMap((challenge) =>
    (['once', 'always'] as const).map((how) => [name, challenge, how] as const),
  ),
);

describe('a 401', () => {
  it.each(ROWS)('to %s with %s, %s', async (name, challenge, how) => {
    const refusal = `HTTP/1.1 401 No\r\n${CHALLENGES[challenge]}Content-Length: 3\r\n\r\nbad`;
    const clock = createFakeClock();
    await using world = await createProxyWorld({
      clock,
      answer: (_request, index) => (how === 'always' || index === 0 ? refusal : ok('fine')),
    });
    const { line, rest, body } = REQUESTS[name];
    const again = AGAIN.has(`${name}/${challenge}`);
    const answer = await world.call(line, rest);
    expect(answer.status).toBe(again && how === 'once' ? 200 : 401);
    const seen = world.upstream.requests;
    const tokens = again ? ['Bearer token-1', 'Bearer token-2'] : ['Bearer token-1'];
    expect(seen.map((one) => valuesOf(one, 'authorization').join())).toEqual(tokens);
    expect(seen.every((one) => one.body === body)).toBe(true);
    const keys = seen.flatMap((one) => valuesOf(one, 'idempotency-key'));
    expect(keys).toEqual(name === 'GET' ? [] : tokens.map(() => 'k1'));
    // A token that is blamed is renewed for the calls to come, also where this one cannot go again.
    const renewed = again || `${name}/${challenge}` === 'a POST of 1 MiB/a challenge';
    await expect.poll(() => world.tokens.calls.length).toBe(renewed ? 2 : 1);
  });

  it('to a hundred payments at once costs one token request, and each is made exactly once', async () => {
    const emulator = await startEmulator({ port: 0 });
    const clock = createFakeClock(Date.now());
    const sidecar = await startTestSidecar({
      upstream: `${emulator.url}/banking/api`,
      tokenEndpoint: `${emulator.url}/connect/token`,
      clientId: DEMO_CLIENT.clientId,
      secret: DEMO_CLIENT.secrets[0]?.value ?? '',
      clock,
    });
    onTestFinished(async () => {
      await sidecar.stop();
      await emulator.close();
    });
    const pay = async (value: number) => {
      const transfer = {
        debtorAccount: { iban: 'NO3399018600001' },
        creditorAccount: { iban: 'NO9386011117947' },
        amount: { value, currency: 'NOK' },
      };
      const answer = await request(`${sidecar.url}/api/payments/credit-transfer`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(transfer),
      });
      return { status: answer.statusCode, id: ((await answer.body.json()) as { id: string }).id };
    };
    await pay(1);
    await fetch(`${emulator.url}/_emulator/tokens/revoke`, { method: 'POST' });
    await fetch(`${emulator.url}/_emulator/counters`, { method: 'DELETE' });
    await clock.advance(2000);
    const paid = await Promise.all(Array.from({ length: 100 }, (_, index) => pay(index + 1)));
    const counters = (await (await fetch(`${emulator.url}/_emulator/counters`)).json()) as {
      tokenRequests: number;
      payments: object;
      paymentIds: string[];
    };
    expect(new Set(paid.map(({ status }) => status))).toEqual(new Set([201]));
    expect(counters).toMatchObject({ tokenRequests: 1, payments: { created: 100, replayed: 0 } });
    expect(counters.paymentIds.sort()).toEqual(paid.map(({ id }) => id).sort());
  });
});
