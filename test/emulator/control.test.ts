import { describe, expect, it } from 'vitest';
import { createWorld, DEMO_SECRET, type World } from './harness.ts';

const SECRETS = '/_emulator/clients/demo-erp/secrets';

const control = (world: World, method: string, path: string, body?: unknown): Promise<Response> =>
  fetch(world.url + path, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });

const tryServed = async (world: World, secret: string): Promise<unknown> => {
  const form = { grant_type: 'client_credentials', client_id: 'demo-erp', client_secret: secret };
  const response = await world.askToken(form);
  return response.status === 200 ? 'token' : ((await response.json()) as { error: string }).error;
};

const echo = async (world: World, token: string): Promise<number> =>
  (await fetch(`${world.url}/echo`, { headers: { authorization: `Bearer ${token}` } })).status;

describe('src/emulator/control.ts', () => {
  it('revokes what was issued before, and nothing issued after', async () => {
    await using world = await createWorld();
    const [used, unused] = [await world.token(), await world.token()];
    expect(await echo(world, used)).toBe(200);
    expect((await control(world, 'POST', '/_emulator/tokens/revoke')).status).toBe(204);
    expect([await echo(world, used), await echo(world, unused)]).toEqual([401, 401]);
    expect(await echo(world, await world.token())).toBe(200);
    expect(await world.counters()).toMatchObject({ unauthorized: 2, expiredTokensSeen: 0 });
  });

  it('counts requests, refusals and tokens, and starts again at zero', async () => {
    await using world = await createWorld();
    const zero = await world.counters();
    expect(zero).toEqual({
      tokenRequests: 0,
      tokensIssued: 0,
      requests: { banking: 0, events: 0, echo: 0, iam: 0 },
      unauthorized: 0,
      expiredTokensSeen: 0,
      payments: { created: 0, replayed: 0 },
      paymentIds: [],
    });
    await world.call('/banking/api/accounts');
    await world.call('/events/api/failed-events');
    await fetch(`${world.url}/echo`);
    await fetch(`${world.url}/echo/bytes/1`);
    await tryServed(world, 'wrong');
    expect(await world.counters()).toMatchObject({
      tokenRequests: 3,
      tokensIssued: 2,
      requests: { banking: 1, events: 1, echo: 2 },
      unauthorized: 2,
    });
    expect((await control(world, 'DELETE', '/_emulator/counters')).status).toBe(204);
    expect(await world.counters()).toEqual(zero);
  });

  it('lets both secrets work during a rotation, and tokens outlive their secret', async () => {
    await using world = await createWorld();
    const added = await control(world, 'POST', SECRETS, { value: 'the next secret' });
    const text = await added.text();
    const { clientSecretId } = JSON.parse(text) as { clientSecretId: string };
    expect([added.status, text.includes('the next secret')]).toEqual([201, false]);
    expect([await tryServed(world, DEMO_SECRET), await tryServed(world, 'the next secret')]).toEqual([
      'token',
      'token',
    ]);
    const token = await world.token();
    expect((await control(world, 'DELETE', `${SECRETS}/demo-secret`)).status).toBe(204);
    expect([await tryServed(world, DEMO_SECRET), await tryServed(world, 'the next secret')]).toEqual([
      'invalid_client',
      'token',
    ]);
    expect(await echo(world, token)).toBe(200);
    expect((await control(world, 'DELETE', `${SECRETS}/${clientSecretId}`)).status).toBe(204);
    expect(await tryServed(world, 'the next secret')).toBe('invalid_client');
  });

  it('accepts a secret in the millisecond it expires and refuses it in the next', async () => {
    await using world = await createWorld();
    await control(world, 'POST', SECRETS, { value: 'brief', expiration: '2026-06-01T14:00:01+02:00' });
    world.clock.ms += 1000;
    expect(await tryServed(world, 'brief')).toBe('token');
    world.clock.ms += 1;
    expect(await tryServed(world, 'brief')).toBe('invalid_client');
    expect(await tryServed(world, DEMO_SECRET)).toBe('token');
  });

  it('accepts a value that is stored twice, when one of the two has expired', async () => {
    await using world = await createWorld();
    await control(world, 'POST', SECRETS, { value: 'twice' });
    await control(world, 'POST', SECRETS, { value: 'twice', expiration: '2020-01-01T00:00:00Z' });
    expect(await tryServed(world, 'twice')).toBe('token');
  });

  it('answers 404 for a client or secret that is not there', async () => {
    await using world = await createWorld();
    expect((await control(world, 'POST', '/_emulator/clients/nobody/secrets', { value: 'x' })).status).toBe(404);
    expect((await control(world, 'DELETE', '/_emulator/clients/nobody/secrets/1')).status).toBe(404);
    expect((await control(world, 'DELETE', `${SECRETS}/1`)).status).toBe(404);
  });

  it.each([
    {},
    { value: '' },
    { value: 'x'.repeat(101) },
    { value: 'x', expiration: 'soon' },
    { value: 'x', other: 1 },
  ])('answers 400 to the secret %j', async (body) => {
    await using world = await createWorld();
    expect((await control(world, 'POST', SECRETS, body)).status).toBe(400);
  });
});
