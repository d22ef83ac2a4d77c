/**
 * One client secret that the members of a fleet share, as its rotation needs it: one member at a time rotates, under a lease; any
 * other can go on where it stopped; and nothing is deleted while one of them lacks the new secret.
 */
import type { CredentialConfig } from '../../config/schema.ts';
import type { Clock } from '../../core/clock.ts';
import { SidecarError } from '../../core/errors.ts';
import { Secret } from '../../core/secret.ts';
import { Lease } from '../../fleet/lease.ts';
import { type FleetAccess, type MemberView, readMembers } from '../../fleet/members.ts';
import { type HeldBy, lackingPlaces, newestWords } from '../../fleet/places.ts';
import { type Journal, parseJournal } from '../../iam/rotation/journal.ts';
import type { OpenStore, SecretStore } from '../../iam/rotation/store.ts';
import { FleetJournal, type FleetJournalOptions, type SharedJournal, textOf } from './fleet-journal.ts';

export interface SharedSecretOptions extends FleetJournalOptions, Pick<FleetAccess, 'member'> {
  readonly clock: Clock;
}

/** The list of members is complete so long after the store was empty: the longest pause between two heartbeats is a third. */
const COMPLETE_MS = 30_000;
/** In the year 2096, epoch s: less than any time in ms. */
const LATEST_S = 4_000_000_000;

/** What is equal for all that use the secret of this credential. */
export function secretParts({ tokenEndpoint, issuer, clientId }: CredentialConfig): readonly (string | undefined)[] {
  return [(tokenEndpoint ?? issuer)?.text, clientId];
}

export class SharedSecret {
  readonly journal: FleetJournal;
  /** Tells it from others in what members say of their secrets. */
  readonly client: string;
  readonly #options: SharedSecretOptions;
  #leases = 0;
  /** By how much the clock of this machine is ahead of the store's, as of the last rotation here. */
  #aheadMs = 0;

  constructor(options: SharedSecretOptions) {
    this.#options = options;
    this.journal = new FleetJournal(options);
    this.client = this.journal.client;
  }

  /** Whether a rotation waits for somebody to go on with it, as of the last look. @param nowMs epoch, by this machine */
  isLeft(nowMs: number): boolean {
    const attempt = this.journal.newest?.attempt;
    if (attempt === undefined || this.journal.leasedMs > 0) return false;
    return attempt.phase !== 'promoted' || nowMs - this.#aheadMs >= (attempt.retireAt ?? 0);
  }

  /** Returns the store of this secret for a rotation; `local` is where this member keeps it. */
  share(local: SecretStore): SecretStore {
    return {
      name: local.name,
      isOwn: local.isOwn,
      peek: () => local.peek().then((text) => this.#newestOf(text)),
      open: async () => {
        const lease = await this.#take();
        try {
          return this.#opened(await local.open(), lease);
        } catch (error) {
          await lease.release();
          throw error;
        }
      },
    };
  }

  #opened(local: OpenStore, lease: Lease): OpenStore {
    const held = async <T>(work: () => Promise<T>): Promise<T> => {
      await lease.confirm();
      return work();
    };
    // Of the journal that this rotation goes on from: the follower may see a newer one meanwhile.
    let seen = 0;
    const lacking = (fingerprint: string) => this.#lacking(fingerprint);
    return {
      readSecret: () => held(local.readSecret),
      writeSecret: (value) => held(() => local.writeSecret(value)),
      readJournal: () =>
        held(async () => {
          await this.journal.look();
          const newest = this.#newestOf(await local.readJournal());
          seen = this.journal.revision;
          // A store that has lost everything may have got an older journal back than another member has seen.
          if (this.journal.newest?.attempt) await this.#readMembers();
          return newest;
        }),
      // First where the others see it: what only this member knew, nobody else could finish.
      writeJournal: async (text) => {
        const journal = await this.#extended(parseJournal(text), await lease.confirm());
        if (this.journal.revision > seen || !(await this.journal.write(journal, { holder: lease.holder, seen })))
          throw new SidecarError('ROTATION_LOCKED', { fields: { holder: 'one with a newer journal' } });
        seen = journal.fleet.revision;
        await local.writeJournal(textOf(journal));
      },
      now: async () => {
        const nowMs = await lease.confirm();
        this.#aheadMs = this.#options.clock.now().wallMs - nowMs;
        return nowMs;
      },
      mayBegin: (inUse) => this.#requireSame(inUse),
      async lacking(value) {
        const { places, untold } = await lacking(value.fingerprint());
        return [...places.map(({ host }) => host), ...untold.map(({ id, details }) => details?.host ?? id)];
      },
      async close() {
        await local.close();
        await lease.release();
      },
    };
  }

