import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, type Json, type Newcomer, SAMPLE, type World } from './harness.ts';

let world: World;
let who: Newcomer;
const GROUP = '/subscriptions/123/resource-groups/a';
const ACCOUNT = `${GROUP}/providers/aritma.openbanking/accounts/7`;
beforeAll(async () => {
  world = await createWorld();
  who = await world.newcomer();
  for (const [scope, action] of [
    ['/subscriptions/123', 'iam.policy.read'],
    [ACCOUNT, 'banking.ais.manage'],
    [ACCOUNT, 'banking.ais.read'],
  ]) {
    await world.iamJson('POST', '/policies', { subject: who.subject, scope, action });
  }
});
afterAll(() => world[Symbol.asyncDispose]());

describe('src/emulator/iam-subjects.ts', () => {
  it('lists clients as subjects, found by a part of the name', async () => {
    const { data, ...envelope } = await world.iamJson(
      'GET',
      '/subjects/clients?searchQuery=APPLIC&page=1&pageSize=100',
    );
    expect(envelope).toEqual({ page: 1, pageSize: 100, count: 1, total: 1, totalPages: 1 });
    expect(data).toEqual([
      {
        $type: 'ClientSubjectDto',
        id: who.clientId,
        displayName: SAMPLE.name,
        tenant: expect.any(String),
        subjectId: `client-${who.clientId}`,
        type: 'Client',
        properties: {},
      },
    ]);
  });

  it('answers the sample of the documentation with an empty page', async () => {
    expect(await world.iamJson('GET', '/subjects/clients?searchQuery=john&page=1&pageSize=100')).toEqual({
      page: 1,
      pageSize: 100,
      count: 0,
      total: 0,
      totalPages: 0,
      data: [],
    });
  });

  it('pages to the end by number', async () => {
    await using own = await createWorld();
    for (let number = 0; number < 23; number += 1) await own.iamJson('POST', '/clients', SAMPLE);
    const ids = new Set<string>();
    const counts: number[] = [];
    for (let page = 1, pages = 1; page <= pages; page += 1) {
      const { data, count, totalPages } = await own.iamJson('GET', `/subjects/clients?page=${page}&pageSize=10`);
      for (const { id } of data) ids.add(id);
      counts.push(count);
      pages = totalPages;
    }
    expect([counts, ids.size]).toEqual([[10, 10, 5], 25]);
  });

  it('clamps the page size and refuses what is no number', async () => {
    expect(await world.iamJson('GET', '/subjects/clients?pageSize=1000')).toMatchObject({ pageSize: 200 });
    expect(await world.iamJson('GET', '/subjects/clients?page=0&pageSize=3')).toMatchObject({ page: 1, pageSize: 10 });
    expect((await world.iam('GET', '/subjects/clients?page=one')).status).toBe(400);
  });

  it('lists effective permissions with what derives from them, each once', async () => {
    const { data, total } = await world.iamJson('GET', `/subjects/clients/${who.clientId}/permissions`);
    expect(data.map(({ scope, action, derivedFrom }: Json) => [scope, action, derivedFrom])).toEqual([
      ['/subscriptions/123', 'iam.policy.read', null],
      [ACCOUNT, 'banking.ais.manage', null],
      [ACCOUNT, 'banking.ais.create', 'banking.ais.manage'],
      [ACCOUNT, 'banking.ais.read', 'banking.ais.manage'],
    ]);
    expect(total).toBe(4);
  });

  it.each([
    ['resourceType=subscriptions&resourceProvider=aritma.control&action=iam.policy.read', 1],
    ['resourceType=subscriptions', 4],
    ['resourceType=resource-groups', 3],
    ['resourceType=accounts', 3],
    ['resourceType=a', 0],
    ['resourceType=123', 0],
    ['resourceProvider=aritma.openbanking', 4],
    ['resourceProvider=aritma.control', 1],
    ['action=banking.ais.create', 1],
    ['action=banking.manage', 0],
    ['resourceType=accounts&action=iam.policy.read', 0],
  ])('filters permissions by %s', async (query, count) => {
    const { total } = await world.iamJson('GET', `/subjects/clients/${who.clientId}/permissions?${query}`);
    expect(total).toBe(count);
  });

  it('answers 404 for the permissions of an unknown client', async () => {
    expect((await world.iam('GET', '/subjects/clients/nobody/permissions')).status).toBe(404);
  });
});
