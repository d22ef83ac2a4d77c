import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, IAM, type Json, SAMPLE, type World } from './harness.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const create = (fields: object = {}): Promise<Json> => world.iamJson('POST', '/clients', { ...SAMPLE, ...fields });

describe('src/emulator/iam-clients.ts', () => {
  it('creates a client with a new id, which Location and the body name', async () => {
    const response = await world.iam('POST', '/clients', SAMPLE);
    const body = (await response.json()) as Json;
    expect([response.status, response.headers.get('location')]).toEqual([201, `${IAM}/clients/${body.clientId}`]);
    expect(body).toEqual({ clientId: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/), ...SAMPLE });
    expect(await world.iamJson('GET', `/clients/${body.clientId}`)).toEqual(body);
  });

  it('takes the body of the documentation as it is', async () => {
    const literal = `{
"name": "My Application",
"description": "string",
"allowedGrantTypes": [
"string"
],
"redirectUris": [
"string"
],
"allowedScopes": [
"string"
]
}`;
    const created = await world.iamJson('POST', '/clients', literal);
    expect(created).toMatchObject({
      allowedGrantTypes: ['string'],
      redirectUris: ['string'],
      allowedScopes: ['string'],
    });
    const replaced = await world.iamJson('PUT', `/clients/${created.clientId}`, literal);
    expect(replaced).toEqual(created);
  });

  it('lets two clients have the same name', async () => {
    const [first, second] = [await create({ name: 'Twin' }), await create({ name: 'Twin' })];
    expect(first.clientId).not.toBe(second.clientId);
  });

  it.each([
    [{ name: undefined }, 'name'],
    [{ name: '' }, 'name'],
    [{ name: 7 }, 'name'],
    [{ description: undefined }, 'description'],
    [{ description: null }, 'description'],
    [{ allowedGrantTypes: 'client_credentials' }, 'allowedGrantTypes'],
    [{ allowedGrantTypes: undefined }, 'allowedGrantTypes'],
    [{ allowedScopes: [1] }, 'allowedScopes.0'],
    [{ allowedScopes: undefined }, 'allowedScopes'],
    [{ redirectUris: undefined }, 'redirectUris'],
    [{ redirectUris: null }, 'redirectUris'],
  ])('answers 400 to %j naming the field, to create and to replace', async (change, field) => {
    const { clientId } = await create();
    for (const [method, path] of [
      ['POST', '/clients'],
      ['PUT', `/clients/${clientId}`],
    ] as const) {
      const response = await world.iam(method, path, { ...SAMPLE, ...change });
      expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
      const { status, errors } = (await response.json()) as Json;
      expect([response.status, status, Object.keys(errors)]).toEqual([400, 400, [field]]);
    }
    expect(await world.iamJson('GET', `/clients/${clientId}`)).toEqual({ clientId, ...SAMPLE });
  });

  it.each(['', '[]', 'null', '{', '"x"'])('answers 400 to the body %j', async (body) => {
    expect((await world.iam('POST', '/clients', body)).status).toBe(400);
  });

  it('names every missing field at once', async () => {
    const { errors } = (await (await world.iam('POST', '/clients', {})).json()) as Json;
    expect(Object.keys(errors)).toEqual(['name', 'description', 'allowedGrantTypes', 'allowedScopes', 'redirectUris']);
  });

  it('replaces all five fields, and the token endpoint goes by the new ones', async () => {
    const { clientId } = await world.newcomer();
    const next = { ...SAMPLE, name: 'New', description: '', allowedScopes: ['services.banking'] };
    expect(await world.iamJson('PUT', `/clients/${clientId}`, next)).toEqual({ clientId, ...next });
    const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: 's3cr3tV@lue!' };
    expect(await (await world.askToken(form)).json()).toMatchObject({ scope: 'services.banking' });
    expect(await (await world.askToken({ ...form, scope: 'api' })).json()).toEqual({ error: 'invalid_scope' });
  });

  it.each([
    ['GET', ''],
    ['PUT', ''],
    ['DELETE', ''],
    ['GET', '/secrets'],
  ])('answers 404 to %s of an unknown client%s', async (method, suffix) => {
    const response = await world.iam(method, `/clients/nobody${suffix}`, method === 'PUT' ? SAMPLE : undefined);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ title: 'Not Found', status: 404, detail: expect.any(String) });
  });

  it('deletes a client with its secrets and policies; its tokens are refused at once by every API', async () => {
    const all = ['api', 'services.iam', 'services.banking'];
    const { clientId } = await create({ allowedScopes: all });
    await world.iamJson('POST', `/clients/${clientId}/secrets`, { value: 'a long secret', description: 'x' });
    const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: 'a long secret' };
    const { access_token } = (await (await world.askToken(form)).json()) as Json;
    const policy = { subject: `client-${clientId}`, scope: '/', action: 'banking.manage' };
    await world.iamJson('POST', '/policies', policy);
    const paths = ['/banking/api/accounts', '/events/api/failed-events', '/echo', `${IAM}/clients`];
    const statuses = async () => {
      const headers = { authorization: `Bearer ${access_token}` };
      return Promise.all(paths.map(async (path) => (await fetch(world.url + path, { headers })).status));
    };
    expect(await statuses()).toEqual([200, 200, 200, 200]);
    expect((await world.iam('DELETE', `/clients/${clientId}`)).status).toBe(204);
    expect(await statuses()).toEqual([401, 401, 401, 401]);
    expect(await (await world.askToken(form)).json()).toEqual({ error: 'invalid_client' });
    expect((await world.iamJson('GET', `/policies?subject=${policy.subject}`)).items).toEqual([]);
    expect((await world.iam('DELETE', `/clients/${clientId}`)).status).toBe(404);
  });

  it('deletes where a program sends the media type of JSON without any', async () => {
    const { clientId } = await create();
    expect((await world.iam('DELETE', `/clients/${clientId}`, '')).status).toBe(204);
  });
});

