/**
 * Client authentication at the token endpoint (RFC 6749 §2.3, RFC 7523 §2.2), one function per method. Each one changes
 * either the form or the headers, because a request must not use two methods.
 */
import { randomUUID } from 'node:crypto';
import type { CredentialConfig } from '../config/schema.ts';
import { parsePrivateKey } from '../core/private-key.ts';
import { Secret } from '../core/secret.ts';
import type { Refusal } from './token-errors.ts';

export interface AuthRequest {
  readonly form: URLSearchParams;
  readonly headers: Record<string, string>;
  /** The `aud` claim of an assertion. */
  readonly audience: string;
}

/**
 * Authenticates an outgoing token request: adds fields to its form or its headers. Returns a failure when it cannot: the
 * request is not sent.
 */
export type ClientAuth = (request: AuthRequest) => undefined | Promise<Refusal | undefined>;

export interface ClientIdentity {
  readonly clientId: string;
  /** A client secret, or for private_key_jwt the private key as PEM or JWK. */
  readonly secret: Secret;
  /** For private_key_jwt; default: the `kid` in the key. */
  readonly kid?: string | undefined;
  /** For private_key_jwt; default: the algorithm that fits the key. */
  readonly alg?: string | undefined;
}

/** Covers a slow network and a small difference between clocks; each assertion is used once. */
const ASSERTION_LIFETIME_S = 60;
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/**
 * Creates the `ClientAuth` of a configured method.
 * @example
 * await CLIENT_AUTH.client_secret_post({ clientId: 'erp', secret })({ form, headers, audience });
 */
export const CLIENT_AUTH = {
  client_secret_post({ clientId, secret }: ClientIdentity): ClientAuth {
    return ({ form }) => {
      form.set('client_id', clientId);
      form.set('client_secret', secret.reveal());
      return undefined;
    };
  },
  /** Form-encodes both parts before base64 (RFC 6749 App. B): they may contain `:` and `%`. */
  client_secret_basic({ clientId, secret }: ClientIdentity): ClientAuth {
    return ({ headers }) => {
      const pair = `${formEncode(clientId)}:${formEncode(secret.reveal())}`;
      headers['authorization'] = `Basic ${Buffer.from(pair).toString('base64')}`;
      return undefined;
    };
  },
  /** Signs a new assertion for every request: a `jti` may be used only once (RFC 7523 §3). */
  private_key_jwt({ clientId, secret, kid, alg }: ClientIdentity): ClientAuth {
    const parsed = parsePrivateKey(secret, alg);
    const keyId = kid ?? parsed.kid;
    const header = { alg: parsed.alg, ...(keyId !== undefined && { kid: keyId }) };
    return async ({ form, audience }) => {
      // Loaded on first use: most set-ups do not need it, and it slows the start.
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
      setAssertion(form, clientId, new Secret(assertion));
      return undefined;
    };
  },
} as const;

/** Authenticates with an assertion: RFC 7523 §2.2. */
export function setAssertion(form: URLSearchParams, clientId: string, assertion: Secret): void {
  form.set('client_id', clientId);
  form.set('client_assertion_type', ASSERTION_TYPE);
  form.set('client_assertion', assertion.reveal());
}

function formEncode(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1);
}

/** Returns the `aud` claim of assertions: the configured one, else the issuer, else the token endpoint (RFC 7523 §3). */
export function assertionAudience({ assertionAudience: stated, issuer, tokenEndpoint }: CredentialConfig): string {
  return stated ?? (issuer ?? tokenEndpoint)?.text ?? '';
}
