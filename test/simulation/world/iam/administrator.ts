/** Whoever changes secrets by hand, in IAM and in the files of the sidecars, and puts right what went wrong. */

import type { SidecarHost } from '../sidecar-host.ts';
import type { World } from '../world.ts';
import type { StoredSecret } from './iam-server.ts';

export const CLIENT = 'erp';

interface KnownJournal {
  readonly attempt?: KnownAttempt;
  readonly fleet?: { readonly revision: number; readonly kept?: string };
}

interface KnownAttempt {
  readonly phase: string;
  /** Of the secret that it makes, in IAM. */
  readonly description?: string;
  readonly value?: string;
  readonly retire?: readonly string[];
}

export class Administrator {
  readonly #world: World;
  #count = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** In the file of the first host, as a reader of it gets it. */
  get stored(): string | undefined {
    return this.storedOn(this.#world.sidecar);
  }

  storedOn({ secretFile }: SidecarHost): string | undefined {
    const { disk } = this.#world.platform;
    return disk.has(secretFile) ? disk.find(secretFile).content.toString().trimEnd() : undefined;
  }

  /** When the file was replaced, true ms. */
  get storedAt(): number {
    return this.#world.platform.disk.find(this.#world.sidecar.secretFile).changedMs;
  }

  /** A secret that nobody uses. */
  add(): StoredSecret | undefined {
    return this.#world.iam?.server.create({ clientId: CLIENT, ...this.#byHand() });
  }

  /** Deletes the secret in the file, or another one. */
  deleteOne(which: 'stored' | 'other', host = this.#world.sidecar): void {
    const stored = this.storedOn(host);
    const found = this.#secrets().findLast(({ value }) => (value === stored) === (which === 'stored'));
    if (found) this.#world.iam?.takeAway(found);
  }

  /** A new secret for the client, and these files have it; the one that the first had is deleted later. */
  replace(graceMs: number, hosts = this.#world.hosts): void {
    const stored = hosts[0] && this.storedOn(hosts[0]);
    const before = this.#secrets().filter(({ value }) => value === stored);
    const made = this.add();
    for (const host of made ? hosts : []) this.#store(made?.value ?? '', host);
    const { time } = this.#world.platform;
    time.after(graceMs, time.kernel, () => {
      // Unless it was put back meanwhile.
      const isGone = (secret: StoredSecret) => !this.#secrets().includes(secret) || this.#isStored(secret);
      for (const secret of before) if (!isGone(secret)) this.#world.iam?.takeAway(secret);
    });
  }

  /** As docs/rotation.md says: the files get a secret that works, and unused ones made by hand are deleted. */
  putRight(): void {
    const server = this.#world.iam?.server;
    if (!server) return;
    const { hosts } = this.#world;
    const live = this.#secrets().filter((secret) => server.isLive(secret));
    const begun = this.journal?.attempt;
    const promoted = live.find(({ value }) => begun?.phase === 'promoted' && value === begun.value);
    const isLive = (host: SidecarHost) => live.some(({ value }) => value === this.storedOn(host));
    for (const host of hosts) {
      if (promoted && promoted.value !== this.storedOn(host)) this.#store(promoted.value, host);
      else if (!promoted && !isLive(host)) this.#store(this.#fromAnother(live) ?? this.add()?.value ?? '', host);
      // What was made for one is there for the next.
      live.splice(0, live.length, ...this.#secrets().filter((secret) => server.isLive(secret)));
    }
    for (const secret of this.#secrets()) if (this.#isUnused(secret)) this.#world.iam?.takeAway(secret);
  }

  /** A new host gets the file of another one; a copy of one also its journal. */
  equip(host: SidecarHost, original: SidecarHost | undefined): void {
    const source = original ?? this.#world.sidecar;
    const journal = original && this.#bytesOn(original);
    this.#store(this.storedOn(source) ?? '', host);
    if (journal) this.#world.operator.replace(`${host.secretFile}.rotation`, journal.toString());
  }

  /** When a rotation says that there are too many: all files get the same one, and what is in none of them is deleted. */
  leaveOne(): void {
    this.putRight();
    if (this.#isMade) return;
    const server = this.#world.iam?.server;
    const wanted = this.#fromAnother(this.#secrets().filter((secret) => server?.isLive(secret)));
    if (wanted === undefined) return;
    for (const host of this.#world.hosts) if (this.storedOn(host) !== wanted) this.#store(wanted, host);
    for (const secret of this.#secrets()) if (!this.#isStored(secret)) this.#world.iam?.takeAway(secret);
  }

  /** Members do not rotate while one of them has another secret, by hand, and say so. */
  unify(): void {
    const values = new Set(this.#world.hosts.map((host) => this.storedOn(host)));
    if (values.size > 1 && !this.#isMade) this.leaveOne();
  }

  /** A rotation has its new secret, and goes on by itself. */
  get #isMade(): boolean {
    return this.journal?.attempt !== undefined && this.journal.attempt.phase !== 'creating';
  }

  #isStored({ value }: StoredSecret): boolean {
    return this.#world.hosts.some((host) => value === this.storedOn(host));
  }

  /** The newest that is in the file of a host, and works. */
  #fromAnother(live: readonly StoredSecret[]): string | undefined {
    const stored = this.#world.hosts.map((host) => this.storedOn(host));
    return live.findLast(({ value }) => stored.includes(value))?.value;
  }

  /** Neither in a file nor part of the rotation under way. */
  #isUnused(secret: StoredSecret): boolean {
    const { id, value, by } = secret;
    const { attempt, fleet } = this.journal ?? {};
    // One that is still creating takes the inventory again.
    const retire = attempt?.phase === 'creating' ? [] : (attempt?.retire ?? []);
    // Of those that a fleet has made, the newest journal may be only in the store.
    const isLeftToFleet = this.#world.fleet !== undefined && (by !== undefined || value === fleet?.kept);
    return !this.#isStored(secret) && !isLeftToFleet && value !== attempt?.value && !retire.includes(id);
  }

  /** The newest that is next to a secret. Undefined also for one that nobody can read. */
  get journal(): KnownJournal | undefined {
    const journals = this.#world.hosts.flatMap((host) => journalOf(this.#bytesOn(host)) ?? []);
    return journals.sort((one, other) => (other.fleet?.revision ?? 0) - (one.fleet?.revision ?? 0))[0];
  }

  /** Of its file on the first host; undefined without one. */
  get journalBytes(): Buffer | undefined {
    return this.#bytesOn(this.#world.sidecar);
  }

  #bytesOn({ secretFile }: SidecarHost): Buffer | undefined {
    const { disk } = this.#world.platform;
    const file = `${secretFile}.rotation`;
    return disk.has(file) ? disk.find(file).content : undefined;
  }

  #secrets(): StoredSecret[] {
    return this.#world.iam?.server.secretsOf(CLIENT) ?? [];
  }

  #byHand(): Pick<StoredSecret, 'value' | 'description' | 'expiresAt'> {
    this.#count += 1;
    return { value: `by-hand-${this.#count}-0123456789`, description: 'by hand', expiresAt: Number.POSITIVE_INFINITY };
  }

  #store(value: string, { secretFile, name, isHere }: SidecarHost): void {
    if (!isHere) return;
    const where = name === '1' ? '' : ` of host ${name}`;
    this.#world.trace('administrator', `writes ${value} to the secret file${where}`);
    this.#world.operator.replace(secretFile, `${value}\n`);
    this.#world.observe({ kind: 'storedByHand', value });
  }
}

function journalOf(bytes: Buffer | undefined): KnownJournal | undefined {
  try {
    return JSON.parse(bytes?.toString() ?? '') as KnownJournal;
  } catch {
    return undefined;
  }
}
