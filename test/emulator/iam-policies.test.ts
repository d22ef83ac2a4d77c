import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, type Json, type Newcomer, type World } from './harness.ts';

let world: World;
let who: Newcomer;
beforeAll(async () => {
  world = await createWorld();
  who = await world.newcomer();
});
afterAll(() => world[Symbol.asyncDispose]());

const policy = (change: object = {}): Json => ({
  subject: who.subject,
  scope: '/subscriptions/123',
  action: 'banking.ais.read',
  ...change,
});

const follow = async (query: string): Promise<{ items: Json[]; sizes: number[] }> => {
  const items: Json[] = [];
  const sizes: number[] = [];
  let cursor: string | undefined;
  do {
    const page: Json = await world.iamJson('GET', `/policies?${query}${cursor ? `&cursor=${cursor}` : ''}`);
    items.push(...page.items);
    sizes.push(page.items.length);
    cursor = page.cursor;
  } while (cursor !== undefined && sizes.length < 1000);
  return { items, sizes };
};

describe('src/emulator/iam-policies.ts', () => {
  it('creates a policy, again without harm, and deletes it by its tuple in the body', async () => {
    const first = await world.iam('POST', '/policies', policy());
    expect([first.status, await first.json()]).toEqual([200, { ...policy(), tenant: expect.any(String) }]);
    expect((await world.iam('POST', '/policies', policy())).status).toBe(200);
    expect((await world.iamJson('GET', `/policies?subject=${who.subject}`)).items).toHaveLength(1);
    expect((await world.iam('DELETE', '/policies', policy())).status).toBe(204);
    expect((await world.iam('DELETE', '/policies', policy())).status).toBe(404);
    expect(await world.iamJson('GET', `/policies?subject=${who.subject}`)).toEqual({ items: [] });
  });

  it.each([
    [{ subject: undefined }, 'subject'],
    [{ subject: '' }, 'subject'],
    [{ subject: 'client-nobody' }, 'subject'],
    [{ subject: 'demo-erp' }, 'subject'],
    [{ scope: '' }, 'scope'],
    [{ scope: 'subscriptions/123' }, 'scope'],
    [{ scope: '/subscriptions//x' }, 'scope'],
    [{ scope: '/subscriptions/123/' }, 'scope'],
    [{ scope: 'https://api.aritma.io/subscriptions/123' }, 'scope'],
    [{ scope: undefined }, 'scope'],
    [{ action: '' }, 'action'],
    [{ action: 'banking.pis.write' }, 'action'],
    [{ action: 'banking' }, 'action'],
    [{ action: undefined }, 'action'],
  ])('answers 400 to %j naming the field', async (change, field) => {
    const response = await world.iam('POST', '/policies', policy(change));
    expect([response.status, Object.keys(((await response.json()) as Json).errors)]).toEqual([400, [field]]);
  });

  it('refuses the sample of the documentation only for its user, who does not exist here', async () => {
    const literal = `{
"subject": "user-00000000-0000-0000-0000-000000000000",
"scope": "/subscriptions/123",
"action": "iam.policy.read"
}`;
    const response = await world.iam('POST', '/policies', literal);
    expect([response.status, Object.keys(((await response.json()) as Json).errors)]).toEqual([400, ['subject']]);
    const corrected = literal.replace('user-00000000-0000-0000-0000-000000000000', who.subject);
    expect((await world.iam('POST', '/policies', corrected)).status).toBe(200);
  });

  it.each([undefined, '', '{}', '[]'])('answers 400 to a deletion whose body is %j', async (body) => {
    expect((await world.iam('DELETE', '/policies', body)).status).toBe(400);
  });

  it('pages by cursor to the end, each policy once, the last page without a cursor', async () => {
    const other = await world.newcomer();
    for (let number = 0; number < 30; number += 1) {
      await world.iamJson('POST', '/policies', policy({ subject: other.subject, scope: `/subscriptions/${number}` }));
    }
    const { items, sizes } = await follow(`subject=${other.subject}&pageSize=10`);
    expect(sizes).toEqual([10, 10, 10]);
    expect(items.map(({ scope }) => scope)).toEqual(Array.from({ length: 30 }, (_, n) => `/subscriptions/${n}`));
    expect((await follow(`subject=${other.subject}&pageSize=0`)).sizes).toEqual([30]);
    expect((await follow('pageSize=10')).items.length).toBeGreaterThan(30);
  });

  it('skips nothing, when what a page listed is deleted before the next is asked for', async () => {
    const other = await world.newcomer();
    for (let number = 0; number < 25; number += 1) {
      await world.iamJson('POST', '/policies', policy({ subject: other.subject, scope: `/subscriptions/${number}` }));
    }
    let cursor = '';
    let deleted = 0;
    do {
      const page: Json = await world.iamJson('GET', `/policies?subject=${other.subject}&pageSize=10${cursor}`);
      for (const { subject, scope, action } of page.items) {
        expect((await world.iam('DELETE', '/policies', { subject, scope, action })).status).toBe(204);
        deleted += 1;
      }
      cursor = page.cursor ? `&cursor=${page.cursor}` : '';
    } while (cursor !== '');
    expect(deleted).toBe(25);
  });

  it.each([
    'cursor=x',
    'cursor=',
    'cursor=YWZ0ZXI6MA',
    'cursor=YWZ0ZXI6MQ%3D',
    'pageSize=x',
    'includeDerived=yes',
    'includeInherited=1',
    'subject=a&subject=b',
  ])('answers 400 to a list with %s', async (query) => {
    const response = await world.iam('GET', `/policies?${query}`);
    expect([response.status, Object.keys(((await response.json()) as Json).errors)]).toEqual([
      400,
      [query.split('=')[0]],
    ]);
  });

  it('filters, and includes on demand what the action derives from and the scope inherits', async () => {
    const { subject } = await world.newcomer();
    const wide = { subject, scope: '/subscriptions/7', action: 'banking.ais.manage' };
    const narrow = { subject, scope: '/subscriptions/7/resource-groups/a', action: 'banking.ais.read' };
    for (const item of [wide, narrow]) await world.iamJson('POST', '/policies', item);
    const scopesOf = async (query: object): Promise<string[]> => {
      const text = new URLSearchParams({ subject, ...query }).toString();
      return (await follow(text)).items.map(({ scope }) => scope);
    };
    expect(await scopesOf({ action: 'banking.ais.read' })).toEqual([narrow.scope]);
    expect(await scopesOf({ action: 'banking.ais.read', includeDerived: 'true' })).toEqual([wide.scope, narrow.scope]);
    expect(await scopesOf({ scope: narrow.scope })).toEqual([narrow.scope]);
    expect(await scopesOf({ scope: narrow.scope, includeInherited: 'true' })).toEqual([wide.scope, narrow.scope]);
    expect(await scopesOf({ scope: wide.scope, includeInherited: 'true', includeDerived: 'true' })).toEqual([
      wide.scope,
    ]);
    expect(await scopesOf({ subject: 'client-nobody' })).toEqual([]);
  });
});
