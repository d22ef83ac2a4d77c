/**
 * Private keys as operators have them, PEM of any kind or JWK, with the signature algorithm that fits.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import type { Secret } from './secret.ts';

export interface ParsedKey {
  readonly key: KeyObject;
  readonly alg: string;
  /** As a JWK states it. */
  readonly kid: string | undefined;
}

const EC_ALGORITHMS: Readonly<Record<string, string>> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' };

/**
 * Reads a private key from PEM (PKCS#8, PKCS#1, SEC 1) or JWK text.
 * @throws Error saying what is allowed; never quotes the text
 */
export function parsePrivateKey(text: Secret): ParsedKey {
  const jwk = parseJwk(text.reveal());
  let key: KeyObject;
  try {
    key = jwk ? createPrivateKey({ key: jwk, format: 'jwk' }) : createPrivateKey(text.reveal());
  } catch {
    throw new Error('must hold an unencrypted private key as PEM or JWK');
  }
  const curve = key.asymmetricKeyDetails?.namedCurve ?? '';
  const alg = key.asymmetricKeyType === 'rsa' ? 'RS256' : EC_ALGORITHMS[curve];
  if (alg === undefined) throw new Error('must hold an RSA key or one on curve P-256, P-384 or P-521');
  const stated = (value: unknown) => (typeof value === 'string' ? value : undefined);
  return { key, alg: stated(jwk?.['alg']) ?? alg, kid: stated(jwk?.['kid']) };
}

function parseJwk(text: string): Record<string, unknown> | undefined {
  if (!text.trimStart().startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
