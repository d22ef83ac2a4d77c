import { request as httpRequest } from 'node:http';
import { generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, type World } from './harness.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const PATHS = ['/banking/api/accounts', '/events/api/failed-events', '/echo'];

const get = (url: string, authorization?: string): Promise<Response> =>
  fetch(url, authorization === undefined ? {} : { headers: { authorization } });

describe('src/emulator/bearer.ts', () => {
  it.each(PATHS)('challenges %s with the bare scheme, when there is no token', async (path) => {
    for (const authorization of [undefined, 'Basic YTpi', 'Bearer', 'Bearer ', 'Bearerx']) {
      const response = await get(world.url + path, authorization);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
    }
  });

  it('answers refusals as problem+json with a traceId of its own', async () => {
    const first = await get(`${world.url}/echo`);
    const problem = (await first.json()) as { traceId: string };
    expect(first.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(problem).toEqual({
      type: 'https://tools.ietf.org/html/rfc9110#section-15.5.2',
      title: 'Unauthorized',
      status: 401,
      traceId: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/),
    });
    const second = (await (await get(`${world.url}/echo`)).json()) as { traceId: string };
    expect(second.traceId).not.toBe(problem.traceId);
  });

  it.each(PATHS)('refuses garbage on %s as invalid_token', async (path) => {
    const response = await get(world.url + path, 'Bearer abc.def.ghi');
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token", error_description=".+"$/);
  });

  it('refuses a token that another key signed, whatever it claims', async () => {
    const { privateKey } = await generateKeyPair('RS256');
    const forged = await new SignJWT({ scope: ['api'], exp: 9e9, jti: 'x', client_id: 'demo-erp' })
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt' })
      .sign(privateKey);
    expect((await get(`${world.url}/echo`, `Bearer ${forged}`)).status).toBe(401);
  });

  it('refuses a token that was good until one character changed', async () => {
    const token = await world.token();
    const [header, payload, signature = ''] = token.split('.');
    const changed = (signature[10] === 'A' ? 'B' : 'A') + signature.slice(11);
    expect((await get(`${world.url}/echo`, `Bearer ${token}`)).status).toBe(200);
    const forged = [header, payload, signature.slice(0, 10) + changed].join('.');
    expect((await get(`${world.url}/echo`, `Bearer ${forged}`)).status).toBe(401);
  });

  it('reads the scheme in any case', async () => {
    expect((await get(`${world.url}/echo`, `bEARER ${await world.token()}`)).status).toBe(200);
  });

  it('refuses two Authorization fields, though each alone is good', async () => {
    const field = `Bearer ${await world.token()}`;
    const send = (values: string[]): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const headers = values.flatMap((value) => ['Authorization', value]);
        httpRequest(`${world.url}/echo`, { headers: ['Host', 'x', ...headers] }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on('error', reject)
          .end();
      });
    expect(await send([field])).toBe(200);
    expect(await send([field, field])).toBe(401);
  });

  it.each([
    ['/banking/api/accounts', 'services.banking', 200],
    ['/banking/api/accounts', 'api', 200],
    ['/banking/api/accounts', 'services.iam', 403],
    ['/events/api/failed-events', 'api', 200],
    ['/events/api/failed-events', 'services.banking', 403],
    ['/echo', 'services.banking', 403],
    ['/echo', 'services.iam services.banking', 403],
  ])('answers %s with scope %j: %i', async (path, scope, status) => {
    const response = await get(world.url + path, `Bearer ${await world.token(scope, 'full')}`);
    expect(response.status).toBe(status);
    const challenge = status === 403 ? 'Bearer error="insufficient_scope"' : null;
    expect(response.headers.get('www-authenticate')).toBe(challenge);
  });

  it('refuses a token from the very millisecond it expires, also one it has seen before', async () => {
    await using own = await createWorld({ tokenLifetimeS: 60 });
    const authorization = `Bearer ${await own.token()}`;
    own.clock.ms += 59_999;
    expect((await get(`${own.url}/echo`, authorization)).status).toBe(200);
    own.clock.ms += 1;
    const response = await get(`${own.url}/echo`, authorization);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe(
      'Bearer error="invalid_token", error_description="The token expired at \'2026-06-01T12:01:00.000Z\'"',
    );
    expect(await own.counters()).toMatchObject({ unauthorized: 1, expiredTokensSeen: 1 });
  });

  it('keeps no token of a run for the next one', async () => {
    await using own = await createWorld();
    const response = await get(`${own.url}/echo`, `Bearer ${await world.token()}`);
    expect(response.status).toBe(401);
    expect(await own.counters()).toMatchObject({ unauthorized: 1, expiredTokensSeen: 0 });
  });
});
