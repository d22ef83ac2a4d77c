// Lists of every style to their end, whole and in order, and what happens when they have none.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FetchPage, readPages } from '../../src/iam/pagination.ts';
import { collect, failure } from '../support/iam-world.ts';

type Query = Readonly<Record<string, string>>;
type Style = (items: readonly object[], size: number) => FetchPage;

const slice = (items: readonly object[], query: Query, size: number) => {
  const page = Number(query['page'] ?? 1);
  return { page, part: items.slice((page - 1) * size, page * size), last: Math.max(1, Math.ceil(items.length / size)) };
};

/** As the IAM reference has them, and as a server may leave parts of them out. */
const STYLES: Readonly<Record<string, Style>> = {
  'items, metadata and links': (items, size) => async (query) => {
    const { page, part, last } = slice(items, query, size);
    const links = { first: '/1', previous: null, next: page < last ? `/?page=${page + 1}` : null, last: `/${last}` };
    return { items: part, metadata: { page, pageSize: size, totalCount: items.length }, links };
  },
  'items and links': (items, size) => async (query) => {
    const { page, part, last } = slice(items, query, size);
    return { items: part, links: { next: page < last ? `/?page=${page + 1}` : null } };
  },
  'data and totals': (items, size) => async (query) => {
    const { page, part } = slice(items, query, size);
    const total = items.length;
    return { page, pageSize: size, count: part.length, total, totalPages: Math.ceil(total / size), data: part };
  },
  'data and the number of pages': (items, size) => async (query) => {
    const { page, part, last } = slice(items, query, size);
    return { page, data: part, totalPages: last };
  },
  'a cursor': (items, size) => async (query) => {
    const from = Number(query['cursor']?.slice(1) ?? 0);
    const end = from + size;
    return { items: items.slice(from, end), ...(end < items.length && { cursor: `c${end}` }) };
  },
  'a number as cursor': (items, size) => async (query) => {
    const from = Number(query['cursor'] ?? 0);
    const end = from + size;
    return { data: items.slice(from, end), cursor: end < items.length ? end : null };
  },
};

const numbered = (count: number) => Array.from({ length: count }, (_, id) => ({ id }));

describe.each(Object.entries(STYLES))('iam/pages with %s', (_name, style) => {
  it.each([0, 1, 99, 100, 101, 200, 300, 1000])('reads %i items, whole and in order', async (count) => {
    const items = numbered(count);
    expect(await collect(readPages(style(items, 100)))).toEqual(items);
  });

  it('reads any number of items in pages of any size', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(60), fc.integer({ min: 1, max: 12 }), async (count, size) => {
        const items = numbered(count);
        expect(await collect(readPages(style(items, size)))).toEqual(items);
      }),
    );
  });

  it('asks for a page only when the one before has been read', async () => {
    let asked = 0;
    const fetchPage = style(numbered(1000), 100);
    const items = readPages((query) => {
      asked += 1;
      return fetchPage(query);
    });
    for (let index = 0; index < 100; index += 1) await items.next();
    expect(asked).toBe(1);
    await items.next();
    expect(asked).toBe(2);
    await items.return(undefined);
    expect(asked).toBe(2);
  });
});

describe('iam/pages', () => {
  const reading = (fetchPage: FetchPage) => failure(collect(readPages(fetchPage)));

  it('begins with page 1 and a size that every list takes', async () => {
    const queries: Query[] = [];
    await collect(
      readPages(async (query) => {
        queries.push(query);
        return { items: [] };
      }),
    );
    expect(queries).toEqual([{ page: '1', pageSize: '100' }]);
  });

  it('reads a plain array as the whole list', async () => {
    expect(await collect(readPages(async () => numbered(3)))).toEqual(numbered(3));
  });

  it('tells a first cursor "1" from the first page', async () => {
    const fetchPage: FetchPage = async ({ cursor }) =>
      cursor ? { items: [{ id: 2 }] } : { items: [{ id: 1 }], cursor: '1' };
    expect(await collect(readPages(fetchPage))).toEqual([{ id: 1 }, { id: 2 }]);
  });

  it('goes on behind an empty page that has a cursor', async () => {
    const pages = [{ items: [{ id: 1 }], cursor: 'a' }, { items: [], cursor: 'b' }, { items: [{ id: 2 }] }];
    expect(await collect(readPages(async () => pages.shift()))).toEqual([{ id: 1 }, { id: 2 }]);
  });

  it('tells after each page how much has come, and of how much', async () => {
    const told: unknown[] = [];
    const style = STYLES['data and totals'];
    await collect(readPages(style?.(numbered(250), 100) ?? (async () => []), (...progress) => told.push(progress)));
    expect(told).toEqual([
      [100, 250],
      [200, 250],
      [250, 250],
    ]);
  });

  it.each([
    ['another page than was asked for', async () => ({ data: [{}], page: 2, total: 300 })],
    ['a page that says it is page 0', async () => ({ items: [{}], metadata: { page: 0, totalCount: 1 } })],
    ['the same page again and again', async () => ({ items: [{ id: 1 }], links: { next: '/more' } })],
    [
      'the same page under growing numbers',
      async ({ page }: Query) => ({ data: [{ id: 1 }], page: Number(page), total: 9 }),
    ],
    ['the same cursor again', async ({ cursor }: Query) => ({ items: [{ id: cursor ?? '' }], cursor: 'x' })],
    [
      'cursors in a circle of empty pages',
      async ({ cursor }: Query) => ({ items: [], cursor: cursor === 'a' ? 'b' : 'a' }),
    ],
    ['a cursor that is an object', async () => ({ items: [], cursor: { after: 1 } })],
    ['a cursor that no number holds', async () => JSON.parse('{"items":[],"cursor":9007199254740993}')],
    ['fewer items than its total says', async () => ({ data: [], total: 3 })],
    ['nothing', async () => undefined],
    ['text', async () => 'clients'],
    ['an object without a list', async () => ({ message: 'ok' })],
    ['a list that is none', async () => ({ items: { a: 1 } })],
    ['an item that is no object', async () => ({ items: ['c-1'] })],
    ['null as an item', async () => ({ items: [null] })],
  ] as const)('refuses %s as nonsense', async (_what, fetchPage) => {
    const error = await reading(fetchPage as FetchPage);
    expect(error.code).toBe('IAM_INVALID');
    expect(error.extras.fields?.['reason']).toMatch(/^[ -~]+$/);
  });

  it('ends a list that never ends by itself, with an error', async () => {
    let asked = 0;
    const endless: FetchPage = async () => {
      asked += 1;
      return { items: [{ asked }], cursor: `c${asked}` };
    };
    expect((await reading(endless)).code).toBe('IAM_INVALID');
    expect(asked).toBe(20_000);
  });

  it('passes on what fetching a page throws, and has given the pages before', async () => {
    const seen: unknown[] = [];
    const fetchPage: FetchPage = async ({ page }) => {
      if (page === '2') throw new Error('cut');
      return { items: numbered(100), metadata: { page: 1, totalCount: 150 } };
    };
    await expect(async () => {
      for await (const item of readPages(fetchPage)) seen.push(item);
    }).rejects.toThrow('cut');
    expect(seen).toHaveLength(100);
  });
});
