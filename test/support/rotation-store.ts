/** The store of a fleet as far as rotations use it, on a clock of the test: the scripts' model, with members that beat by hand. */
import { sayAlive } from '../../src/fleet/heartbeat.ts';
import type { FleetAccess } from '../../src/fleet/members.ts';
import { FleetMemory } from '../../src/fleet/memory.ts';
import type { Holding } from '../../src/fleet/places.ts';
import type { Sealer } from '../../src/fleet/seal.ts';
import { RotationScripts } from './fleet-rotation-scripts.ts';

const PREFIX = 'test';

export class RotationStore {
  readonly #now: () => number;
  #scripts: RotationScripts;
  /** Every command fails while it is set. */
  fault: Error | undefined;
  /** Takes the place of every reply. */
  reply: (() => unknown) | undefined;

  constructor(now: () => number) {
    this.#now = now;
    this.#scripts = this.#empty();
  }

  /** Loses everything. */
  wipe(): void {
    this.#scripts = this.#empty();
  }

  names(): string[] {
    return this.#scripts.keys();
  }

  /** Number of entries in this hash of the members. */
  size(what: string): number {
    const value = this.#scripts.get(`${PREFIX}:{members}:${what}`);
    return value instanceof Map ? value.size : 0;
  }

  get(key: string): string | undefined {
    const value = this.#scripts.get(key);
    return value === undefined ? undefined : String(value);
  }

  set(key: string, value: string): void {
    this.#scripts.set(key, value, 3_600_000);
  }

  async beat(sealer: Sealer, id: string, said: { readonly host: string; readonly holdings?: readonly Holding[] }) {
    const run: FleetAccess['run'] = async (...command) => this.#scripts.run(...command);
    await sayAlive(
      { prefix: PREFIX, sealer, member: id, run, memory: new FleetMemory() },
      { version: '1', secrets: [], ...said },
    );
  }

  access(sealer: Sealer, host: string): Omit<FleetAccess, 'member'> {
    return {
      ...{ prefix: PREFIX, channel: `${PREFIX}:news`, sealer, host },
      run: async (script, keys, args) => {
        if (this.fault) throw this.fault;
        if (this.reply) return this.reply();
        return this.#scripts.run(script, keys, args);
      },
    };
  }

  #empty(): RotationScripts {
    return new RotationScripts(this.#now, () => undefined);
  }
}
