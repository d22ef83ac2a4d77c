import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createWorld, type Json, SAMPLE, SAMPLE_SECRET, type World } from './harness.ts';

let world: World;
let clientId: string;
beforeAll(async () => {
  world = await createWorld();
});
beforeEach(async () => {
  clientId = (await world.iamJson('POST', '/clients', SAMPLE)).clientId;
});
afterAll(() => world[Symbol.asyncDispose]());

const path = (suffix = ''): string => `/clients/${clientId}/secrets${suffix}`;
const add = (change: object = {}): Promise<Response> => world.iam('POST', path(), { ...SAMPLE_SECRET, ...change });
const ask = async (value: string): Promise<Json> => {
  const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: value };
  return (await world.askToken(form)).json();
};

describe('src/emulator/iam-secrets.ts', () => {
  it('answers the value once, when it is created, and in no list', async () => {
    const created = await add();
    const { clientSecretId, ...rest } = (await created.json()) as Json;
    expect([created.status, rest]).toEqual([201, { ...SAMPLE_SECRET, expiration: null }]);
    const listed = await world.iam('GET', path());
    const text = await listed.text();
    expect(text).not.toContain(SAMPLE_SECRET.value);
    expect(JSON.parse(text)).toMatchObject({
      items: [
        { clientSecretId, description: SAMPLE_SECRET.description, expiration: null, created: '2026-06-01T12:00:00Z' },
      ],
      metadata: { page: 1, pageSize: 100, totalCount: 1 },
    });
    expect(Object.keys(JSON.parse(text).items[0])).toHaveLength(4);
  });

  it('refuses the body of the documentation, since its date has passed, and says so', async () => {
    const literal = `{
"value": "s3cr3tV@lue!",
"description": "Production API access",
"expiration": "2019-08-24T14:15:22Z"
}`;
    const response = await world.iam('POST', path(), literal);
    expect(response.status).toBe(400);
    expect(((await response.json()) as Json).errors).toEqual({
      expiration: ['must be in the future; it is now 2026-06-01T12:00:00.000Z'],
    });
    expect((await add({ expiration: '2026-08-24T14:15:22Z' })).status).toBe(201);
  });

  it.each([
    ['2026-06-01T14:00:01+02:00', '2026-06-01T12:00:01Z'],
    ['2026-06-01T12:00:01.5Z', '2026-06-01T12:00:01.500Z'],
    ['2026-07-01T00:00:00', '2026-07-01T00:00:00Z'],
    ['2027-01-01', '2027-01-01T00:00:00Z'],
    [null, null],
  ])('keeps the expiration %s as %s', async (expiration, kept) => {
    expect(await (await add({ expiration })).json()).toMatchObject({ expiration: kept });
    expect((await world.iamJson('GET', path())).items).toMatchObject([{ expiration: kept }]);
  });

  it.each([
    [{ value: '1234567' }, 'value'],
    [{ value: 'x'.repeat(33) }, 'value'],
    [{ value: undefined }, 'value'],
    [{ value: 12345678 }, 'value'],
    [{ description: '' }, 'description'],
    [{ description: undefined }, 'description'],
    [{ expiration: 'soon' }, 'expiration'],
    [{ expiration: 4711 }, 'expiration'],
    [{ expiration: '2026-02-30T00:00:00Z' }, 'expiration'],
    [{ expiration: '2026-06-01T12:00:00Z' }, 'expiration'],
  ])('answers 400 to %j naming the field and no value', async (change, field) => {
    const response = await add(change);
    const text = await response.text();
    expect([response.status, Object.keys(JSON.parse(text).errors)]).toEqual([400, [field]]);
    expect(text).not.toContain(SAMPLE_SECRET.value);
    expect((await world.iamJson('GET', path())).items).toEqual([]);
  });

  it.each([8, 32])('takes a value of %i characters', async (length) => {
    expect((await add({ value: 'v'.repeat(length) })).status).toBe(201);
    expect(await ask('v'.repeat(length))).toHaveProperty('access_token');
  });

  it('accepts several secrets at once, and tokens outlive their secret', async () => {
    const [old, next] = [await add({ value: 'the old secret' }), await add({ value: 'the next secret' })];
    const { access_token } = await ask('the old secret');
    expect(await ask('the next secret')).toHaveProperty('access_token');
    const { clientSecretId } = (await old.json()) as Json;
    expect((await world.iam('DELETE', path(`/${clientSecretId}`))).status).toBe(204);
    expect(await ask('the old secret')).toEqual({ error: 'invalid_client' });
    expect(await ask('the next secret')).toHaveProperty('access_token');
    const headers = { authorization: `Bearer ${access_token}` };
    expect((await fetch(`${world.url}/echo`, { headers })).status).toBe(200);
    expect((await world.iam('DELETE', path(`/${clientSecretId}`))).status).toBe(404);
    expect(next.status).toBe(201);
  });

  it('answers 404 for a client or secret that is not there', async () => {
    const { clientSecretId } = (await (await add()).json()) as Json;
    expect((await world.iam('DELETE', `/clients/nobody/secrets/${clientSecretId}`)).status).toBe(404);
    expect((await world.iam('DELETE', `/clients/demo-erp/secrets/${clientSecretId}`)).status).toBe(404);
    expect((await world.iam('POST', '/clients/nobody/secrets', SAMPLE_SECRET)).status).toBe(404);
  });

  it('refuses an expired secret, which stays in the list', async () => {
    await using own = await createWorld();
    const client = await own.iamJson('POST', '/clients', SAMPLE);
    const secret = { ...SAMPLE_SECRET, expiration: '2026-06-01T12:00:01Z' };
    await own.iamJson('POST', `/clients/${client.clientId}/secrets`, secret);
    const form = { grant_type: 'client_credentials', client_id: client.clientId, client_secret: SAMPLE_SECRET.value };
    expect((await own.askToken(form)).status).toBe(200);
    own.clock.ms += 1001;
    expect((await own.askToken(form)).status).toBe(400);
    expect((await own.iamJson('GET', `/clients/${client.clientId}/secrets`)).items).toHaveLength(1);
  });

  it('pages 50 secrets to the end by links', async () => {
    for (let number = 0; number < 50; number += 1) await add({ description: `number ${number}` });
    const seen: string[] = [];
    const authorization = `Bearer ${await world.token('services.iam', 'full')}`;
    let link: string | null = `${world.url}/core/iam/v1${path('?page=0&pageSize=1')}`;
    while (link !== null) {
      const page = (await (await fetch(link, { headers: { authorization } })).json()) as Json;
      seen.push(...page.items.map(({ description }: Json) => description));
      link = page.links.next;
    }
    expect(seen).toEqual(Array.from({ length: 50 }, (_, number) => `number ${number}`));
  });
});
