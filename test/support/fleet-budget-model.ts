/** The script of a budget in plain JavaScript, for tests that have no store; a system test compares it with the real one. */

type Counts = Map<number, number>;

interface Value {
  readonly facts: readonly number[];
  readonly counts: Counts;
}

export class BudgetModel {
  /** By key, without what a store forgets: values tell themselves what is over. */
  readonly values = new Map<string, Value>();
  members = 1;
  /** Since when there was always a member; undefined: the store was emptied. */
  sinceMs: number | undefined = 0;
  readonly #now: () => number;
  readonly #publish: (message: string) => void;

  /** @param now epoch ms, whole, by the store's clock */
  constructor(now: () => number, publish: (message: string) => void) {
    this.#now = now;
    this.#publish = publish;
  }

  flush(): void {
    this.values.clear();
    this.sinceMs = undefined;
  }

  run([budget = '', statement = '']: readonly string[], args: readonly string[]): readonly number[] {
    const [number = 0, limit = 0, held = 0, wanted = 0, lotMs = 0] = args.slice(0, 5).map(Number);
    const [begunText = '', seen = '1', wasAway, , news = ''] = args.slice(5);
    const now = this.#now();
    const second = Math.floor(now / 1000);
    const last = Math.floor((now + lotMs) / 1000);
    const { facts, counts } = this.#read(budget, second, last);
    const before = this.#read(statement, second, last);
    if ((before.facts[0] ?? 0) >= number) return [];
    for (const [at, count] of before.counts) counts.set(at, Math.max(0, (counts.get(at) ?? 0) - count));
    const own = ownOf(begunText, now);
    for (const [at, count] of own) add(counts, at, count);
    const [begun, free] = [sum(own), limit - sum(counts)];
    const asks = asksOf(facts, second, wanted);
    const members = Math.max(1, Number(seen), this.members);
    const isNew =
      wasAway === '1' || this.sinceMs === undefined || (this.sinceMs <= now && now - this.sinceMs <= 61_000);
    const share = Math.max(1, Math.floor(limit / members));
    const most = isNew ? share : limit;
    const [, asking = 0, earlier = 0] = asks;
    const fair = Math.ceil((free - held) / Math.max(asking, earlier, 1));
    const lot = held + Math.max(0, Math.min(wanted - held, fair, most - begun - held));
    const [left, ownLeft] = [free - lot, most - begun - lot];
    add(counts, last, lot);
    add(own, last, lot);
    const waitMs = Math.max(
      left <= 0 ? untilFree(counts, 1 - left, now, lot === 0) : 0,
      ownLeft <= 0 ? untilFree(own, 1 - ownLeft, now, false) : 0,
    );
    let told = facts[0] ?? 0;
    if (left <= 0 && (told > now || now - told > 30_000)) {
      told = now;
      this.#publish(news);
    }
    this.values.set(budget, { facts: [told, ...asks], counts });
    this.values.set(statement, { facts: [number], counts: own });
    return [lot, waitMs, members];
  }

  #read(key: string, second: number, last: number): Value {
    const { facts = [], counts = [] } = this.values.get(key) ?? {};
    const live: Counts = new Map();
    for (const [at, count] of counts) if (Math.min(at, last) >= second - 60) add(live, Math.min(at, last), count);
    return { facts, counts: live };
  }
}

function ownOf(text: string, now: number): Counts {
  const own: Counts = new Map();
  for (const [, ago = '', count = ''] of text.matchAll(/(\d+):(\d+)/g)) {
    const at = Math.floor((now - Number(ago)) / 1000);
    if (at >= Math.floor(now / 1000) - 60) add(own, at, Number(count));
  }
  return own;
}

/** The second, and how many have asked in it and in the one before. */
function asksOf([, asked = 0, asks = 0, earlier = 0]: readonly number[], second: number, wanted: number): number[] {
  const one = wanted > 0 ? 1 : 0;
  if (asked === second) return [second, asks + one, earlier];
  return [second, one, asked === second - 1 ? asks : 0];
}

function untilFree(counts: Counts, missing: number, now: number, isOfOthers: boolean): number {
  let left = missing;
  const isLot = (at: number) => isOfOthers && at > Math.floor(now / 1000);
  const frees = [...counts].map(([at, count]) => ({ inMs: isLot(at) ? 1000 : (at + 61) * 1000 - now, count }));
  for (const { inMs, count } of frees.sort((one, other) => one.inMs - other.inMs)) {
    left -= count;
    if (left <= 0) return inMs;
  }
  return 60_000;
}

function add(counts: Counts, at: number, count: number): void {
  counts.set(at, (counts.get(at) ?? 0) + count);
}

function sum(counts: Counts): number {
  return [...counts.values()].reduce((all, count) => all + count, 0);
}
