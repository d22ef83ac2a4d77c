/**
 * Seals what goes into the store: JWE with `dir` and A256GCM (RFC 7516, RFC 7518 §4.5 and §5.3). The protected header holds
 * the entry's name and generation, so that a value that was moved, or put back later, is refused. Names are HMACs: the store
 * shows neither client ids nor scopes.
 */
import { createHmac } from 'node:crypto';
import type { JOSEError } from 'jose/errors';
import { compactDecrypt } from 'jose/jwe/compact/decrypt';
import { CompactEncrypt } from 'jose/jwe/compact/encrypt';
import type { Secret } from '../core/secret.ts';

/** Why a value is refused: a label in metrics. */
export type Refusal = 'format' | 'key' | 'name' | 'generation' | 'content';

export interface Place {
  /** From `name`. */
  readonly name: string;
  readonly generation: string;
}

export interface Sealer {
  /** Eight hex digits that tell the first key from others; safe to show. */
  readonly keyId: string;
  /** Returns the name of an entry, by the first key. @param parts what the entry is about */
  name(parts: readonly (string | undefined)[]): string;
  /** Returns the names that the entry has for members whose first key is one of the others. */
  olderNames(parts: readonly (string | undefined)[]): string[];
  seal(place: Place, content: object): Promise<string>;
  /** @returns what was sealed, an object of any form, or why the value cannot be used */
  open(place: Place, sealed: string): Promise<{ readonly content: Readonly<Record<string, unknown>> } | Refusal>;
}

interface Key {
  readonly id: string;
  readonly bytes: Uint8Array;
}

/**
 * Creates the sealer of a fleet. @param keys from `fleet key`, not empty: the first one seals, all open
 * @example
 * const sealer = createSealer(keys);
 * const sealed = await sealer.seal({ name: sealer.name(['token', 'erp']), generation: '7' }, { token: 'x' });
 */
export function createSealer(keys: readonly Secret[]): Sealer {
  const own = keys.map(keyOf);
  const [first] = own as [Key, ...Key[]];
  const older = own.filter(({ id }) => id !== first.id);
  return {
    keyId: first.id,
    name: (parts) => nameBy(first, parts),
    olderNames: (parts) => older.map((key) => nameBy(key, parts)),
    seal: ({ name, generation }, content) =>
      new CompactEncrypt(Buffer.from(JSON.stringify(content)))
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: first.id, entry: name, generation })
        .encrypt(first.bytes),
    async open(place, sealed) {
      try {
        const byId = ({ kid }: { kid?: string }) => own.find(({ id }) => id === kid)?.bytes ?? Promise.reject(NO_KEY);
        const { plaintext, protectedHeader } = await compactDecrypt(sealed, byId, {
          keyManagementAlgorithms: ['dir'],
          contentEncryptionAlgorithms: ['A256GCM'],
        });
        if (protectedHeader['entry'] !== place.name) return 'name';
        if (protectedHeader['generation'] !== place.generation) return 'generation';
        const content: unknown = JSON.parse(Buffer.from(plaintext).toString('utf8'));
        return isObject(content) ? { content } : 'content';
      } catch (error) {
        return refusalOf(error);
      }
    },
  };
}

const NO_KEY = new Error('sealed with an unknown key');

function keyOf(secret: Secret): Key {
  const bytes = Buffer.from(secret.reveal(), 'base64url');
  return { bytes, id: hmac(bytes, 'id').slice(0, 8) };
}

function nameBy(key: Key, parts: readonly (string | undefined)[]): string {
  return hmac(key.bytes, `name ${JSON.stringify(parts.map((part) => part ?? null))}`).slice(0, 32);
}

function hmac(key: Uint8Array, text: string): string {
  return createHmac('sha256', key).update(`aritma-sidecar fleet ${text}`).digest('hex');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refusalOf(error: unknown): Refusal {
  if (error === NO_KEY || (error as JOSEError).code === 'ERR_JWE_DECRYPTION_FAILED') return 'key';
  return error instanceof SyntaxError ? 'content' : 'format';
}