describe('listing', () => {
  let own: World;
  beforeAll(async () => {
    own = await createWorld();
    for (let number = 1; number <= 25; number += 1) {
      await own.iamJson('POST', '/clients', { ...SAMPLE, name: `Åpp & Co #${number}` });
    }
  });
  afterAll(() => own[Symbol.asyncDispose]());

  it('answers the samples of the documentation, page 0 of size 0, as the first page of usual size', async () => {
    const { items, metadata, links } = await own.iamJson('GET', '/clients?searchText=string&page=0&pageSize=0');
    expect([items, metadata]).toEqual([[], { page: 1, pageSize: 100, totalCount: 0 }]);
    expect(links).toMatchObject({ previous: null, next: null });
    const all = await own.iamJson('GET', '/clients?page=0&pageSize=0');
    expect(all.metadata).toEqual({ page: 1, pageSize: 100, totalCount: 27 });
    expect(Object.keys(all.items[0])).toEqual(['clientId', 'name', 'description']);
  });

  it('goes to the end and back by absolute links that keep the search', async () => {
    const seen: string[] = [];
    let link: string | null = `${own.url}${IAM}/clients?searchText=${encodeURIComponent('åPP & co #')}&pageSize=10`;
    let last: Json;
    const authorization = `Bearer ${await own.token('services.iam', 'full')}`;
    while (link !== null) {
      last = await (await fetch(link, { headers: { authorization } })).json();
      seen.push(...last.items.map(({ name }: Json) => name));
      link = last.links.next;
    }
    expect(seen).toEqual(Array.from({ length: 25 }, (_, index) => `Åpp & Co #${index + 1}`));
    expect(last.metadata).toEqual({ page: 3, pageSize: 10, totalCount: 25 });
    expect(last.links.last).toMatch(/^http:.*searchText=.*&page=3&pageSize=10$/);
    const first = (await (await fetch(last.links.first, { headers: { authorization } })).json()) as Json;
    const middle = (await (await fetch(last.links.previous, { headers: { authorization } })).json()) as Json;
    expect([first.metadata.page, middle.metadata.page, middle.links.previous]).toEqual([1, 2, last.links.first]);
  });

  it.each([
    ['pageSize=1', 10],
    ['pageSize=-5', 100],
    ['pageSize=199', 199],
    ['pageSize=5000', 200],
    ['', 100],
  ])('clamps %s to %i', async (query, size) => {
    expect((await own.iamJson('GET', `/clients?${query}`)).metadata.pageSize).toBe(size);
  });

  it('answers an empty page behind the last one, with a way back', async () => {
    const { items, links } = await own.iamJson('GET', '/clients?page=99&pageSize=10');
    expect([items, links.next]).toEqual([[], null]);
    expect(links.previous).toMatch(/page=3&/);
  });

  it('searches in names and ids, in any case', async () => {
    expect((await own.iamJson('GET', '/clients?searchText=DEMO-ERP')).items).toHaveLength(1);
    expect((await own.iamJson('GET', '/clients?searchText=%2325')).items).toHaveLength(1);
    expect((await own.iamJson('GET', '/clients?searchText=.*')).items).toHaveLength(0);
  });

  it.each(['page=x', 'pageSize=', 'pageSize=1.5', 'page=1&page=2', 'searchText=a&searchText=b'])(
    'answers 400 to %s',
    async (query) => {
      const response = await own.iam('GET', `/clients?${query}`);
      expect([response.status, Object.keys(((await response.json()) as Json).errors)]).toEqual([
        400,
        [query.split('=')[0]],
      ]);
    },
  );
});
