/**
 * The ways a client proves who it is at the token endpoint (RFC 6749 §2.3, RFC 7523 §2.2), as functions of one type that
 * know nothing of each other. Each changes only the form or only the headers: never two methods in one request.
 */
import { randomUUID } from 'node:crypto';
import type { CredentialConfig } from '../config/schema.ts';
import { parsePrivateKey } from '../core/private-key.ts';
import type { Secret } from '../core/secret.ts';

export interface AuthRequest {
  readonly form: URLSearchParams;
  readonly headers: Record<string, string>;
  /** Who an assertion is for. */
  readonly audience: string;
}

/** Adds the proof to an outgoing token request. */
export type ClientAuth = (request: AuthRequest) => void | Promise<void>;

export interface ClientIdentity {
  readonly clientId: string;
  /** A client secret, or for private_key_jwt the private key as PEM or JWK. */
  readonly secret: Secret;
  /** For private_key_jwt; by default what the key itself states. */
  readonly kid?: string | undefined;
  /** For private_key_jwt; by default what fits the key. */
  readonly alg?: string | undefined;
}

/** Long enough for a slow way there and clocks that differ a little; an assertion is used once. */
const ASSERTION_LIFETIME_S = 60;
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

export const CLIENT_AUTH = {
  client_secret_post({ clientId, secret }: ClientIdentity): ClientAuth {
    return ({ form }) => {
      form.set('client_id', clientId);
      form.set('client_secret', secret.reveal());
    };
  },
  /** Both parts are form-encoded before base64 (RFC 6749 App. B), so `:` and `%` in them survive. */
  client_secret_basic({ clientId, secret }: ClientIdentity): ClientAuth {
    return ({ headers }) => {
      const pair = `${formEncode(clientId)}:${formEncode(secret.reveal())}`;
      headers['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`;
    };
  },
  /** A fresh assertion for every request: `jti` may be used once (RFC 7523 §3). */
  private_key_jwt({ clientId, secret, kid, alg }: ClientIdentity): ClientAuth {
    const parsed = parsePrivateKey(secret, alg);
    const keyId = kid ?? parsed.kid;
    const header = { alg: parsed.alg, ...(keyId !== undefined && { kid: keyId }) };
    return async ({ form, audience }) => {
      // Few need it, and it costs everybody's start.
      const { SignJWT } = await import('jose/jwt/sign');
      const issuedAt = Math.floor(Date.now() / 1000);
      const assertion = await new SignJWT({ jti: randomUUID() })
        .setProtectedHeader(header)
        .setIssuer(clientId)
        .setSubject(clientId)
        .setAudience(audience)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + ASSERTION_LIFETIME_S)
        .sign(parsed.key);
      form.set('client_id', clientId);
      form.set('client_assertion_type', ASSERTION_TYPE);
      form.set('client_assertion', assertion);
    };
  },
} as const;

function formEncode(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1);
}

/** Who an assertion is for: as configured, else the issuer if known, else the token endpoint. */
export function assertionAudience({ assertionAudience: stated, issuer, tokenEndpoint }: CredentialConfig): string {
  return stated ?? (issuer ?? tokenEndpoint)?.text ?? '';
}
