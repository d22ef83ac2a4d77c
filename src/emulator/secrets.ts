// Client secrets as the server stores them: a digest, never the value. Hides how they are compared and when they
// expire.
import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';

export interface NewSecret {
  value: string;
  description: string;
  /** ISO 8601; omitted = never expires. */
  expiration?: string;
}

export interface StoredSecret {
  readonly clientSecretId: string;
  readonly description: string;
  /** SHA-256 of the value, base64. */
  readonly digest: string;
  /** ISO 8601 in UTC; null = never expires. */
  readonly expiration: string | null;
  /** ISO 8601 in UTC. */
  readonly created: string;
}

/**
 * Returns the stored form of a secret created at `now` (epoch ms).
 * @throws TypeError if the expiration is not a date.
 */
export function storeSecret(secret: NewSecret, now: number, clientSecretId: string = randomUUID()): StoredSecret {
  const { value, description, expiration } = secret;
  const expiresAt = expiration === undefined ? undefined : Date.parse(expiration);
  // NaN would compare as "never expires", the opposite of what the user wanted.
  if (Number.isNaN(expiresAt)) throw new TypeError(`expiration of secret ${clientSecretId} is not an ISO 8601 date`);
  return {
    clientSecretId,
    description,
    digest: digestOf(value).toString('base64'),
    expiration: expiresAt === undefined ? null : writeTime(expiresAt),
    created: writeTime(now),
  };
}

/**
 * Returns whether any unexpired secret has this value. Expired when `now > expiration`. Source: IdentityServer
 * SecretValidator.
 */
export function acceptsValue(secrets: readonly StoredSecret[], value: string, now: number): boolean {
  const presented = digestOf(value);
  let accepted = false;
  // No early exit: the time must not show which secret matched (IdentityServer TimeConstantComparer).
  for (const { digest, expiration } of secrets) {
    const matches = timingSafeEqual(Buffer.from(digest, 'base64'), presented);
    if (matches && !(expiration !== null && now > Date.parse(expiration))) accepted = true;
  }
  return accepted;
}

const digestOf = (value: string): Buffer => createHash('sha256').update(value, 'utf8').digest();

/** Formats a time like .NET: without a zero fraction. */
function writeTime(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}
