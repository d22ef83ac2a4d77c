import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, type World } from './harness.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const SUBSCRIPTION = {
  name: 'erp',
  events: ['banking.payment.status.updated'],
  delivery: { url: 'https://erp.example/hook', authorizationHeader: 'Bearer planted-secret' },
};
const PATH = '/events/api/subscriptions';
const TENANT = '11111111-2222-3333-4444-555555555555';

describe('src/emulator/events.ts', () => {
  it('creates a subscription with the documented defaults and reads it back', async () => {
    const response = await world.post(PATH, SUBSCRIPTION, { ResourceUri: '/subscriptions/1', TenantId: TENANT });
    const created = (await response.json()) as { id: string };
    expect(response.status).toBe(201);
    expect(created).toMatchObject({
      name: 'erp',
      delivery: { url: 'https://erp.example/hook', maxEventsPerBatch: 10, preferredBatchSizeInKiloBytes: 128 },
      retryPolicy: { ttl: '24:00:00', maxEventDeliveryAttempts: 30 },
      deadletterEnabled: false,
      resourceUri: '/subscriptions/1',
      tenantId: TENANT,
    });
    expect(response.headers.get('location')).toBe(`${PATH}/${created.id}`);
    expect(await (await world.call(`${PATH}/${created.id}`)).json()).toEqual(created);
  });

  it('never shows the authorization header of the subscriber', async () => {
    expect(await (await world.post(PATH, SUBSCRIPTION)).text()).not.toContain('planted-secret');
  });

  it.each([
    ['name', { ...SUBSCRIPTION, name: '' }],
    ['events', { ...SUBSCRIPTION, events: [] }],
    ['delivery', { ...SUBSCRIPTION, delivery: undefined }],
    ['delivery.url', { ...SUBSCRIPTION, delivery: { url: 'ftp://x' } }],
    ['delivery.maxEventsPerBatch', { ...SUBSCRIPTION, delivery: { url: 'https://x', maxEventsPerBatch: 0 } }],
    ['retryPolicy.ttl', { ...SUBSCRIPTION, retryPolicy: { ttl: '1h' } }],
    ['expirationTime', { ...SUBSCRIPTION, expirationTime: 'soon' }],
  ])('answers 400 naming %s, when it is wrong', async (field, body) => {
    const response = await world.post(PATH, body);
    expect(response.status).toBe(400);
    expect(Object.keys(((await response.json()) as { errors: object }).errors)).toEqual([field]);
  });

  it('answers 400 to a TenantId that is no UUID', async () => {
    expect((await world.post(PATH, SUBSCRIPTION, { TenantId: 'x' })).status).toBe(400);
  });

  it('answers 404 for a subscription it has not made', async () => {
    expect((await world.call(`${PATH}/nope`)).status).toBe(404);
  });
});

interface Failures {
  data: { id: number; subscriptionName: string; failedAt: string }[];
  cursor?: number;
}

const read = async (query: string): Promise<Failures> => {
  const response = await world.call(`/events/api/failed-events?${query}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Failures;
};

describe('src/emulator/events.ts failed events', () => {
  it('pages by ten to the end', async () => {
    const ids: number[] = [];
    let cursor: number | undefined = 0;
    for (let pages = 0; cursor !== undefined && pages < 10; pages += 1) {
      const page: Failures = await read(`cursor=${cursor}`);
      ids.push(...page.data.map(({ id }) => id));
      cursor = page.cursor;
    }
    expect(ids).toEqual(Array.from({ length: 25 }, (_, index) => index + 1));
  });

  it('finds by subscription and by time, both ends included', async () => {
    const named = await read('subscriptionName=demo-accounts&pageSize=100');
    expect(named.data.map(({ id }) => id)).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24]);
    const dated = await read('fromDate=2026-01-01T03:00:00Z&toDate=2026-01-01T05:00:00Z');
    expect(dated.data.map(({ id }) => id)).toEqual([4, 5, 6]);
    expect((await read('fromDate=2026-01-02')).data.map(({ id }) => id)).toEqual([25]);
  });

  it('accepts the largest int64 as cursor', async () => {
    expect((await read('cursor=9223372036854775807')).data).toEqual([]);
  });

  it.each(['cursor=9223372036854775808', 'cursor=-1', 'cursor=x', 'pageSize=0', 'pageSize=101', 'fromDate=soon'])(
    'answers 400 to %s',
    async (query) => {
      expect((await world.call(`/events/api/failed-events?${query}`)).status).toBe(400);
    },
  );
});
