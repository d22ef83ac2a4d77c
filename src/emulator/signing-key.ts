// The RSA key of the tokens: new, or from an earlier run. Hides its forms for signing, publishing and keeping.
import { randomBytes } from 'node:crypto';
import { type CryptoKey, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';

/** The public key, as IdentityServer's JwksDocument publishes it. */
export interface PublishedKey {
  kty: string;
  use: 'sig';
  kid: string;
  e: string;
  n: string;
  alg: 'RS256';
}

/** The private key, as JWK (RFC 7518 §6.3.2). */
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

/** Creates a key, or imports a kept one. Rejects if that is not a private RSA key. */
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
  // A JWK without private members imports as a public key, and would fail only when it signs.
  if (key instanceof Uint8Array || key.type !== type) throw new TypeError(`not a ${type} RSA key`);
  return key;
}
