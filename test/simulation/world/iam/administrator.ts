/** Whoever changes secrets by hand, in IAM and in the file of the sidecar, and puts right what went wrong. */

import { SECRET_FILE } from '../sidecar-host.ts';
import type { World } from '../world.ts';
import type { StoredSecret } from './iam-server.ts';

export const CLIENT = 'erp';
const JOURNAL_FILE = `${SECRET_FILE}.rotation`;

interface KnownAttempt {
  readonly phase: string;
  readonly value?: string;
  readonly retire?: readonly string[];
}

export class Administrator {
  readonly #world: World;
  #count = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** In the file, as a reader of it gets it. */
  get stored(): string | undefined {
    const { disk } = this.#world.platform;
    return disk.has(SECRET_FILE) ? disk.find(SECRET_FILE).content.toString().trimEnd() : undefined;
  }

  /** When the file was replaced, true ms. */
  get storedAt(): number {
    return this.#world.platform.disk.find(SECRET_FILE).changedMs;
  }

  /** A secret that nobody uses. */
  add(): StoredSecret | undefined {
    return this.#world.iam?.server.create({ clientId: CLIENT, ...this.#byHand() });
  }

  /** Deletes the secret in the file, or another one. */
  deleteOne(which: 'stored' | 'other'): void {
    const found = this.#secrets().findLast(({ value }) => (value === this.stored) === (which === 'stored'));
    if (found) this.#world.iam?.takeAway(found);
  }

  /** A new secret for the client, and the file has it; the one that it had is deleted later. */
  replace(graceMs: number): void {
    const before = this.#secrets().filter(({ value }) => value === this.stored);
    const made = this.add();
    if (made) this.#store(made.value);
    const { time } = this.#world.platform;
    time.after(graceMs, time.kernel, () => {
      for (const secret of before) if (this.#secrets().includes(secret)) this.#world.iam?.takeAway(secret);
    });
  }

  /** As docs/rotation.md says: the file gets a secret that works, and unused ones made by hand are deleted. */
  putRight(): void {
    const server = this.#world.iam?.server;
    if (!server) return;
    const live = this.#secrets().filter((secret) => server.isLive(secret));
    const begun = this.journal?.attempt;
    const promoted = live.find(({ value }) => begun?.phase === 'promoted' && value === begun.value);
    if (promoted && promoted.value !== this.stored) this.#store(promoted.value);
    else if (!live.some(({ value }) => value === this.stored)) {
      const made = this.add();
      if (made) this.#store(made.value);
    }
    for (const secret of this.#secrets()) if (this.#isUnused(secret)) this.#world.iam?.takeAway(secret);
  }

  /** Neither in the file nor part of the rotation under way. */
  #isUnused({ id, value }: StoredSecret): boolean {
    const { value: next, retire = [] } = this.journal?.attempt ?? {};
    return value !== this.stored && value !== next && !retire.includes(id);
  }

  /** Undefined also for one that nobody can read. */
  get journal(): { readonly attempt?: KnownAttempt } | undefined {
    try {
      return JSON.parse(this.journalBytes?.toString() ?? '') as object;
    } catch {
      return undefined;
    }
  }

  /** Of its file; undefined without one. */
  get journalBytes(): Buffer | undefined {
    const { disk } = this.#world.platform;
    return disk.has(JOURNAL_FILE) ? disk.find(JOURNAL_FILE).content : undefined;
  }

  #secrets(): StoredSecret[] {
    return this.#world.iam?.server.secretsOf(CLIENT) ?? [];
  }

  #byHand(): Pick<StoredSecret, 'value' | 'description' | 'expiresAt'> {
    this.#count += 1;
    return { value: `by-hand-${this.#count}-0123456789`, description: 'by hand', expiresAt: Number.POSITIVE_INFINITY };
  }

  #store(value: string): void {
    this.#world.trace('administrator', `writes ${value} to the secret file`);
    this.#world.operator.replace(SECRET_FILE, `${value}\n`);
    this.#world.observe({ kind: 'storedByHand', value });
  }
}
