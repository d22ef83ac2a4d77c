/**
 * Reads private keys as operators have them, PEM of any kind or JWK, and picks the fitting signature algorithm.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { parseKey } from './pem.ts';
import type { Secret } from './secret.ts';

export interface ParsedKey {
  readonly key: KeyObject;
  readonly alg: string;
  /** Key id from the JWK, if it has one. */
  readonly kid: string | undefined;
}

const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const EC_ALGORITHMS: Readonly<Record<string, string>> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' };
/** RFC 7518 §3.3. */
const MIN_RSA_BITS = 2048;

/**
 * Reads a private key from PEM (PKCS#8, PKCS#1, SEC 1) or JWK text. The returned key can sign.
 * @param wanted the signature algorithm; default: `alg` of the JWK, else the first that fits the key
 * @throws Error saying what is allowed; never quotes the text
 */
export function parsePrivateKey(text: Secret, wanted?: string): ParsedKey {
  const jwk = parseJwk(text.reveal());
  const key = jwk ? keyOfJwk(jwk) : parseKey(text.reveal()).key;
  const possible = algorithmsFor(key);
  const [fitting = ''] = possible;
  const stated = (value: unknown) => (typeof value === 'string' ? value : undefined);
  const alg = wanted ?? stated(jwk?.['alg']) ?? fitting;
  if (!possible.includes(alg))
    throw new Error(`must contain a key that fits alg; this key supports ${possible.join(', ')}`);
  return { key, alg, kid: stated(jwk?.['kid']) };
}

function keyOfJwk(jwk: Record<string, unknown>): KeyObject {
  try {
    return createPrivateKey({ key: jwk, format: 'jwk' });
  } catch {
    throw new Error('must contain a private key as PEM or JWK; this JWK is not a private key');
  }
}

function algorithmsFor({
  asymmetricKeyType,
  asymmetricKeyDetails: { namedCurve = '', modulusLength = 0 } = {},
}: KeyObject) {
  if (asymmetricKeyType === 'rsa') {
    if (modulusLength < MIN_RSA_BITS) throw new Error(`must contain an RSA key of at least ${MIN_RSA_BITS} bits`);
    return RSA_ALGORITHMS;
  }
  const alg = EC_ALGORITHMS[namedCurve];
  if (alg === undefined) throw new Error('must contain an RSA key, or an EC key on curve P-256, P-384 or P-521');
  return [alg];
}

function parseJwk(text: string): Record<string, unknown> | undefined {
  if (!text.trimStart().startsWith('{')) return undefined;
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
