// The access tokens of an emulator. Hides the JWT format, the cache that makes verification cheap, and revocation. A
// token of an earlier run is valid only if its key was kept.
import { randomBytes } from 'node:crypto';
import { type CryptoKey, compactVerify, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { createSigningKey, type KeptKey, type PublishedKey } from './signing-key.ts';

/** API scope → API resource, the `aud` of its tokens. This identity server knows no other scopes. */
export const API_RESOURCES: ReadonlyMap<string, string> = new Map([
  ['api', 'aritma.api'],
  ['services.banking', 'aritma.banking'],
  ['services.iam', 'aritma.iam'],
]);

export interface TokenOrder {
  issuer: string;
  clientId: string;
  scopes: readonly string[];
  lifetimeS: number;
}

export type TokenVerdict =
  | { state: 'valid'; clientId: string; scopes: readonly string[] }
  | { state: 'expired'; expiredAt: Date }
  | { state: 'revoked' }
  | { state: 'unknown' };

/** What the next run needs to accept the tokens of this one. */
export interface KeptSigning extends KeptKey {
  readonly batch: string;
}

export interface TokensOptions {
  /** Epoch ms. */
  now: () => number;
  /** From an earlier run. */
  kept?: KeptSigning | undefined;
  /** Called after each change of what `kept()` returns. */
  onChange?: () => void;
}

export interface Tokens {
  readonly publishedKey: PublishedKey;
  /** Signs a new token; never returns one twice. */
  issue(order: TokenOrder): Promise<string>;
  /** Verifies a token at this moment, without tolerance for clock skew. */
  verify(token: string): Promise<TokenVerdict>;
  /** From now on, refuses every token issued so far. */
  revokeAll(): void;
  kept(): KeptSigning;
}

interface Claims {
  exp: number;
  jti: string;
  client_id: string;
  scope: readonly string[];
}

const CACHED_TOKENS = 10_000;
const BATCH_LENGTH = 8;

const createId = (bytes: number): string => randomBytes(bytes).toString('hex').toUpperCase();

/**
 * Creates or takes over the signing key. Rejects if `kept` holds no usable key.
 * Token format: IdentityServer DefaultTokenCreationService; RFC 9068 `typ`.
 */
export async function createTokens({ now, kept, onChange = () => undefined }: TokensOptions): Promise<Tokens> {
  const signing = await createSigningKey(kept);
  const { publicKey, privateKey, published } = signing;
  const seen = new LRUCache<string, Claims>({ max: CACHED_TOKENS });
  // A jti begins with the batch it was issued in, so revoking needs no list of what was issued.
  let batch = kept?.batch ?? createId(BATCH_LENGTH / 2);

  async function readClaims(token: string): Promise<Claims | undefined> {
    const cached = seen.get(token);
    if (cached) return cached;
    const claims = await checkSignature(token, publicKey);
    if (claims) seen.set(token, claims);
    return claims;
  }

  return {
    publishedKey: published,
    issue: (order) => sign(order, { privateKey, kid: published.kid, batch, issuedAtMs: now() }),
    async verify(token) {
      const claims = await readClaims(token);
      if (!claims) return { state: 'unknown' };
      // Check these two each time: they change, the signature does not.
      if (now() >= claims.exp * 1000) return { state: 'expired', expiredAt: new Date(claims.exp * 1000) };
      if (!claims.jti.startsWith(batch)) return { state: 'revoked' };
      return { state: 'valid', clientId: claims.client_id, scopes: claims.scope };
    },
    revokeAll() {
      batch = createId(BATCH_LENGTH / 2);
      onChange();
    },
    kept: () => ({ ...signing.kept, batch }),
  };
}

interface Stamp {
  privateKey: CryptoKey;
  kid: string;
  batch: string;
  issuedAtMs: number;
}

function sign(order: TokenOrder, stamp: Stamp): Promise<string> {
  const issuedAt = Math.floor(stamp.issuedAtMs / 1000);
  const audiences = order.scopes.flatMap((scope) => API_RESOURCES.get(scope) ?? []);
  const [onlyAudience = ''] = audiences;
  const claims = {
    iss: order.issuer,
    nbf: issuedAt,
    iat: issuedAt,
    exp: issuedAt + order.lifetimeS,
    // One audience is a string, several are an array, as in IdentityServer: a reader must handle both.
    aud: audiences.length === 1 ? onlyAudience : audiences,
    scope: order.scopes,
    client_id: order.clientId,
    jti: stamp.batch + createId(16 - BATCH_LENGTH / 2),
  };
  return new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: stamp.kid, typ: 'at+jwt' }).sign(stamp.privateKey);
}

async function checkSignature(token: string, publicKey: CryptoKey): Promise<Claims | undefined> {
  // Every failure means the same for a caller: not a token of ours.
  const verified = await compactVerify(token, publicKey, { algorithms: ['RS256'] }).catch(() => undefined);
  if (verified?.protectedHeader.typ !== 'at+jwt') return undefined;
  return JSON.parse(new TextDecoder().decode(verified.payload)) as Claims;
}
