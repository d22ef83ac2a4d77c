/**
 * Why a server's certificate is not accepted, from the code alone: who looks at the certificate itself has more to say.
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
    `have it renewed at the server; if it should be valid, check this machine’s clock`,
  ),
  certificate(
    /^CERT_NOT_YET_VALID$/,
    'tls_not_yet_valid',
    'is not valid yet',
    `check this machine’s clock first; if that is right, ask the server’s operator`,
  ),
  certificate(
    /ALTNAME_INVALID|HOSTNAME_MISMATCH/,
    'tls_name_mismatch',
    'is for other names',
    'use one of its names in the URL, or have a certificate for this name installed at the server',
  ),
  certificate(
    /^DEPTH_ZERO_SELF_SIGNED_CERT$/,
    'tls_self_signed',
    'is self-signed',
    'if it is a server of your own, put its certificate as a PEM file into tls.ca; if not, something else responds there',
  ),
  certificate(
    /^(UNABLE_TO_|SELF_SIGNED_CERT_IN_CHAIN|CERT_UNTRUSTED)/,
    'tls_unknown_ca',
    'is not trusted: this machine does not know the CA that issued it',
    'if it is your company’s CA (its proxy inspects TLS, or the server is internal), set NODE_EXTRA_CA_CERTS to its PEM file, or tls.ca of this credential or route; else have the server send its intermediate certificates',
  ),
  certificate(
    /^(CERT_|ERR_TLS_CERT|INVALID_|CA_)/,
    'tls_not_accepted',
    'is not accepted',
    'give the reason in brackets to the server’s operator: the certificate is not one for a server, uses weak keys, or is damaged',
  ),
];
