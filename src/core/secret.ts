/**
 * A value that must never be printed: every way JavaScript turns an object into text gives `[secret]`, so a secret in
 * a log field, an error message, JSON or `console.log` shows nothing. `reveal()` is the only way out. And new ones.
 */
import { createHash, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';

const MASK = '[secret]';

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself. Call it where the bytes go onto the wire, nowhere else. */
  reveal(): string {
    return this.#value;
  }

  /**
   * Eight hex digits of a SHA-256: enough to tell two secrets apart on `/status`, useless for finding the value
   * (Aritma client secrets may be as short as 8 characters, so no more of the digest is shown).
   */
  fingerprint(): string {
    return createHash('sha256').update('aritma-sidecar:').update(this.#value).digest('hex').slice(0, 8);
  }

  /** SHA-256 of the whole value, to compare with what somebody presents in constant time. Never shown. */
  digest(): Buffer {
    return createHash('sha256').update(this.#value).digest();
  }

  /** Characters. */
  get length(): number {
    return this.#value.length;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}

/** 32 characters that no form, header or shell changes: 190 bits. Source: seed "OIDC Clients", 8 to 32 characters. */
export function randomSecret(): Secret {
  return new Secret(randomBytes(24).toString('base64url'));
}
