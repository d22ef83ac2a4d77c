import { describe, expect, it } from 'vitest';
import { createWorld, type Json, SAMPLE, SAMPLE_SECRET, type World } from './harness.ts';

const put = (world: World, change: unknown): Promise<Response> =>
  fetch(`${world.url}/_emulator/iam`, {
    method: 'PUT',
    body: JSON.stringify(change),
    headers: { 'content-type': 'application/json' },
  });

const served = async (world: World, clientId: string, value: string): Promise<boolean> => {
  const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: value };
  return (await world.askToken(form)).status === 200;
};

const shape = async (response: Response): Promise<unknown> => [
  response.status,
  response.headers.get('location'),
  await response.text(),
];

describe('src/emulator/iam-settings.ts', () => {
  it('begins as the start says and changes part by part', async () => {
    await using world = await createWorld({ iam: { duplicatePolicy: 'conflict' } });
    const read = async (): Promise<unknown> => (await fetch(`${world.url}/_emulator/iam`)).json();
    expect(await read()).toEqual({
      createResponse: 'body',
      duplicatePolicy: 'conflict',
      clientCacheS: 0,
      lenient: false,
    });
    expect(await (await put(world, { clientCacheS: 90 })).json()).toMatchObject({ clientCacheS: 90, lenient: false });
    expect(await read()).toEqual({
      createResponse: 'body',
      duplicatePolicy: 'conflict',
      clientCacheS: 90,
      lenient: false,
    });
  });

  it.each([{ createResponse: 'none' }, { clientCacheS: -1 }, { clientCacheS: '90s' }, { other: 1 }, []])(
    'answers 400 to %j and changes nothing',
    async (change) => {
      await using world = await createWorld();
      expect((await put(world, change)).status).toBe(400);
      expect(await (await fetch(`${world.url}/_emulator/iam`)).json()).toMatchObject({
        clientCacheS: 0,
        lenient: false,
      });
    },
  );

  it('creates without any content, when answers are empty; what was made is found by listing', async () => {
    await using world = await createWorld({ iam: { createResponse: 'empty' } });
    expect(await shape(await world.iam('POST', '/clients', SAMPLE))).toEqual([200, null, '']);
    const [{ clientId }] = (await world.iamJson('GET', '/clients?searchText=my+app')).items;
    expect(await shape(await world.iam('POST', `/clients/${clientId}/secrets`, SAMPLE_SECRET))).toEqual([
      201,
      null,
      '',
    ]);
    expect((await world.iamJson('GET', `/clients/${clientId}/secrets`)).items).toHaveLength(1);
    expect(await served(world, clientId, SAMPLE_SECRET.value)).toBe(true);
    const policy = { subject: `client-${clientId}`, scope: '/', action: 'owner' };
    expect(await shape(await world.iam('POST', '/policies', policy))).toEqual([200, null, '']);
    expect(await shape(await world.iam('PUT', `/clients/${clientId}`, SAMPLE))).toEqual([204, null, '']);
    expect((await world.iam('POST', '/clients', {})).status).toBe(400);
    await put(world, { createResponse: 'body' });
    expect((await world.iam('POST', '/clients', SAMPLE)).status).toBe(201);
  });

  it('answers 409 to the same policy again, when duplicates are a conflict', async () => {
    await using world = await createWorld({ iam: { duplicatePolicy: 'conflict' } });
    const { subject } = await world.newcomer();
    const policy = { subject, scope: '/', action: 'owner' };
    expect((await world.iam('POST', '/policies', policy)).status).toBe(200);
    const again = await world.iam('POST', '/policies', policy);
    expect([again.status, ((await again.json()) as Json).title]).toEqual([409, 'Conflict']);
    expect((await world.iamJson('GET', `/policies?subject=${subject}`)).items).toHaveLength(1);
  });
});

describe('src/emulator/client-cache.ts', () => {
  const NEW = { value: 'the new secret', description: 'new' };

  it('refuses a new secret for exactly the seconds of the cache, when none was loaded before', async () => {
    await using world = await createWorld({ iam: { clientCacheS: 90 } });
    await world.iamJson('POST', '/clients/demo-erp/secrets', NEW);
    expect(await served(world, 'demo-erp', NEW.value)).toBe(false);
    world.clock.ms += 89_999;
    expect(await served(world, 'demo-erp', NEW.value)).toBe(false);
    expect(await served(world, 'demo-erp', 'demo-secret-not-for-production')).toBe(true);
    world.clock.ms += 1;
    expect(await served(world, 'demo-erp', NEW.value)).toBe(true);
  });

  it('goes by the time it loaded the client, when that was before the change', async () => {
    await using world = await createWorld({ iam: { clientCacheS: 90 } });
    await world.token();
    world.clock.ms += 60_000;
    await world.iamJson('POST', '/clients/demo-erp/secrets', NEW);
    world.clock.ms += 29_999;
    expect(await served(world, 'demo-erp', NEW.value)).toBe(false);
    world.clock.ms += 1;
    expect(await served(world, 'demo-erp', NEW.value)).toBe(true);
  });

  it('accepts a deleted secret as long', async () => {
    await using world = await createWorld({ iam: { clientCacheS: 90 } });
    await world.iam('DELETE', '/clients/demo-erp/secrets/demo-secret');
    world.clock.ms += 89_999;
    expect(await served(world, 'demo-erp', 'demo-secret-not-for-production')).toBe(true);
    world.clock.ms += 1;
    expect(await served(world, 'demo-erp', 'demo-secret-not-for-production')).toBe(false);
  });

  it('shows the lists as they are, only the token endpoint is late', async () => {
    await using world = await createWorld({ iam: { clientCacheS: 90 } });
    await world.iamJson('POST', '/clients/demo-erp/secrets', NEW);
    expect((await world.iamJson('GET', '/clients/demo-erp/secrets')).items).toHaveLength(2);
  });

  it('still gives tokens to a deleted client, and every API refuses them at once', async () => {
    await using world = await createWorld({ iam: { clientCacheS: 90 } });
    const before = await world.token();
    await world.iam('DELETE', '/clients/demo-erp');
    const after = await world.token();
    for (const token of [before, after]) {
      const headers = { authorization: `Bearer ${token}` };
      expect((await fetch(`${world.url}/banking/api/accounts`, { headers })).status).toBe(401);
    }
    world.clock.ms += 90_000;
    expect(await served(world, 'demo-erp', 'demo-secret-not-for-production')).toBe(false);
  });

  it('forgets what it holds, when its time is set anew or to nothing', async () => {
    await using world = await createWorld({ iam: { clientCacheS: 90 } });
    await world.iamJson('POST', '/clients/demo-erp/secrets', NEW);
    expect(await served(world, 'demo-erp', NEW.value)).toBe(false);
    await put(world, { clientCacheS: 0 });
    expect(await served(world, 'demo-erp', NEW.value)).toBe(true);
  });

  it('does not keep what was not there: a new client can be used at once after its secret is old enough', async () => {
    await using world = await createWorld({ iam: { clientCacheS: 90 } });
    expect(await served(world, 'nobody', 'x')).toBe(false);
    const { clientId } = await world.iamJson('POST', '/clients', SAMPLE);
    await world.iamJson('POST', `/clients/${clientId}/secrets`, NEW);
    world.clock.ms += 90_000;
    expect(await served(world, clientId, NEW.value)).toBe(true);
  });
});
