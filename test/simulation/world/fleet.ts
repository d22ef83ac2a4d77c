/** What the hosts of one history share besides the identity server: the store, and the keys that seal what is in it. */
import { createHash } from 'node:crypto';
import { memberKeys } from '../../../src/fleet/scripts.ts';
import type { SidecarHost } from './sidecar-host.ts';
import { STORE, STORE_PASSWORD, Store } from './store.ts';
import type { World } from './world.ts';

export const FLEET_CLIENT = 'client-of-the-simulated-fleet';

const KEY_STEP_MS = 30_000;
const KEY_OF_NOBODY = 999;

export class Fleet {
  readonly store: Store;
  readonly #world: World;
  /** Of each host, the numbers of the keys in its configuration. */
  readonly #keys = new Map<SidecarHost, readonly number[]>();
  /** Those whose names in the store are others. */
  readonly #apart = new Set<SidecarHost>();
  #newest = 1;
  /** When the keys of a host were changed last, true ms. */
  keysChangedAt = Number.NEGATIVE_INFINITY;
  #steps = 0;

  constructor(world: World) {
    this.#world = world;
    this.store = new Store(world);
  }

  /** The files that the configuration of a host names. */
  filesOf(host: SidecarHost): (readonly [path: string, text: string])[] {
    const keys = this.#keysOf(host).map((key) => [`${host.folder}/fleet-key-${key}`, keyText(key)] as const);
    return [[`${host.folder}/store-password`, STORE_PASSWORD], ...keys];
  }

  /** The part `fleet` of the configuration of a host. */
  configOf(host: SidecarHost): object {
    const keys = this.#keysOf(host).map((key) => ({ file: `${host.folder}/fleet-key-${key}` }));
    const prefix = this.#apart.has(host) ? { prefix: 'another' } : {};
    return { url: `rediss://${STORE}`, password: { file: `${host.folder}/store-password` }, keys, ...prefix };
  }

  /** Changes the key as docs/tokens.md says: every member opens with the new key and the old one, then the old one goes. */
  changeKey(everyMs: number): void {
    if (this.isKeyChanging) return;
    this.#newest += 1;
    this.#steps += 1;
    const steps = this.#steps;
    this.#forEach(everyMs, steps, (host) => this.#set(host, [this.#newest, this.#newest - 1]));
    this.#endKeyChange(everyMs * this.#world.hosts.length + KEY_STEP_MS, everyMs, steps);
  }

  /** The hosts do not all have the same keys, or names in the store. */
  get isKeyChanging(): boolean {
    const isDifferent = (host: SidecarHost) =>
      this.#apart.has(host) || this.#keysOf(host).join() !== String(this.#newest);
    return this.#world.hosts.some(isDifferent);
  }

  /** Words of a host that no member can read: it has another key since it was started again. They count for a day. */
  get hasUnreadWords(): boolean {
    const [, details = '', , , heard = ''] = memberKeys('aritma');
    const said = (key: string) => [
      ...((this.store.scripts.get(key) as Map<string, string> | undefined)?.values() ?? []),
    ];
    const keyIds = new Set(said(details).map((value) => value.split(':')[0]));
    return said(heard).some((value) => !keyIds.has(value.split(':')[1]));
  }

  /** Settings for a new host. */
  admit(host: SidecarHost, original: SidecarHost | undefined): void {
    const right = this.isKeyChanging ? [this.#newest, this.#newest - 1] : [this.#newest];
    this.#set(host, original ? this.#keysOf(original) : right);
  }

  /** A host gets a key that no other has, or other names in the store. */
  separate(host: SidecarHost, isByKey: boolean): void {
    this.keysChangedAt = this.#world.platform.time.nowMs;
    if (isByKey) this.#keys.set(host, [KEY_OF_NOBODY]);
    else this.#apart.add(host);
  }

  /** It is as the others again. */
  unite(host: SidecarHost): void {
    this.keysChangedAt = this.#world.platform.time.nowMs;
    this.#apart.delete(host);
    this.#keys.set(host, [this.#newest]);
  }

  /** Every member opens with the new key and the old one, if they do not all have only the new one. */
  repair(): void {
    this.#steps += 1;
    this.store.repair();
    for (const host of this.#world.hosts) this.#world.platform.network.unblock(STORE, host.machine);
    if (!this.isKeyChanging) return;
    for (const host of this.#world.hosts) this.#set(host, [this.#newest, this.#newest - 1]);
  }

  #keysOf(host: SidecarHost): readonly number[] {
    return this.#keys.get(host) ?? [1];
  }

  #set(host: SidecarHost, keys: readonly number[]): void {
    this.keysChangedAt = this.#world.platform.time.nowMs;
    this.#keys.set(host, keys);
    this.#world.trace('operator', `${host.name} has keys ${keys.join()}`);
    this.#world.operator.write(host);
  }

  /** As an operator who looks at `fleet status`: not before every member has the new key. */
  #endKeyChange(afterMs: number, everyMs: number, steps: number): void {
    const { time } = this.#world.platform;
    time.after(afterMs, time.kernel, () => {
      if (steps !== this.#steps) return;
      const sleepMs = Math.max(...this.#world.hosts.map(({ machine }) => machine.asleepUntil)) - time.nowMs;
      const isReady = sleepMs < -KEY_STEP_MS && this.#world.hosts.every(({ process }) => process);
      // Less and less often: a host may be off for months.
      if (!isReady || this.store.isFaulty)
        return this.#endKeyChange(Math.max(2 * afterMs, sleepMs + KEY_STEP_MS), everyMs, steps);
      this.#forEach(everyMs, steps, (host) => this.#set(host, [this.#newest]));
    });
  }

  #forEach(everyMs: number, steps: number, change: (host: SidecarHost) => void): void {
    const { time } = this.#world.platform;
    for (const [index, host] of this.#world.hosts.entries())
      time.after(everyMs * index, this.#world.process('operator', host.machine), () => {
        if (steps === this.#steps) change(host);
      });
  }
}

function keyText(key: number): string {
  return `${createHash('sha256').update(`fleet key ${key}`).digest('base64url')}\n`;
}
