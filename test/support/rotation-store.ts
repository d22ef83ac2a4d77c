/** The store of a fleet as far as rotations use it, in memory: each script as src/fleet/scripts.ts has it, by a clock of the test. */
import type { FleetAccess } from '../../src/fleet/members.ts';
import type { Holding } from '../../src/fleet/places.ts';
import type { ScriptName } from '../../src/fleet/scripts.ts';
import type { Sealer } from '../../src/fleet/seal.ts';

interface Heartbeat {
  readonly at: number;
  readonly sealed: string;
}

export class RotationStore {
  readonly values = new Map<string, string>();
  readonly #leases = new Map<string, { readonly holder: string; readonly until: number }>();
  readonly #beats = new Map<string, Heartbeat>();
  readonly #now: () => number;
  /** When its list of members began. */
  since: number;
  /** Every command fails while it is set. */
  fault: Error | undefined;

  constructor(now: () => number) {
    this.#now = now;
    this.since = now();
  }

  /** Loses everything. */
  wipe(): void {
    this.values.clear();
    this.#leases.clear();
    this.#beats.clear();
    this.since = this.#now();
  }

  async beat(sealer: Sealer, id: string, said: { readonly host: string; readonly holdings?: readonly Holding[] }) {
    const content = { version: '1', secrets: [], ...said };
    const sealed = await sealer.seal({ name: `member ${id}`, generation: '0' }, content);
    this.#beats.set(id, { at: this.#now(), sealed: `${sealer.keyId}:${sealed}` });
  }

  access(sealer: Sealer, host: string): Omit<FleetAccess, 'member'> {
    return {
      ...{ prefix: 'test', channel: 'test:news', sealer, host },
      run: async (script, keys, args) => {
        if (this.fault) throw this.fault;
        return this.#run(script, keys, args);
      },
    };
  }

  #run(script: ScriptName, [first = '', second = '']: readonly string[], args: readonly string[]): unknown {
    switch (script) {
      case 'recall':
        return this.#recall(first, second, Number(args[0]));
      case 'lease':
        return this.#lease(first, args);
      case 'release':
        return this.#holderOf(first) === args[0] ? Number(this.#leases.delete(first)) : 0;
      case 'note':
        return this.#note(first, second, args);
      case 'members':
        return this.#members();
      default:
        throw new Error(`not of a rotation: ${script}`);
    }
  }

  #holderOf(key: string): string | undefined {
    const lease = this.#leases.get(key);
    return lease && lease.until > this.#now() ? lease.holder : undefined;
  }

  #revisionOf(key: string): number {
    return Number(/^(\d+):/.exec(this.values.get(key) ?? '')?.[1] ?? 0);
  }

  #recall(key: string, lease: string, known: number): unknown {
    const revision = this.#revisionOf(key);
    const leftMs = this.#holderOf(lease) === undefined ? 0 : (this.#leases.get(lease)?.until ?? 0) - this.#now();
    return [revision, revision > known ? this.values.get(key) : '', leftMs];
  }

  #lease(key: string, [holder = '', ms, mode]: readonly string[]): unknown {
    // One that is over is not taken again to go on.
    const current = this.#holderOf(key) ?? (mode === 'take' ? holder : '');
    if (current === holder) this.#leases.set(key, { holder, until: this.#now() + Number(ms) });
    return [this.#now(), current];
  }

  #note(key: string, lease: string, [holder = '', revision, value = '']: readonly string[]): number {
    if (holder !== '' && this.#holderOf(lease) !== holder) return 0;
    if (this.#revisionOf(key) >= Number(revision)) return 0;
    this.values.set(key, value);
    return 1;
  }

  #members(): unknown {
    const live = [...this.#beats].filter(([, { at }]) => this.#now() - at <= 30_000);
    const details = live.flatMap(([id, { sealed }]) => [id, sealed]);
    return [this.#now(), this.since, details, live.flatMap(([id, { at }]) => [id, String(at)])];
  }
}
