/** The store's scripts in plain JavaScript, for tests that have no store; a system test compares them with the real ones. */
import { createHash } from 'node:crypto';
import type { ScriptName } from '../../src/fleet/scripts.ts';

/** A map stands for every type that is not a string. */
type Value = string | Map<string, string>;

interface Entry {
  readonly value: Value;
  /** By the store's clock; infinite = never. */
  readonly expiresAt: number;
}

type Stored = readonly [generation: number | undefined, value: string, odd: number];

const DAY_MS = 86_400_000;

type Members = readonly [times: string, details: string, since: string, heardTimes: string, heard: string];

export class ScriptModel {
  #entries = new Map<string, Entry>();
  readonly #now: () => number;
  readonly #publish: (message: string) => void;

  /** @param now epoch ms, whole, by the store's clock */
  constructor(now: () => number, publish: (message: string) => void) {
    this.#now = now;
    this.#publish = publish;
  }

  run(script: ScriptName, keys: readonly string[], args: readonly string[]): unknown {
    switch (script) {
      case 'acquire':
        return this.#acquire(keys as [string, string, string, string], args);
      case 'hold':
        return this.#hold(keys as [string], args);
      case 'put':
        return this.#put(keys as [string, string], args);
      case 'giveUp':
        return this.#giveUp(keys as [string, string], args);
      case 'beat':
        return this.#beat(keys as [string, string, string, string, string], args);
      default:
        throw new Error(`no model of ${script}`);
    }
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry && entry.expiresAt > this.#now()) return entry.value;
    this.#entries.delete(key);
    return undefined;
  }

  set(key: string, value: Value, px = Number.POSITIVE_INFINITY): void {
    this.#entries.set(key, { value, expiresAt: this.#now() + px });
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  pttl(key: string): number {
    if (this.get(key) === undefined) return -2;
    const { expiresAt = 0 } = this.#entries.get(key) ?? {};
    return expiresAt === Number.POSITIVE_INFINITY ? -1 : expiresAt - this.#now();
  }

  keys(): string[] {
    return [...this.#entries.keys()].filter((key) => this.get(key) !== undefined);
  }

  /** Returns what a replica has now: call it later to lose what came since. */
  copy(): () => void {
    const entries = new Map(this.#entries);
    return () => {
      this.#entries = new Map(entries);
    };
  }

  flush(): void {
    this.#entries.clear();
  }

  #stored(key: string, refused: string): Stored {
    const value = this.get(key);
    if (value === undefined || value === '') return [undefined, '', 0];
    if (typeof value !== 'string' || value.length > 32_768) return [undefined, '', 1];
    const generation = Number(/^(\d+):/.exec(value)?.[1] ?? Number.NaN);
    if (!(generation <= this.#now() + DAY_MS)) return [undefined, '', 1];
    if (createHash('sha1').update(value).digest('hex') === refused) return [undefined, '', 2];
    return [generation, value, 0];
  }

  #acquire([token, lock, last, verdict]: readonly [string, string, string, string], args: readonly string[]): unknown {
    const [knownText = '', holder = '', claimMs = '', lockText = '', badToken = '', badVerdict = ''] = args;
    const now = this.#now();
    const known = Number(knownText) > now + DAY_MS ? 0 : Number(knownText);
    const [generation, value, odd] = this.#stored(token, badToken);
    if (generation !== undefined && generation > known) return ['token', value, this.pttl(token)];
    const lockMs = Number(lockText);
    if (lockMs === 0) return ['none'];
    const [refusedAt, refusal] = this.#stored(verdict, badVerdict);
    const left = this.pttl(verdict);
    if (refusedAt !== undefined && refusedAt > known && left > 0 && left <= 30_000) return ['verdict', refusal];
    if (this.get(lock) !== undefined) return this.#busy(lock, lockMs);
    this.set(lock, holder, Number(claimMs));
    if (odd > 0) this.delete(token);
    const next = String(Math.max(now, known + 1, this.#lastOf(last) + 1));
    this.set(last, next, 2 * DAY_MS);
    return ['claimed', next, odd];
  }

  #busy(lock: string, lockMs: number): unknown {
    const value = this.get(lock);
    const left = this.pttl(lock);
    const isOdd = left < 0 || left > Math.max(60_000, lockMs);
    if (isOdd) this.set(lock, value ?? '', lockMs);
    return ['busy', isOdd ? lockMs : left, typeof value === 'string' ? value.slice(0, 64) : ''];
  }

  #lastOf(key: string): number {
    const value = this.get(key);
    const text = typeof value === 'string' ? value.slice(0, 16) : '';
    const last = /^\d+$/.test(text) ? Number(text) : 0;
    return last > this.#now() + DAY_MS ? 0 : last;
  }

  #hold([lock]: readonly [string], [holder = '', ms = '']: readonly string[]): unknown {
    if (this.get(lock) !== holder) return 0;
    this.set(lock, holder, Number(ms));
    return 1;
  }

  #put([token, lock]: readonly [string, string], args: readonly string[]): unknown {
    const [holder = '', generation = '', value = '', ms = '', , news = ''] = args;
    if (this.get(lock) !== holder) return 0;
    this.delete(lock);
    const [stored = -1] = this.#stored(token, '');
    if (stored >= Number(generation)) return 0;
    const isAlive = Number(ms) > 0;
    if (isAlive) this.set(token, value, Number(ms));
    this.#publish(news);
    return isAlive ? 1 : 0;
  }

  #giveUp([lock, verdict]: readonly [string, string], args: readonly string[]): unknown {
    const [holder = '', refusal = '', refusedMs = '', pauseMs = '', , news = ''] = args;
    if (this.get(lock) !== holder) return 0;
    if (refusal === '') return this.#hold([lock], [holder, pauseMs]);
    this.set(verdict, refusal, Number(refusedMs));
    this.delete(lock);
    this.#publish(news);
    return 1;
  }

  #beat([times, details, since, heardTimes, heard]: Members, args: readonly string[]): unknown {
    const [member = '', said = '', goneMs = '', host = '', heardMs = '', ...older] = args;
    const members = this.#say([times, details], [member, said], { ms: Number(goneMs), lifeMs: 2 * Number(goneMs) });
    const heardFor = { ms: Number(heardMs), lifeMs: Number(heardMs), older };
    this.#say([heardTimes, heard], [host, `${member}:${said}`], heardFor);
    this.set(since, this.get(since) ?? String(this.#now()), 2 * Number(goneMs));
    return members;
  }

  #say(
    keys: readonly [string, string],
    [name, said]: readonly [string, string],
    { ms, lifeMs, older = [] }: { readonly ms: number; readonly lifeMs: number; readonly older?: readonly string[] },
  ): number {
    const [times, details] = keys.map((key) => {
      const value = this.get(key) ?? new Map<string, string>();
      if (typeof value === 'string') throw new Error('WRONGTYPE');
      return new Map(value);
    }) as [Map<string, string>, Map<string, string>];
    for (const [one, at] of times) {
      if (Number(at) > this.#now() - ms) continue;
      times.delete(one);
      details.delete(one);
    }
    if (times.size === 0) details.clear();
    if (name !== '') {
      times.set(name, String(this.#now()));
      details.set(name, said);
    }
    for (const one of older) {
      times.delete(one);
      details.delete(one);
    }
    for (const [at, value] of [times, details].entries()) {
      // A store keeps nothing empty.
      if (value.size === 0) this.delete(keys[at] ?? '');
      else this.set(keys[at] ?? '', value, lifeMs);
    }
    return times.size;
  }
}
