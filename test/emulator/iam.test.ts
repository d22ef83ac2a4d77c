import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEmulator } from '../../src/emulator/server.ts';
import { ADMIN_CLIENT, DEMO_CLIENT } from '../../src/emulator/store.ts';
import { createWorld, IAM, type Json, SAMPLE, type World } from './harness.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const OPERATIONS = [
  ['GET', '/clients'],
  ['POST', '/clients'],
  ['GET', '/clients/demo-erp'],
  ['PUT', '/clients/demo-erp'],
  ['DELETE', '/clients/demo-erp'],
  ['GET', '/clients/demo-erp/secrets'],
  ['POST', '/clients/demo-erp/secrets'],
  ['DELETE', '/clients/demo-erp/secrets/demo-secret'],
  ['GET', '/subjects/clients'],
  ['GET', '/subjects/clients/demo-erp/permissions'],
  ['GET', '/policies'],
  ['POST', '/policies'],
  ['DELETE', '/policies'],
  ['GET', '/actions'],
  ['GET', '/scopes'],
] as const;

describe('src/emulator/iam.ts', () => {
  it.each(OPERATIONS)(
    'answers %s %s without a token 401, without the scope 403, and does nothing',
    async (method, path) => {
      const url = world.url + IAM + path;
      const bare = await fetch(url, { method });
      expect([bare.status, bare.headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
      const weak = { authorization: `Bearer ${await world.token('api')}` };
      const refused = await fetch(url, { method, headers: weak });
      expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([403, expect.stringMatching(/scope/)]);
      expect((await world.iam('GET', '/clients/demo-erp')).status).toBe(200);
    },
  );

  it('names every action with its parent, up to one root', async () => {
    const { items } = await world.iamJson('GET', '/actions');
    const parents = new Map<string, string | null>(items.map(({ action, parent }: Json) => [action, parent]));
    const rootOf = (action: string): string => {
      const parent = parents.get(action);
      return parent ? rootOf(parent) : action;
    };
    expect(new Set([...parents.keys()].map(rootOf))).toEqual(new Set(['owner']));
    expect(parents.get('banking.manage')).toBe('owner');
    expect(parents.get('banking.pis.authorize')).toBe('banking.pis.manage');
    expect([...parents.keys()]).toContain('iam.policy.read');
  });

  it('names the scopes that tokens can have', async () => {
    expect(await world.iamJson('GET', '/scopes')).toEqual({
      items: [{ name: 'api' }, { name: 'services.banking' }, { name: 'services.iam' }],
    });
  });

  it('counts its requests', async () => {
    await using own = await createWorld();
    await own.iam('GET', '/clients');
    await fetch(`${own.url}${IAM}/clients`);
    expect(await own.counters()).toMatchObject({ requests: { iam: 2, banking: 0 } });
  });

  it('has an administrator from the start, who may use IAM and not Banking', async () => {
    const emulator = await startEmulator({ port: 0 });
    const [secret] = ADMIN_CLIENT.secrets;
    const body = new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: 'demo-admin',
      client_secret: secret?.value ?? '',
    });
    const { access_token, scope } = (await (
      await fetch(`${emulator.url}/connect/token`, { method: 'POST', body })
    ).json()) as Json;
    const headers = { authorization: `Bearer ${access_token}` };
    const statuses = [`${IAM}/clients`, '/banking/api/accounts'].map(
      async (path) => (await fetch(emulator.url + path, { headers })).status,
    );
    expect([scope, await Promise.all(statuses)]).toEqual(['services.iam', [200, 403]]);
    await emulator.close();
  });

  it('lists 10,000 clients, 5,000 policies of one of them and 50 secrets within seconds', async () => {
    const secrets = Array.from({ length: 50 }, (_, n) => ({
      clientSecretId: `${n}`,
      value: `secret ${n}`,
      description: '',
    }));
    const policies = Array.from({ length: 5000 }, (_, n) => ({
      scope: `/subscriptions/${n}`,
      action: 'banking.ais.read',
    }));
    const clients = Array.from({ length: 10_000 }, (_, n) => ({ ...DEMO_CLIENT, clientId: `many-${n}`, secrets: [] }));
    const admin = { ...DEMO_CLIENT, clientId: 'full', allowedScopes: ['services.iam', 'api'] };
    const heavy = { ...DEMO_CLIENT, clientId: 'heavy', secrets, policies };
    await using own = await createWorld({ clients: [admin, heavy, ...clients] });
    const authorization = `Bearer ${await own.token('services.iam', 'full')}`;
    const read = async (url: string): Promise<Json> => (await fetch(url, { headers: { authorization } })).json();

    const start = process.cpuUsage();
    let link: string | null = `${own.url}${IAM}/clients?pageSize=200`;
    let count = 0;
    while (link !== null) {
      const page: Json = await read(link);
      count += page.items.length;
      link = page.links.next;
    }
    expect(count).toBe(10_002);
    let cursor = '';
    count = 0;
    do {
      const page = await read(`${own.url}${IAM}/policies?subject=client-heavy&pageSize=200${cursor}`);
      count += page.items.length;
      cursor = page.cursor ? `&cursor=${page.cursor}` : '';
    } while (cursor !== '');
    expect(count).toBe(5000);
    expect((await read(`${own.url}${IAM}/clients/heavy/secrets`)).items).toHaveLength(50);
    expect((await read(`${own.url}${IAM}/clients?searchText=many-9999`)).items).toHaveLength(1);
    for (let round = 0; round < 50; round += 1) await own.iam('POST', '/clients', SAMPLE);
    const form = { grant_type: 'client_credentials', client_id: 'heavy', client_secret: 'secret 49' };
    const { access_token } = (await (await own.askToken(form)).json()) as Json;
    for (let round = 0; round < 200; round += 1) {
      const headers = { authorization: `Bearer ${access_token}`, 'subscription-id': '4999' };
      expect((await fetch(`${own.url}/banking/api/accounts?pageSize=1`, { headers })).status).toBe(200);
    }
    // Of the processor, which a busy machine does not make more.
    const { user, system } = process.cpuUsage(start);
    expect((user + system) / 1000).toBeLessThan(10_000);
  });
});
