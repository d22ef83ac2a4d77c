/**
 * The journal of one rotation as the members of a fleet share it: in the store, sealed, and in the memory of every member that
 * has seen it, which puts it back when the store has lost it. The highest revision is the newest.
 */
import { createHash } from 'node:crypto';
import type { FleetAccess } from '../../fleet/members.ts';
import type { Journal } from '../../iam/rotation/journal.ts';
import { parseJournal } from '../../iam/rotation/journal.ts';

export interface FleetJournalOptions extends Pick<FleetAccess, 'prefix' | 'run' | 'sealer' | 'channel'> {
  /** What is equal for all that use the secret. */
  readonly parts: readonly (string | undefined)[];
}

export interface SharedJournal extends Journal {
  readonly fleet: NonNullable<Journal['fleet']>;
}

/** A journal in the store outlives the longest pause between two looks of any member. */
const LIFE_MS = 30 * 24 * 3_600_000;

export class FleetJournal {
  /** Tells client and server from others, in journals and in what members say of their secrets. */
  readonly client: string;
  readonly #options: FleetJournalOptions;
  readonly #olderNames: readonly string[];
  readonly #firstName: string;
  #name: string;
  #newest: SharedJournal | undefined;
  #leasedMs = 0;

  constructor(options: FleetJournalOptions) {
    const { sealer, parts, prefix } = options;
    const named = ['secret', prefix, ...parts];
    this.#options = options;
    this.client = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
    this.#firstName = sealer.name(named);
    this.#name = this.#firstName;
    this.#olderNames = sealer.olderNames(named);
  }

  /** Of its entries in the store; also the message of its news. */
  get name(): string {
    return this.#name;
  }

  /** The newest that this member has seen. */
  get newest(): SharedJournal | undefined {
    return this.#newest;
  }

  get revision(): number {
    return this.#newest?.fleet.revision ?? 0;
  }

  /** ms for which somebody had the lease, at the last look. */
  get leasedMs(): number {
    return this.#leasedMs;
  }

  get leaseKey(): string {
    return this.#keys(this.#name)[1] ?? '';
  }

  /**
   * Takes one of this client that this member has next to its secret.
   * @returns its revision, 0 for any other @throws SidecarError ROTATION_JOURNAL_INVALID
   */
  remember(text: string | undefined): number {
    const journal = text === undefined ? undefined : parseJournal(text);
    if (!isShared(journal) || journal.fleet.client !== this.client) return 0;
    const { revision } = journal.fleet;
    if (revision > this.revision) this.#newest = journal;
    return revision;
  }

  /** Reads a newer one, and puts it back if the store has lost it. @throws SidecarError ROTATION_STORE_FAILED */
  async look(): Promise<void> {
    if (!this.#newest?.attempt) this.#name = this.#firstName;
    const found = await this.#recall(this.#name);
    if (found === 0 && (await this.#isElsewhere())) return;
    if (found < this.revision && this.#newest) await this.write(this.#newest);
  }

  /**
   * @param by holder of the lease, and the newest revision it has seen; absent: it is put back, which needs no lease
   * @returns false when the lease is over, or another journal is newer
   */
  async write(journal: SharedJournal, by = { holder: '', seen: journal.fleet.revision }): Promise<boolean> {
    const { run, sealer, channel } = this.#options;
    const generation = String(journal.fleet.revision);
    const sealed = await sealer.seal(placeOf(this.#name, generation), { journal: textOf(journal) });
    const args = [
      by.holder,
      generation,
      `${generation}:${sealed}`,
      String(LIFE_MS),
      channel,
      this.#name,
      String(by.seen),
    ];
    const isStored = (await run('note', this.#keys(this.#name), args)) === 1;
    if (isStored) this.#newest = journal;
    return isStored;
  }

  /** Whether a rotation runs under the name that it has for members with another first key: it is finished where it was begun. */
  async #isElsewhere(): Promise<boolean> {
    for (const name of this.#olderNames) {
      if ((await this.#recall(name)) === 0 || !this.#newest?.attempt) continue;
      this.#name = name;
      return true;
    }
    return false;
  }

  /** @returns the revision in the store, 0 for none that can be read */
  async #recall(name: string): Promise<number> {
    const { run, sealer } = this.#options;
    const reply = (await run('recall', this.#keys(name), [String(this.revision)])) as unknown[];
    const [revision = 0, value, leasedMs] = reply;
    this.#leasedMs = Number(leasedMs);
    const [, sealed] = /^\d+:(.+)$/s.exec(String(value)) ?? [];
    if (sealed === undefined) return Number(revision);
    const opened = await sealer.open(placeOf(name, String(revision)), sealed);
    const journal = typeof opened === 'string' ? undefined : asJournal(opened.content['journal']);
    if (journal === undefined || journal.fleet.revision !== revision) return 0;
    this.#newest = journal;
    return journal.fleet.revision;
  }

  #keys(name: string): string[] {
    return ['journal', 'lease'].map((what) => `${this.#options.prefix}:{${name}}:${what}`);
  }
}

export function textOf(journal: Journal): string {
  return `${JSON.stringify(journal, undefined, 2)}\n`;
}

/** The same, but older. */
export function asOlder({ fleet, ...journal }: SharedJournal): SharedJournal {
  return { ...journal, fleet: { ...fleet, revision: fleet.revision - 1 } };
}

const placeOf = (name: string, generation: string) => ({ name: `journal ${name}`, generation });

/** One that no member has written counts as none. */
function asJournal(text: unknown): SharedJournal | undefined {
  try {
    const journal = parseJournal(String(text));
    return isShared(journal) ? journal : undefined;
  } catch {
    return undefined;
  }
}

function isShared(journal: Journal | undefined): journal is SharedJournal {
  return journal?.fleet !== undefined;
}
