/**
 * Reads the three kinds of lists in Aritma IAM to their end: numbered pages with links (clients, secrets), numbered
 * pages with totals (subjects, permissions), and a cursor (policies). The reader sees one stream of items; one page is
 * in memory at a time. Source: seed "OIDC Clients", Aritma's IAM reference.
 */
import { SidecarError } from '../core/errors.ts';

/** Fetches the page that a query names. */
export type FetchPage = (query: Readonly<Record<string, string>>) => Promise<unknown>;

/** Called after each page with the number of items so far, and the total if the server sends it. */
export type OnPage = (received: number, total: number | undefined) => void;

type Item = Readonly<Record<string, unknown>>;

/** Subjects clamp the size to 10..200, other limits are not documented: every list accepts 100. */
const PAGE_SIZE = '100';
/** Stops at a server that never sends a last page; no real list has two million items. */
const MAX_PAGES = 20_000;

interface Page {
  readonly items: readonly Item[];
  readonly total: number | undefined;
  /** The query for the next page; undefined at the end. */
  readonly next: Readonly<Record<string, string>> | undefined;
}

/**
 * Yields the items of all pages, in the server's order. Accepts all three envelopes in every list.
 * @throws SidecarError IAM_INVALID when a response is not a page, repeats, or the list never ends; what `fetchPage`
 * throws
 */
export async function* readPages(fetchPage: FetchPage, onPage?: OnPage): AsyncGenerator<Item> {
  let query: Readonly<Record<string, string>> | undefined = { page: '1', pageSize: PAGE_SIZE };
  let received = 0;
  let previous: string | undefined;
  const asked = new Set<string>();
  while (query !== undefined) {
    // The whole query: page 1 and the cursor "1" are different pages.
    const place = JSON.stringify(query);
    if (asked.has(place) || asked.size >= MAX_PAGES) throw notAPage('the list repeats itself or never ends');
    asked.add(place);
    const page: Page = pageOf(await fetchPage(query), Number(query['page'] ?? 1), received);
    const content = page.items.length > 0 ? JSON.stringify(page.items) : undefined;
    // A server that ignores the query returns the same page forever.
    if (content !== undefined && content === previous) throw notAPage('the same page came twice');
    previous = content;
    received += page.items.length;
    onPage?.(received, page.total);
    yield* page.items;
    query = page.next;
  }
}

function pageOf(body: unknown, number: number, before: number): Page {
  if (Array.isArray(body)) return { items: body.map(asItem), total: body.length, next: undefined };
  const envelope = asItem(body);
  const list = envelope['items'] ?? envelope['data'];
  if (!Array.isArray(list)) throw notAPage('the page has no list of items');
  const items = list.map(asItem);
  const cursor = cursorOf(envelope);
  if (cursor !== '') return { items, total: undefined, next: { cursor, pageSize: PAGE_SIZE } };
  const counts = { ...envelope, ...(isItem(envelope['metadata']) && envelope['metadata']) };
  return {
    items,
    total: totalOf(counts),
    next: numbered(envelope, { counts, number, received: before + items.length }),
  };
}

interface Position {
  readonly counts: Item;
  readonly number: number;
  readonly received: number;
}

function numbered(envelope: Item, { counts, number, received }: Position): Page['next'] {
  const { page, totalPages } = counts;
  // Another page than requested would silently lose or double items.
  if (typeof page === 'number' && page !== number) throw notAPage(`requested page ${number}, got page ${page}`);
  const next = { page: String(number + 1), pageSize: PAGE_SIZE };
  const { links } = envelope;
  const empty = [envelope['items'], envelope['data']].some((list) => Array.isArray(list) && list.length === 0);
  const total = totalOf(counts);
  if (total !== undefined && received < total) {
    if (empty) throw notAPage(`the list ends after ${received} of ${total} items`);
    return next;
  }
  if (typeof totalPages === 'number') return number < totalPages ? next : undefined;
  if (total !== undefined || empty) return undefined;
  return isItem(links) && typeof links['next'] === 'string' ? next : undefined;
}

/** Returns an empty text at the end. An unreadable cursor must not count as the end. */
function cursorOf({ cursor }: Item): string {
  if (cursor === undefined || cursor === null) return '';
  if (typeof cursor === 'string') return cursor;
  if (Number.isSafeInteger(cursor)) return String(cursor);
  throw notAPage('the cursor is neither text nor a number');
}

function totalOf({ totalCount, total }: Item): number | undefined {
  if (typeof totalCount === 'number') return totalCount;
  return typeof total === 'number' ? total : undefined;
}

function isItem(value: unknown): value is Item {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asItem(value: unknown): Item {
  if (!isItem(value)) throw notAPage('an item is not an object');
  return value;
}

function notAPage(reason: string): SidecarError {
  return new SidecarError('IAM_INVALID', { fields: { reason } });
}
