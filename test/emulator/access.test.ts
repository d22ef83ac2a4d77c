import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, type Newcomer, type World } from './harness.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const PAYMENT = {
  debtorAccount: { iban: 'NO9386011117947' },
  creditorAccount: { iban: 'NO9386011117947' },
  amount: { value: '10.00', currency: 'NOK' },
};

const CALLS = {
  accounts: ['GET', '/accounts'],
  account: ['GET', '/accounts/nothing'],
  balances: ['GET', '/accounts/nothing/balances'],
  transactions: ['GET', '/accounts/nothing/transactions'],
  pay: ['POST', '/payments/credit-transfer'],
  payment: ['GET', '/payments/credit-transfer/nothing'],
} as const;

const call = async (who: Newcomer, name: keyof typeof CALLS, where: Record<string, string> = {}): Promise<Response> => {
  const [method, path] = CALLS[name];
  const headers = { authorization: `Bearer ${who.token}`, 'content-type': 'application/json', ...where };
  return fetch(`${world.url}/banking/api${path}`, {
    method,
    headers,
    ...(method === 'POST' && { body: JSON.stringify(PAYMENT) }),
  });
};

const grant = async (who: Newcomer, scope: string, action: string): Promise<void> => {
  await world.iamJson('POST', '/policies', { subject: who.subject, scope, action });
};

describe('src/emulator/access.ts', () => {
  it.each([
    ['owner', ['accounts', 'account', 'balances', 'transactions', 'pay', 'payment']],
    ['banking.manage', ['accounts', 'account', 'balances', 'transactions', 'pay', 'payment']],
    ['banking.ais.manage', ['accounts', 'account', 'balances', 'transactions']],
    ['banking.ais.read', ['accounts', 'account', 'balances', 'transactions']],
    ['banking.ais.create', []],
    ['banking.pis.manage', ['pay', 'payment']],
    ['banking.pis.create', ['pay']],
    ['banking.pis.read', ['payment']],
    ['banking.pis.cancel', []],
    ['banking.consents.manage', []],
    ['iam.manage', []],
  ])('lets %s call %j and nothing else', async (action, allowed) => {
    const who = await world.newcomer();
    await grant(who, '/', action);
    for (const name of Object.keys(CALLS) as (keyof typeof CALLS)[]) {
      const { status } = await call(who, name);
      expect([name, status === 403]).toEqual([name, !allowed.includes(name)]);
    }
  });

  it.each([
    ['/subscriptions/123', { 'Subscription-Id': '123' }, true],
    ['/subscriptions/123', { 'Subscription-Id': '123', 'Resource-Group-Name': 'a' }, true],
    ['/subscriptions/123', { 'Subscription-Id': '12' }, false],
    ['/subscriptions/12', { 'Subscription-Id': '123' }, false],
    ['/subscriptions/123', { 'Subscription-Id': '1234' }, false],
    ['/subscriptions', { 'Subscription-Id': '123' }, true],
    ['/', { 'Subscription-Id': '123' }, true],
    ['/subscriptions/123/resource-groups/a', { 'Subscription-Id': '123', 'Resource-Group-Name': 'a' }, true],
    ['/subscriptions/123/resource-groups/a', { 'Subscription-Id': '123', 'Resource-Group-Name': 'b' }, false],
    ['/subscriptions/123/resource-groups/a', { 'Subscription-Id': '123', 'Resource-Group-Name': 'ab' }, false],
    ['/subscriptions/123/resource-groups/a', { 'Subscription-Id': '123' }, false],
    ['/subscriptions/123/resource-groups/a', {}, true],
    ['/subscriptions/123', {}, true],
    ['/subscriptions/123', { 'Resource-Group-Name': 'a' }, true],
  ])('with a policy on %s and the headers %j, allowed is %s', async (scope, where, allowed) => {
    const who = await world.newcomer();
    await grant(who, scope, 'banking.ais.read');
    expect((await call(who, 'accounts', where as Record<string, string>)).status).toBe(allowed ? 200 : 403);
  });

  it('joins policies: each subject has the union of its own and nothing of others', async () => {
    const [who, other] = [await world.newcomer(), await world.newcomer()];
    await grant(who, '/subscriptions/1', 'banking.ais.read');
    await grant(who, '/subscriptions/2', 'banking.pis.read');
    await grant(other, '/', 'banking.manage');
    expect((await call(who, 'accounts', { 'Subscription-Id': '1' })).status).toBe(200);
    expect((await call(who, 'accounts', { 'Subscription-Id': '2' })).status).toBe(403);
    expect((await call(who, 'payment', { 'Subscription-Id': '2' })).status).toBe(404);
  });

  it('answers a 403 problem without a challenge, then 200 the moment the policy exists, and 403 once it is gone', async () => {
    const who = await world.newcomer();
    const policy = { subject: who.subject, scope: '/subscriptions/123', action: 'banking.ais.read' };
    for (let round = 0; round < 5; round += 1) {
      const refused = await call(who, 'accounts');
      expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([403, null]);
      expect(await refused.json()).toMatchObject({ title: 'Forbidden', status: 403, detail: expect.any(String) });
      await world.iamJson('POST', '/policies', policy);
      expect((await call(who, 'accounts')).status).toBe(200);
      await world.iam('DELETE', '/policies', policy);
    }
    expect((await call(who, 'accounts')).status).toBe(403);
  });

  it('asks for no policy at Events and the echo, and answers HEAD like GET', async () => {
    const who = await world.newcomer();
    const headers = { authorization: `Bearer ${who.token}` };
    for (const path of ['/events/api/failed-events', '/echo']) {
      expect((await fetch(world.url + path, { headers })).status).toBe(200);
    }
    expect((await fetch(`${world.url}/banking/api/accounts`, { method: 'HEAD', headers })).status).toBe(403);
    expect((await fetch(`${world.url}/banking/api/nowhere`, { headers })).status).toBe(404);
  });

  it('makes no payment that it refuses, nor remembers its key', async () => {
    const who = await world.newcomer();
    const key = { 'idempotency-key': crypto.randomUUID() };
    expect((await call(who, 'pay', key)).status).toBe(403);
    await grant(who, '/', 'banking.pis.create');
    expect((await call(who, 'pay', key)).status).toBe(201);
  });
});
