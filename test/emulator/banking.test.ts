import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorld, type World } from './harness.ts';

interface Account {
  id: string;
  name: string;
  bban: string;
  iban: string;
  currency: string;
}

interface Page<T> {
  data: T[];
  cursor?: string;
}

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

const read = async <T>(path: string): Promise<T> => {
  const response = await world.call(`/banking/api${path}`);
  expect(response.status).toBe(200);
  return (await response.json()) as T;
};

/** Follows the cursor to the end; the sizes of the pages and all items. */
const follow = async <T>(path: string): Promise<{ sizes: number[]; items: T[] }> => {
  const sizes: number[] = [];
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const separator = path.includes('?') ? '&' : '?';
    const page: Page<T> = await read(cursor ? `${path}${separator}cursor=${cursor}` : path);
    sizes.push(page.data.length);
    items.push(...page.data);
    cursor = page.cursor;
  } while (cursor !== undefined && sizes.length < 100);
  return { sizes, items };
};

const first = async (): Promise<Account> => {
  const [account] = (await read<Page<Account>>('/accounts')).data;
  if (!account) throw new Error('the bank is empty');
  return account;
};

/** ISO 7064 mod 97-10: the rearranged number leaves 1. */
const isValidIban = (iban: string): boolean => {
  const digits = [...`${iban.slice(4)}${iban.slice(0, 4)}`].map((character) => Number.parseInt(character, 36)).join('');
  return BigInt(digits) % 97n === 1n;
};

describe('src/emulator/banking.ts', () => {
  it('pages accounts by 20 to the end, each account once', async () => {
    const { sizes, items } = await follow<Account>('/accounts');
    expect(sizes).toEqual([20, 8]);
    expect(new Set(items.map(({ id }) => id)).size).toBe(28);
    expect(new Set(items.map(({ bban }) => bban)).size).toBe(28);
    expect(items.every(({ iban, bban }) => isValidIban(iban) && iban.endsWith(bban))).toBe(true);
  });

  it.each([
    [1, 28],
    [7, 4],
    [28, 1],
    [100, 1],
  ])('pages by %i in %i pages, the last without a cursor', async (pageSize, pages) => {
    const { sizes, items } = await follow<Account>(`/accounts?pageSize=${pageSize}`);
    expect([sizes.length, items.length]).toEqual([pages, 28]);
  });

  it('has the same accounts in every run', async () => {
    await using other = await createWorld();
    const theirs = await (await other.call('/banking/api/accounts')).text();
    expect(theirs).toBe(await (await world.call('/banking/api/accounts')).text());
  });

  it('adds balances, when withBalance is true', async () => {
    const { data } =
      await read<Page<Account & { balances: { amount: { value: string; currency: string } }[] }>>(
        '/accounts?withBalance=true',
      );
    expect(data.every(({ balances, currency }) => balances[0]?.amount.currency === currency)).toBe(true);
    expect(data[0]?.balances[0]?.amount.value).toMatch(/^\d+\.\d\d$/);
    expect(await first()).not.toHaveProperty('balances');
  });

  it('finds accounts by iban, bban and part of a name in any case', async () => {
    const account = await first();
    expect((await follow<Account>(`/accounts?iban=${account.iban}`)).items).toEqual([account]);
    expect((await follow<Account>(`/accounts?bban=${account.bban}`)).items).toEqual([account]);
    expect((await follow<Account>('/accounts?search=BAKERI')).items).toHaveLength(7);
    expect((await follow<Account>('/accounts?search=bakeri&pageSize=2')).sizes).toEqual([2, 2, 2, 1]);
    expect((await follow<Account>('/accounts?search=nobody')).sizes).toEqual([0]);
  });

  it.each([
    'cursor=x',
    'cursor=',
    'cursor=b2Zmc2V0OjA',
    'cursor=b2Zmc2V0OjE%3D',
    'cursor=b2Zmc2V0Ojk5OQ',
    'pageSize=0',
    'pageSize=101',
    'pageSize=x',
    'pageSize=',
    'pageSize=1&pageSize=2',
    'withBalance=maybe',
  ])('answers 400 naming the field to %s', async (query) => {
    const response = await world.call(`/banking/api/accounts?${query}`);
    expect(response.status).toBe(400);
    expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    const { errors } = (await response.json()) as { errors: Record<string, string[]> };
    expect(Object.keys(errors)).toEqual([query.split('=')[0]]);
  });

  it('answers one account, its balances and its transactions to the end', async () => {
    const account = await first();
    expect(await read(`/accounts/${account.id}`)).toEqual(account);
    const balances = await read<Page<{ type: string }>>(`/accounts/${account.id}/balances`);
    expect(balances.data.map(({ type }) => type)).toEqual(['booked', 'available']);
    const { sizes, items } = await follow<{ id: string; accountId: string; bookingDate: string }>(
      `/accounts/${account.id}/transactions`,
    );
    expect(sizes).toEqual([20, 20, 13]);
    expect(new Set(items.map(({ id }) => id)).size).toBe(53);
    const days = items.map(({ bookingDate }) => bookingDate);
    expect(days).toEqual(days.toSorted().toReversed());
  });

  it.each(['', '/balances', '/transactions'])('answers 404 for an unknown account%s', async (suffix) => {
    const response = await world.call(`/banking/api/accounts/00000000-0000-0000-0000-000000000000${suffix}`);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ title: 'Not Found', status: 404, detail: expect.any(String) });
  });

  it('announces version 1.0 and refuses any other', async () => {
    const versions: [string | undefined, number][] = [
      [undefined, 200],
      ['1.0', 200],
      ['2.0', 400],
    ];
    for (const [version, status] of versions) {
      const init = version === undefined ? {} : { headers: { 'api-version': version } };
      const response = await world.call('/banking/api/accounts', init);
      expect([response.status, response.headers.get('api-supported-versions')]).toEqual([status, '1.0']);
    }
  });

  it('answers HEAD where it answers GET', async () => {
    const response = await world.call('/banking/api/accounts', { method: 'HEAD' });
    expect([response.status, await response.text()]).toEqual([200, '']);
    expect(Number(response.headers.get('content-length'))).toBeGreaterThan(1000);
  });
});
