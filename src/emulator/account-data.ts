// The made-up bank of the Banking API: the same accounts and transactions in every run, so that a test knows all pages
// in advance. Hides how they are computed and how a page cursor is written.
import { createHash } from 'node:crypto';

export interface Account {
  id: string;
  name: string;
  ownerName: string;
  bban: string;
  iban: string;
  currency: string;
  status: 'active' | 'inactive';
}

/** A decimal string with two places: binary fractions cannot represent money exactly. */
export interface Amount {
  value: string;
  currency: string;
}

export interface Balance {
  type: 'booked' | 'available';
  amount: Amount;
  referenceDate: string;
}

export interface Transaction {
  id: string;
  accountId: string;
  bookingDate: string;
  amount: Amount;
  text: string;
}

export interface Page<T> {
  data: readonly T[];
  /** Present if there are more items. */
  cursor?: string;
}

export interface AccountData {
  readonly accounts: readonly Account[];
  findAccount(id: string): Account | undefined;
  balancesOf(account: Account): readonly Balance[];
  /** Newest first. */
  transactionsOf(account: Account): readonly Transaction[];
}

const ACCOUNT_COUNT = 28;
const TRANSACTION_COUNT = 53;
const LAST_BOOKING_DAY = Date.UTC(2026, 0, 31);
const DAY_MS = 86_400_000;
const OWNERS = ['Fjord Shipping AS', 'Nordlys Bakeri AS', 'Vestkyst Regnskap AS', 'Dal og Hei Eiendom AS'];
const PURPOSES = ['Operating', 'Payroll', 'Tax', 'Savings'];
const CURRENCIES = ['NOK', 'NOK', 'EUR', 'SEK'];

/** Creates the bank. Account numbers carry valid check digits (BBAN: modulus 11, IBAN: ISO 7064 mod 97-10). */
export function createAccountData(): AccountData {
  const accounts = Array.from({ length: ACCOUNT_COUNT }, (_, index) => createAccount(index));
  const byId = new Map(accounts.map((account) => [account.id, account]));
  return {
    accounts,
    findAccount: (id) => byId.get(id),
    balancesOf: ({ id, currency }) => [
      { type: 'booked', amount: createAmount(`${id}/booked`, currency), referenceDate: dayBefore(0) },
      { type: 'available', amount: createAmount(`${id}/available`, currency), referenceDate: dayBefore(0) },
    ],
    transactionsOf: (account) => Array.from({ length: TRANSACTION_COUNT }, (_, index) => createEntry(account, index)),
  };
}

/**
 * Returns one page of a list. Undefined if the cursor is not one that an earlier page of this list gave: a caller that
 * changes a cursor must notice.
 */
export function pageOf<T>(
  list: readonly T[],
  request: { cursor?: string | undefined; pageSize: number },
): Page<T> | undefined {
  const start = request.cursor === undefined ? 0 : readCursor(request.cursor);
  if (start === undefined || (start > 0 && start >= list.length)) return undefined;
  const end = start + request.pageSize;
  const data = list.slice(start, end);
  return end < list.length ? { data, cursor: writeCursor(end) } : { data };
}

const writeCursor = (offset: number): string => Buffer.from(`offset:${offset}`).toString('base64url');

function readCursor(cursor: string): number | undefined {
  const digits = /^offset:([1-9]\d{0,8})$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1];
  const offset = Number(digits);
  // Decoding base64 skips unknown characters, so a valid cursor must encode back to itself.
  return digits !== undefined && writeCursor(offset) === cursor ? offset : undefined;
}

const pick = (list: readonly string[], index: number): string => list[index % list.length] ?? '';

const dayBefore = (days: number): string => new Date(LAST_BOOKING_DAY - days * DAY_MS).toISOString().slice(0, 10);

/** Returns a UUID that is always the same for the same name (RFC 9562 version 8 layout). */
function createGuid(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

function createAmount(name: string, currency: string): Amount {
  const cents = createHash('sha256').update(name).digest().readUInt32BE(0) % 10_000_000;
  return { value: (cents / 100).toFixed(2), currency };
}

function createAccount(index: number): Account {
  const ownerName = pick(OWNERS, index);
  const bban = createBban(index);
  return {
    id: createGuid(`account/${index}`),
    name: `${pick(PURPOSES, Math.floor(index / OWNERS.length))} account ${index + 1}`,
    ownerName,
    bban,
    iban: createIban(bban),
    currency: pick(CURRENCIES, index),
    status: index % 9 === 8 ? 'inactive' : 'active',
  };
}

function createBban(index: number): string {
  const weights = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2];
  // No account number has the check digit 10: try the next serial.
  for (let serial = index * 10; ; serial += 1) {
    const digits = `990186${String(serial).padStart(4, '0')}`;
    const sum = weights.reduce((total, weight, position) => total + weight * Number(digits[position]), 0);
    const check = (11 - (sum % 11)) % 11;
    if (check < 10) return digits + String(check);
  }
}

function createIban(bban: string): string {
  const check = 98n - (BigInt(`${bban}232400`) % 97n);
  return `NO${String(check).padStart(2, '0')}${bban}`;
}

function createEntry(account: Account, index: number): Transaction {
  const name = `${account.id}/transaction/${index}`;
  const amount = createAmount(name, account.currency);
  const isDebit = index % 3 === 0;
  return {
    id: createGuid(name),
    accountId: account.id,
    bookingDate: dayBefore(index),
    amount: isDebit ? { ...amount, value: `-${amount.value}` } : amount,
    text: `${isDebit ? 'Payment' : 'Receipt'} ${TRANSACTION_COUNT - index}`,
  };
}
