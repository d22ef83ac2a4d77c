/**
 * Explains why a server certificate is not accepted, from the error code alone. `check` also inspects the certificate.
 */
import type { Words } from '../core/failure.ts';

export interface ErrorRow<P = { readonly target: string }> {
  readonly codes: RegExp;
  readonly words: (place: P, code: string) => Words;
}

function certificate(codes: RegExp, cause: string, what: string, fix: string): ErrorRow {
  return {
    codes,
    words: ({ target }, code) => ({ cause, message: `the certificate of ${target} ${what} (${code})`, fix }),
  };
}

export const CERTIFICATES: readonly ErrorRow[] = [
  certificate(
    /^CERT_HAS_EXPIRED$/,
    'tls_expired',
    'has expired',
    'ask the operator of the server to renew it; if it should be valid, check the clock of this machine',
  ),
  certificate(
    /^CERT_NOT_YET_VALID$/,
    'tls_not_yet_valid',
    'is not valid yet',
    'check the clock of this machine first; if it is right, ask the operator of the server',
  ),
  certificate(
    /ALTNAME_INVALID|HOSTNAME_MISMATCH/,
    'tls_name_mismatch',
    'is for other names',
    'use one of its names in the URL, or ask the operator of the server for a certificate with this name',
  ),
  certificate(
    /^DEPTH_ZERO_SELF_SIGNED_CERT$/,
    'tls_self_signed',
    'is self-signed',
    'if it is your own server, set tls.ca to its certificate as a PEM file; if not, another server responds there',
  ),
  certificate(
    /^(UNABLE_TO_|SELF_SIGNED_CERT_IN_CHAIN|CERT_UNTRUSTED)/,
    'tls_unknown_ca',
    'is not trusted: this machine does not know the CA that issued it',
    'if it is the CA of your company (a proxy inspects TLS, or the server is internal), set NODE_EXTRA_CA_CERTS to its PEM file, or tls.ca of this credential or route; else ask the operator to send the intermediate certificates',
  ),
  certificate(
    /^(CERT_|ERR_TLS_CERT|INVALID_|CA_)/,
    'tls_not_accepted',
    'is not accepted',
    'tell the operator of the server the reason in brackets: it is not a server certificate, uses weak keys, or is damaged',
  ),
];
