// The RSA key behind the tokens: made new, or taken over from an earlier run. Hides the forms it has to sign, to be
// published and to be kept.
import { randomBytes } from 'node:crypto';
import { type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';

/** Public half of the key, as IdentityServer's JwksDocument publishes it. */
export interface PublishedKey {
  kty: string;
  use: 'sig';
  kid: string;
  e: string;
  n: string;
  alg: 'RS256';
}

/** Private, as JWK (RFC 7518 §6.3.2). */
export interface KeptKey {
  readonly kid: string;
  readonly key: Readonly<Record<string, string>>;
}

export interface SigningKey {
  readonly publicKey: CryptoKey;
  readonly privateKey: CryptoKey;
  readonly published: PublishedKey;
  readonly kept: KeptKey;
}

const ALGORITHM = 'RS256';

/** Makes a key, or the objects around a kept one. Rejects if that is none. */
export async function createSigningKey(kept?: KeptKey): Promise<SigningKey> {
  const { kid, key } = kept ?? (await generate());
  const { kty = '', e = '', n = '' } = key;
  return {
    privateKey: await importKey({ ...key }, 'private'),
    publicKey: await importKey({ kty, e, n }, 'public'),
    published: { kty, use: 'sig', kid, e, n, alg: ALGORITHM },
    kept: { kid, key },
  };
}

async function generate(): Promise<KeptKey> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { modulusLength: 2048, extractable: true });
  const members = Object.entries(await exportJWK(privateKey));
  return {
    kid: randomBytes(16).toString('hex').toUpperCase(),
    key: Object.fromEntries(members.map(([name, value]) => [name, String(value)])),
  };
}

async function importKey(jwk: JWK, type: 'private' | 'public'): Promise<CryptoKey> {
  const key = await importJWK(jwk, ALGORITHM);
  // Without its private members a key is imported as the public half, and would fail only when it has to sign.
  if (key instanceof Uint8Array || key.type !== type) throw new TypeError(`not a ${type} RSA key`);
  return key;
}
