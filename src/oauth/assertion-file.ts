/**
 * Reads a client assertion that something else renews: the projected token of a Kubernetes pod, the JWT-SVID of a SPIFFE
 * helper. No message repeats any part of it but its times.
 */
import { decodeJwt } from 'jose/jwt/decode';
import { readRegularFileAsync } from '../config/regular-file.ts';
import { Secret } from '../core/secret.ts';
import type { Refusal } from './token-errors.ts';

export interface Assertion {
  readonly jwt: Secret;
  /** Epoch ms; undefined: it names no expiry, which servers refuse (RFC 7523 §3). */
  readonly expiresAt: number | undefined;
  readonly issuer: string | undefined;
  readonly subject: string | undefined;
  readonly audience: readonly string[];
}

export type AssertionRead = { readonly assertion: Assertion } | { readonly failed: Refusal };

/** Far more than any token has. */
const MAX_BYTES = 64 * 1024;
const JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/**
 * Reads the file as it is now, without blocking. A JWT that has expired is a failure: the server would refuse it, and might
 * count that as an attack. Never rejects.
 * @param nowMs epoch ms
 */
export async function readAssertion(path: string, nowMs: number): Promise<AssertionRead> {
  let text: string;
  try {
    text = (await readRegularFileAsync(path, MAX_BYTES))
      .toString('utf8')
      .replace(/^\uFEFF/, '')
      .trim();
  } catch (error) {
    return failed('assertion_unreadable', `the file of assertion.file ${(error as Error).message}`, RENEWER);
  }
  if (text === '') return failed('assertion_empty', 'the file of assertion.file is empty', RENEWER);
  const assertion = parse(text);
  if (!assertion)
    return failed('assertion_not_jwt', 'the file of assertion.file does not hold a signed JWT', `${ONLY}; ${RENEWER}`);
  const { expiresAt = Number.POSITIVE_INFINITY } = assertion;
  if (expiresAt > nowMs) return { assertion };
  const since = `${new Date(expiresAt).toISOString()}, ${Math.round((nowMs - expiresAt) / 1000)} s ago`;
  return failed(
    'assertion_expired',
    `the JWT in the file of assertion.file expired at ${since}`,
    `${RENEWER}, and the clock`,
  );
}

const ONLY = 'the file must hold one JWT (header.payload.signature) and nothing else';
const RENEWER = 'check what writes and renews that file';

function failed(result: string, message: string, fix: string): AssertionRead {
  const failure = { cause: `token_${result}`, message: `${message} (${result})`, fix };
  return { failed: { kind: 'unavailable', result, failure } };
}

/** The last moment that a `Date` can be. */
const LAST_MS = 8.64e15;

function isText(claim: unknown): claim is string {
  return typeof claim === 'string';
}

function textOf(claim: unknown): string | undefined {
  return isText(claim) ? claim : undefined;
}

function parse(text: string): Assertion | undefined {
  if (!JWS.test(text)) return undefined;
  try {
    // Only decoded: every claim may be of any type.
    const { exp, iss, sub, aud }: Record<string, unknown> = decodeJwt(text);
    if (exp !== undefined && typeof exp !== 'number') return undefined;
    const expiresAt = exp === undefined ? undefined : Math.max(-LAST_MS, Math.min(exp * 1000, LAST_MS));
    const audience = [aud].flat().filter(isText);
    return { jwt: new Secret(text), expiresAt, issuer: textOf(iss), subject: textOf(sub), audience };
  } catch {
    return undefined;
  }
}
