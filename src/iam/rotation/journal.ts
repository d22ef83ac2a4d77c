/**
 * The journal of a rotation: which secret of the client is ours, and how far an attempt to replace it got. Each step is
 * written before it has an effect outside, and again when the effect is known.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { SidecarError } from '../../core/errors.ts';

/**
 * `creating`: the new secret may or may not exist in IAM. `created`: it exists, but is not verified. `verified`: it
 * works, and may or may not be in the store. `promoted`: it is in the store; the old one is deleted at `retireAt`.
 * `abandoned`: it did not work and will be deleted.
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
  /** Ids of secrets that earlier attempts left over. Listed before the journal of this one: another's is never among them. */
  strays: z.array(z.string().min(1)).optional(),
  /** Ids of the secrets it replaces. */
  retire: z.array(z.string().min(1)),
  /** Of a fleet by the clock of its store, else by that of the machine that rotates; epoch ms. */
  retireAt: z.number().optional(),
});

/**
 * The client's first secret while it is created. Its value is here from before the request to IAM until it is in the
 * store.
 */
const FIRST_SECRET = z.strictObject({
  description: z.string().min(1),
  value: z.string().min(8).max(32),
  expiresAt: z.number().optional(),
  startedAt: z.number(),
});

/** What the members of a fleet add: see src/sidecar/fleet/shared-secret.ts. */
const FLEET = z.strictObject({
  /** Client and server that it is of: a file may still hold the journal of those that were configured before. */
  client: z.string(),
  /** Of the journals of one client, the one with the highest revision is the newest. From the clock of the fleet's store. */
  revision: z.number(),
  /** Where the secret is in use without the new value, as far as known. */
  places: z.array(z.strictObject({ place: z.string(), host: z.string(), seenAt: z.number() })),
  /** Value of the current secret, while a member may have it only in memory. */
  kept: z.string().min(8).max(32).optional(),
});

const JOURNAL = z.strictObject({
  version: z.literal(1),
  /** Id of this journal: tells its secrets in IAM from those of others. */
  id: z.string().min(8),
  clientId: z.string().min(1),
  /** When this journal was begun, epoch ms. */
  since: z.number(),
  rotatedAt: z.number().optional(),
  /** The stored secret, with its data in IAM. */
  current: KNOWN_SECRET.optional(),
  attempt: ATTEMPT.optional(),
  /** Provisioning is under way and must finish before a rotation begins. */
  provision: FIRST_SECRET.optional(),
  fleet: FLEET.optional(),
});

export type Attempt = z.infer<typeof ATTEMPT>;
export type Journal = z.infer<typeof JOURNAL>;

/** Parses a journal. @throws SidecarError ROTATION_JOURNAL_INVALID */
export function parseJournal(text: string): Journal {
  try {
    return JOURNAL.parse(JSON.parse(text));
  } catch {
    // No details: they may quote the secret in it.
    throw new SidecarError('ROTATION_JOURNAL_INVALID');
  }
}

/** Creates an empty journal with a new id. */
export function beginJournal(clientId: string, nowMs: number): Journal {
  return { version: 1, id: randomUUID().slice(0, 13), clientId, since: nowMs };
}

/** Returns how the descriptions of this journal's secrets begin in IAM. */
export function descriptionPrefix({ id }: Pick<Journal, 'id'>): string {
  return `aritma-sidecar ${id} `;
}