  #newestOf(text: string | undefined): string | undefined {
    this.journal.remember(text);
    return this.journal.newest ? textOf(this.journal.newest) : text;
  }

  /** Adds what a fleet must know beside. @param nowMs of the store */
  async #extended({ fleet: _before, ...journal }: Journal, nowMs: number): Promise<SharedJournal> {
    const { client } = this;
    const before = this.journal.newest;
    const revision = before || journal.attempt ? Math.max(nowMs, this.journal.revision + 1) : emptyRevision(journal);
    const value = journal.attempt?.value ?? before?.attempt?.value;
    // Nobody lacks a secret before there is an attempt.
    if (value === undefined) return { ...journal, fleet: { ...before?.fleet, client, revision, places: [] } };
    const { places, areKept } = await this.#lacking(new Secret(value).fingerprint());
    const isOver = journal.rotatedAt !== before?.rotatedAt;
    // Of a place that is silent just now nobody knows; and the old one is needed until the new one can be taken over.
    const needed = areKept && places.length === 0 ? undefined : value;
    const kept = isOver ? needed : before?.fleet.kept;
    return { ...journal, fleet: { client, revision, places, ...(kept !== undefined && { kept }) } };
  }

  async #lacking(fingerprint: string) {
    const { nowMs, list, silent } = await readMembers(this.#options, this.#options.sealer);
    const heldBy = ({ details, ageS }: MemberView): HeldBy[] =>
      (details?.holdings ?? [])
        .filter(({ client }) => client === this.client)
        .map((held) => ({ ...held, host: details?.host ?? '', saidAt: nowMs - ageS * 1000 }));
    // Just started, or with a key that this one has not: nobody knows what they need.
    const untold = [...list, ...silent].filter(({ details }) => details?.holdings === undefined);
    const users = newestWords(list.flatMap(heldBy), silent.flatMap(heldBy));
    const places = lackingPlaces(this.journal.newest?.fleet.places ?? [], users, { fingerprint, nowMs });
    return { places, untold, areKept: untold.length === 0 && users.every(({ isKept }) => isKept) };
  }

  /** A journal that was lost may have told of a secret that some have and others have not: a new one would know of neither. */
  async #requireSame(inUse: Secret | undefined): Promise<void> {
    const { sealer } = this.#options;
    const { list } = await this.#readMembers();
    const other = list.find(({ keyId, details }) => keyId !== sealer.keyId || details?.holdings === undefined);
    if (other)
      throw failed(`${other.details?.host ?? other.id} has another fleet key, an older version, or has just started`);
    const known = this.journal.newest;
    if (known?.rotatedAt !== undefined || !inUse) return;
    const { places } = await this.#lacking(inUse.fingerprint());
    if (places[0]) throw failed(`${places[0].host} has another client secret`);
  }

  /** @throws SidecarError ROTATION_STORE_FAILED while the store has been there for less time than each member needs to tell what it knows */
  async #readMembers(): Promise<Awaited<ReturnType<typeof readMembers>>> {
    const members = await readMembers(this.#options, this.#options.sealer);
    if (members.list.length === 0)
      throw failed('no member of the fleet is running: nobody would take a new secret over');
    if (members.nowMs - members.sinceMs < COMPLETE_MS)
      throw failed('the fleet store was empty a moment ago: not all members are known yet');
    return members;
  }

  async #take(): Promise<Lease> {
    const { member, clock, run } = this.#options;
    this.#leases += 1;
    const lease = new Lease({
      holder: `${member}:${this.#leases}`,
      clock,
      run: (script, args) => run(script, [this.journal.leaseKey], args),
    });
    await lease.take();
    lease.keep();
    return lease;
  }
}

/** An empty one, of a member that knows none, gives way to any that another puts back; of two empty ones, the later to the earlier. */
function emptyRevision({ since }: Journal): number {
  return Math.max(1, LATEST_S - Math.floor(since / 1000));
}

function failed(reason: string): SidecarError {
  return new SidecarError('ROTATION_STORE_FAILED', { fields: { reason } });
}
