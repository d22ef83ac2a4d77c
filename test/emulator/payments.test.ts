import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, type World } from './harness.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const TRANSFER = {
  debtorAccount: { iban: 'NO3399018600001' },
  creditorAccount: { iban: 'NO9386011117947' },
  amount: { value: '12.50', currency: 'NOK' },
};
const PATH = '/banking/api/payments/credit-transfer';

describe('src/emulator/payments.ts', () => {
  it('creates a payment that can be read at the Location given', async () => {
    const response = await world.post(PATH, TRANSFER);
    const payment = (await response.json()) as { id: string };
    expect(response.status).toBe(201);
    expect(payment).toEqual({ id: payment.id, status: 'received', links: { self: { href: `${PATH}/${payment.id}` } } });
    expect(response.headers.get('location')).toBe(`${PATH}/${payment.id}`);
    expect(await (await world.call(`${PATH}/${payment.id}`)).json()).toEqual(payment);
  });

  it('answers 404 for a payment it has not made', async () => {
    expect((await world.call(`${PATH}/nope`)).status).toBe(404);
  });

  it.each([
    ['accountId and bban', { ...TRANSFER, debtorAccount: { accountId: 'x' }, creditorAccount: { bban: '1' } }],
    ['a numeric amount', { ...TRANSFER, amount: { value: 12.5, currency: 'NOK' } }],
    ['fields it does not know', { ...TRANSFER, remittance: 'x' }],
  ])('accepts %s', async (_case, body) => {
    expect((await world.post(PATH, body)).status).toBe(201);
  });

  it.each([
    ['debtorAccount', { ...TRANSFER, debtorAccount: undefined }],
    ['debtorAccount', { ...TRANSFER, debtorAccount: {} }],
    ['debtorAccount.iban', { ...TRANSFER, debtorAccount: { iban: 'NO33 9901' } }],
    ['creditorAccount', { ...TRANSFER, creditorAccount: {} }],
    ['amount', { ...TRANSFER, amount: null }],
    ['amount.value', { ...TRANSFER, amount: { value: '0.00', currency: 'NOK' } }],
    ['amount.value', { ...TRANSFER, amount: { value: -1, currency: 'NOK' } }],
    ['amount.value', { ...TRANSFER, amount: { value: '1e3', currency: 'NOK' } }],
    ['amount.currency', { ...TRANSFER, amount: { value: '1', currency: 'nok' } }],
    ['$', []],
  ])('answers 400 naming %s, when it is wrong', async (field, body) => {
    const response = await world.post(PATH, body);
    expect(response.status).toBe(400);
    const problem = (await response.json()) as { errors: Record<string, string[]> };
    expect(problem).toMatchObject({ status: 400, title: 'Bad Request', traceId: expect.any(String) });
    expect(Object.keys(problem.errors)).toEqual([field]);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'foo'])('answers 415 to %s', async (mediaType) => {
    const response = await world.post(PATH, TRANSFER, { 'content-type': mediaType });
    expect(response.status).toBe(415);
    expect(await response.json()).toMatchObject({ status: 415, title: 'Unsupported Media Type' });
  });

  it.each(['text/json', 'application/vnd.x+json', 'application/json; charset=utf-8'])('reads %s', async (mediaType) => {
    expect((await world.post(PATH, TRANSFER, { 'content-type': mediaType })).status).toBe(201);
  });

  it('answers 400 to broken JSON', async () => {
    const headers = { 'content-type': 'application/json' };
    const response = await world.call(PATH, { method: 'POST', body: '{"amount":', headers });
    expect([response.status, response.headers.get('content-type')]).toEqual([
      400,
      'application/problem+json; charset=utf-8',
    ]);
  });

  it('makes a payment once, when its key comes twice', async () => {
    await using own = await createWorld();
    const key = { 'idempotency-key': crypto.randomUUID() };
    const [created, replayed] = [await own.post(PATH, TRANSFER, key), await own.post(PATH, TRANSFER, key)];
    expect([created.status, created.headers.get('idempotent-replayed')]).toEqual([201, null]);
    expect([replayed.status, replayed.headers.get('idempotent-replayed')]).toEqual([200, 'true']);
    const body = await created.text();
    expect(await replayed.text()).toBe(body);
    expect(await own.counters()).toMatchObject({
      payments: { created: 1, replayed: 1 },
      paymentIds: [(JSON.parse(body) as { id: string }).id],
    });
  });

  it('makes one payment, when fifty requests with one key come at once', async () => {
    await using own = await createWorld();
    const headers = { 'idempotency-key': crypto.randomUUID() };
    const responses = await Promise.all(Array.from({ length: 50 }, () => own.post(PATH, TRANSFER, headers)));
    const statuses = responses.map(({ status }) => status).toSorted();
    expect(statuses).toEqual([...Array.from({ length: 49 }, () => 200), 201]);
    expect(await own.counters()).toMatchObject({ payments: { created: 1, replayed: 49 } });
  });

  it('makes two payments, when there is no key', async () => {
    await using own = await createWorld();
    await own.post(PATH, TRANSFER);
    await own.post(PATH, TRANSFER);
    expect(await own.counters()).toMatchObject({ payments: { created: 2, replayed: 0 } });
  });

  it('replays a refusal as well', async () => {
    const key = { 'idempotency-key': crypto.randomUUID() };
    const [refused, replayed] = [await world.post(PATH, {}, key), await world.post(PATH, {}, key)];
    expect([refused.status, replayed.status]).toEqual([400, 400]);
    expect(replayed.headers.get('idempotent-replayed')).toBe('true');
    expect(replayed.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(await replayed.text()).toBe(await refused.text());
  });

  it('answers 422 to a key used with another body, and keeps the first answer', async () => {
    const key = { 'idempotency-key': crypto.randomUUID() };
    await world.post(PATH, TRANSFER, key);
    const other = await world.post(PATH, { ...TRANSFER, amount: { value: '13', currency: 'NOK' } }, key);
    expect(other.status).toBe(422);
    expect(await other.json()).toMatchObject({ status: 422, title: 'Unprocessable Entity' });
    expect((await world.post(PATH, TRANSFER, key)).status).toBe(200);
  });

  it('answers 400 to a key that is no UUID', async () => {
    const response = await world.post(PATH, TRANSFER, { 'idempotency-key': 'abc' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ errors: { 'Idempotency-Key': ['must be a UUID'] } });
  });

  it('stores nothing under a key, when the token was refused', async () => {
    const headers = { 'idempotency-key': crypto.randomUUID(), 'content-type': 'application/json' };
    const refused = await fetch(world.url + PATH, { method: 'POST', headers, body: JSON.stringify(TRANSFER) });
    expect(refused.status).toBe(401);
    expect((await world.post(PATH, TRANSFER, headers)).status).toBe(201);
  });
});
