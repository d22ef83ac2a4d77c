import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { createWorld, DEMO_SECRET, type World } from './harness.ts';

const GRANT = { grant_type: 'client_credentials', client_id: 'demo-erp', client_secret: DEMO_SECRET, scope: 'api' };

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

/** RFC 6749 §2.3.1: both halves are form-encoded before base64. */
const basic = (id: string, secret: string): { authorization: string } => {
  const [user, password] = [id, secret].map((part) => new URLSearchParams({ part }).toString().slice('part='.length));
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
};

describe('src/emulator/client-secret.ts', () => {
  const odd = ['a:b', 'p%+ /ü', '%41', '+', ' ', 's3cr3tV@lue!', '日本'];
  const oddClients = odd.map((value, index) => ({
    ...DEMO_CLIENT,
    clientId: `id ${index}:${value}`,
    secrets: [{ clientSecretId: '1', value, description: '' }],
  }));
  let oddWorld: World;
  beforeAll(async () => {
    oddWorld = await createWorld({ clients: oddClients });
  });
  afterAll(() => oddWorld[Symbol.asyncDispose]());

  it.each(odd.map((value, index) => [value, `id ${index}:${value}`]))(
    'accepts the secret %j through Basic and through the form',
    async (value, id) => {
      const grant = { grant_type: 'client_credentials' };
      expect((await oddWorld.askToken(grant, basic(id, value))).status).toBe(200);
      expect((await oddWorld.askToken({ ...grant, client_id: id, client_secret: value })).status).toBe(200);
      expect((await oddWorld.askToken({ ...grant, client_id: id, client_secret: `${value}x` })).status).toBe(400);
    },
  );

  it('splits at the first colon, when the secret holds one that was not encoded', async () => {
    const authorization = `Basic ${Buffer.from('colon:a:b').toString('base64')}`;
    const client = {
      ...DEMO_CLIENT,
      clientId: 'colon',
      secrets: [{ clientSecretId: '1', value: 'a:b', description: '' }],
    };
    await using own = await createWorld({ clients: [client] });
    expect((await own.askToken({ grant_type: 'client_credentials' }, { authorization })).status).toBe(200);
  });

  it('refuses a secret that was not form-encoded before base64, when that changes it', async () => {
    const raw = `Basic ${Buffer.from(`${encodeURIComponent('id 3:+')}:+`).toString('base64')}`;
    const response = await oddWorld.askToken({ grant_type: 'client_credentials' }, { authorization: raw });
    expect(await response.json()).toEqual({ error: 'invalid_client' });
  });

  it('prefers Basic, when both carry a secret', async () => {
    const wrongForm = { ...GRANT, client_secret: 'wrong' };
    expect((await world.askToken(wrongForm, basic('demo-erp', DEMO_SECRET))).status).toBe(200);
    expect((await world.askToken(GRANT, basic('demo-erp', 'wrong'))).status).toBe(400);
  });

  it('takes the form, when Basic carries no secret', async () => {
    expect((await world.askToken(GRANT, basic('demo-erp', ''))).status).toBe(200);
  });

  it('answers invalid_client, when Basic names a client without a secret and the form none', async () => {
    const response = await world.askToken({ grant_type: 'client_credentials' }, basic('demo-erp', ''));
    expect(await response.json()).toEqual({ error: 'invalid_client' });
  });

  it.each([
    ['is not base64', 'Basic ???'],
    ['lacks padding', `Basic ${Buffer.from('demo-erp:wrong').toString('base64').replaceAll('=', '')}`],
    ['has no colon', `Basic ${Buffer.from('demo-erp').toString('base64')}`],
    ['has a broken escape', `Basic ${Buffer.from('demo-erp:%zz').toString('base64')}`],
    ['has an overlong secret', `Basic ${Buffer.from(`demo-erp:${'x'.repeat(101)}`).toString('base64')}`],
    ['is of another scheme', 'Bearer abc'],
    ['is empty', 'Basic '],
  ])('ignores the header and takes the form, when the header %s', async (_case, authorization) => {
    expect((await world.askToken(GRANT, { authorization })).status).toBe(200);
    const alone = await world.askToken({ grant_type: 'client_credentials' }, { authorization });
    expect(await alone.json()).toEqual({ error: 'invalid_request' });
  });

  it('reads the scheme in any case', async () => {
    const { authorization } = basic('demo-erp', DEMO_SECRET);
    const header = { authorization: authorization.replace('Basic', 'bASIC') };
    expect((await world.askToken({ grant_type: 'client_credentials' }, header)).status).toBe(200);
  });
});
