/**
 * What a rotation must not forget: which secret of the client is ours, and how far an attempt to replace it has come. Every
 * step is written down before it has an effect outside, and again once it is known to have had it.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { SidecarError } from '../../core/errors.ts';

/**
 * `creating`: the new secret may or may not exist at IAM. `created`: it does, not known to work. `verified`: it works, and
 * may or may not be in the store. `promoted`: it is; the old one is to be deleted at `retireAt`. `abandoned`: it did not
 * work and is to be deleted.
 */
const PHASES = ['creating', 'created', 'verified', 'promoted', 'abandoned'] as const;

const KNOWN_SECRET = z.strictObject({
  clientSecretId: z.string().min(1),
  description: z.string(),
  /** Epoch ms; absent = never. */
  expiresAt: z.number().optional(),
});

const ATTEMPT = z.strictObject({
  phase: z.enum(PHASES),
  description: z.string().min(1),
  /** Kept until it is in the store. */
  value: z.string().min(8).max(32).optional(),
  expiresAt: z.number(),
  startedAt: z.number(),
  clientSecretId: z.string().min(1).optional(),
  /** Ids of the secrets it replaces. */
  retire: z.array(z.string().min(1)),
  retireAt: z.number().optional(),
});

/** The client's first secret on its way. Its value is kept from before IAM hears of it until it is in the store. */
const FIRST_SECRET = z.strictObject({
  description: z.string().min(1),
  value: z.string().min(8).max(32),
  expiresAt: z.number().optional(),
  startedAt: z.number(),
});

const JOURNAL = z.strictObject({
  version: z.literal(1),
  /** Of this place for a secret: tells its secrets at IAM from those of another. */
  id: z.string().min(8),
  clientId: z.string().min(1),
  /** When this journal was begun, epoch ms. */
  since: z.number(),
  rotatedAt: z.number().optional(),
  /** The secret in the store, as IAM knows it. */
  current: KNOWN_SECRET.optional(),
  attempt: ATTEMPT.optional(),
  /** Provisioning is under way: it has to be finished before a rotation begins. */
  provision: FIRST_SECRET.optional(),
});

export type Attempt = z.infer<typeof ATTEMPT>;
export type Journal = z.infer<typeof JOURNAL>;

/** @throws SidecarError ROTATION_JOURNAL_INVALID */
export function parseJournal(text: string): Journal {
  try {
    return JOURNAL.parse(JSON.parse(text));
  } catch {
    // What is wrong with it may quote the secret in it.
    throw new SidecarError('ROTATION_JOURNAL_INVALID');
  }
}

export function beginJournal(clientId: string, nowMs: number): Journal {
  return { version: 1, id: randomUUID().slice(0, 13), clientId, since: nowMs };
}

/** What the secrets of a journal have in common at IAM. */
export function descriptionPrefix({ id }: Pick<Journal, 'id'>): string {
  return `aritma-sidecar ${id} `;
}
