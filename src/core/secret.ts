/**
 * A value that must never be printed. Every conversion of the object to text gives `[secret]`: in a log field, an error
 * message, JSON or `console.log`. Only `reveal()` returns the value. Also generates new secrets.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { inspect } from 'node:util';
import { maskValue } from './masking.ts';

const MASK = '[secret]';

/**
 * @example
 * const secret = new Secret('hunter2-hunter2');
 * `${secret}`; // '[secret]'
 * secret.fingerprint(); // eight hex digits, safe to show
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** Returns the value. Call it only where the bytes go onto the wire; a test lists the places. */
  reveal(): string {
    return this.#value;
  }

  /**
   * Returns eight hex digits of a SHA-256: enough to tell two secrets apart on `/status`, not enough to find the value.
   * Aritma client secrets may have only 8 characters, so no more of the digest is shown.
   */
  fingerprint(): string {
    return createHash('sha256').update('aritma-sidecar:').update(this.#value).digest('hex').slice(0, 8);
  }

  /** SHA-256 of the whole value, for comparison in constant time. Never shown. */
  digest(): Buffer {
    return createHash('sha256').update(this.#value).digest();
  }

  /** Whether both are the same value, in constant time. */
  equals(other: Secret): boolean {
    return timingSafeEqual(this.digest(), other.digest());
  }

  /** Whether the value has this form; says nothing else about it. */
  matches(form: RegExp): boolean {
    return form.test(this.#value);
  }

  /** Returns the text without the value, also where it is encoded or cut off by `…`. */
  maskIn(text: string): string {
    return maskValue(text, this.#value);
  }

  /** In characters. */
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

/** Returns 32 characters (192 random bits) that are safe in forms, headers and shells. Source: seed "OIDC Clients". */
export function randomSecret(): Secret {
  return new Secret(randomBytes(24).toString('base64url'));
}
