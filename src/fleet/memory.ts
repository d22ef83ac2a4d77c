/** What a process remembers of its fleet, whatever is reloaded: what is known to be of no use, and what it has said itself. */
import { LRUCache } from 'lru-cache';
import type { Instant } from '../core/clock.ts';
import type { Secret } from '../core/secret.ts';

/** More than there are of any of them at a time. */
const MAX = 256;

/** One for all generations and all stores of a process. Bounded: what is longest unused is forgotten first. */
export class FleetMemory {
  readonly #refused = new LRUCache<string, true>({ max: MAX });
  readonly #alone = new LRUCache<string, Instant>({ max: MAX });
  readonly #heard = new LRUCache<string, string>({ max: MAX });

  /** An API refused it: another member may still have it in the store. */
  refuse(authorization: Secret): void {
    this.#refused.set(digestOf(authorization), true);
  }

  isRefused(authorization: Secret): boolean {
    return this.#refused.has(digestOf(authorization));
  }

  /** @param token what tells it from others @param since when this process fetched one without a claim */
  fetchedAlone(token: string, since: Instant): void {
    this.#alone.set(token, since);
  }

  /** When that was last; what has ended that token may have ended older ones, too. */
  aloneSince(token: string): Instant | undefined {
    return this.#alone.get(token);
  }

  /** It has said what it needs, under this name, sealed with this key. */
  hear(name: string, keyId: string): void {
    this.#heard.set(name, keyId);
  }

  /** Returns the names of all that it has said with other keys. */
  heardWithout(keyId: string): string[] {
    return [...this.#heard].flatMap(([name, id]) => (id === keyId ? [] : name));
  }
}

function digestOf(authorization: Secret): string {
  return authorization.digest().toString('base64');
}
