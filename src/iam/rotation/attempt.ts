/** One rotation under way: what it needs, and the steps' way to note how far they are. */
import { SidecarError } from '../../core/errors.ts';
import { Secret } from '../../core/secret.ts';
import type { IamApi } from '../api.ts';
import type { Attempt, Journal } from './journal.ts';
import type { Progress } from './retry.ts';
import type { OpenStore } from './store.ts';
import type { RotationClock, TrySecret } from './verification.ts';

export interface RotationOptions {
  readonly clientId: string;
  readonly store: OpenStore;
  readonly iam: Pick<IamApi, 'secrets' | 'createSecret' | 'deleteSecret'>;
  readonly trySecret: TrySecret;
  readonly policy: RotationPolicy;
  readonly clock: RotationClock;
  /** Only continue what is under way, never begin a rotation: if somebody else has finished the one that waited, that is the result. */
  readonly after?: Waiting | undefined;
  /** Called after each step and before each wait. */
  readonly onProgress?: (progress: Progress) => void;
}

/** The new secret is stored; the old one is deleted by a call at `until`. */
export interface Waiting {
  readonly kind: 'waiting';
  /** Epoch ms, by this machine. */
  readonly until: number;
  /** When the last rotation before this one was finished. */
  readonly rotatedAt: number | undefined;
}

/** All in ms. */
export interface RotationPolicy {
  readonly secretLifetime: number;
  readonly overlap: number;
  readonly verifyFor: number;
}

export type WithAttempt = Journal & { readonly attempt: Attempt };

/** Writes the journal, and tells of its step. @throws SidecarError ROTATION_STORE_FAILED */
export async function keep(journal: Journal, { store, onProgress }: RotationOptions): Promise<Journal> {
  await store.writeJournal(`${JSON.stringify(journal, undefined, 2)}\n`);
  const { attempt } = journal;
  if (attempt) onProgress?.({ step: attempt.phase, fields: { description: attempt.description } });
  return journal;
}

/** @throws SidecarError ROTATION_JOURNAL_INVALID when it is not there any more */
export function newValue({ value }: Attempt): Secret {
  if (value === undefined)
    throw new SidecarError('ROTATION_JOURNAL_INVALID', { fields: { reason: 'the new secret has no value' } });
  return new Secret(value);
}

/** Another machine may end the overlap, or begin the next rotation, and its clock be hours ahead. */
export function sharedNow({ store, clock }: Pick<RotationOptions, 'store' | 'clock'>): number | Promise<number> {
  return store.now?.() ?? clock.now();
}
