/**
 * Explains why a server's certificate is not accepted, and when an accepted one expires.
 */
import type { DetailedPeerCertificate } from 'node:tls';
import type { Words } from '../core/failure.ts';
import { shown } from './finding.ts';

export interface Presented {
  /** The server's own certificate, linked to its chain. */
  readonly certificate: DetailedPeerCertificate;
  /** `id.aritma.io`. */
  readonly host: string;
  /** Whether `tls.ca` is set, so that only its CAs are trusted. */
  readonly hasOwnCa: boolean;
  /** Epoch ms. */
  readonly now: number;
}

const DAY_MS = 24 * 3_600_000;
const EXPIRES_SOON_DAYS = 14;

/**
 * Explains why the certificate is refused, and what to do.
 * @param reason OpenSSL's or Node's code, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`
 */
export function refusal(reason: string, presented: Presented): Words {
  const { certificate, host } = presented;
  if (reason === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return {
      cause: 'tls_name_mismatch',
      message: `the certificate shown for ${host} is for other names: ${names(certificate)}`,
      fix: 'use one of these names in the URL, or ask the operator of the server for a certificate with this name',
    };
  }
  if (reason === 'CERT_HAS_EXPIRED') return outOfDate(presented, 'expired');
  if (reason === 'CERT_NOT_YET_VALID') return outOfDate(presented, 'not_yet_valid');
  if (reason === 'DEPTH_ZERO_SELF_SIGNED_CERT') {
    return {
      cause: 'tls_self_signed',
      message: `the certificate of ${host} is self-signed by ${nameOf(certificate.subject)} (${reason})`,
      fix: 'if it is your own server, set tls.ca to its certificate as a PEM file; if not, another server responds there',
    };
  }
  if (UNKNOWN_CA.test(reason)) return unknownCa(reason, presented);
  return {
    cause: 'tls_not_accepted',
    message: `the certificate of ${host}, issued by ${nameOf(certificate.issuer)}, is not accepted (${shown(reason)})`,
    fix: 'tell the operator of the server the reason in brackets: it is not a server certificate, uses weak keys, or is damaged',
  };
}

const UNKNOWN_CA = /^(UNABLE_TO_|SELF_SIGNED_CERT_IN_CHAIN|CERT_UNTRUSTED)/;

/** Returns a warning when the certificate expires within 14 days. */
export function expiry({ certificate, host, now }: Presented): Words | undefined {
  const days = Math.floor((Date.parse(certificate.valid_to) - now) / DAY_MS);
  if (!(days < EXPIRES_SOON_DAYS)) return undefined;
  return {
    cause: 'tls_expires_soon',
    message: `the certificate of ${host} expires in ${days} days, on ${day(certificate.valid_to)}`,
    fix: 'ask the operator of the server whether it is being renewed: after that day every connection fails',
  };
}

/** Returns issuer and last day: `certificate by "R11" until 2027-01-31`. */
export function validity(certificate: DetailedPeerCertificate): string {
  return `certificate by ${nameOf(certificate.issuer)} until ${day(certificate.valid_to)}`;
}

function unknownCa(reason: string, { certificate, host, hasOwnCa }: Presented): Words {
  const issuer = nameOf(chainOf(certificate).at(-1)?.issuer);
  const trusted = hasOwnCa ? 'is not in tls.ca, the only CAs trusted here' : 'this machine does not trust';
  return {
    cause: 'tls_unknown_ca',
    message: `the certificate of ${host} is not trusted: its chain ends with the CA ${issuer}, which ${trusted} (${reason})`,
    fix: hasOwnCa
      ? `add the PEM certificate of ${issuer} to tls.ca, or remove tls.ca if the server has a public certificate`
      : `if ${issuer} is your company's CA (a proxy inspects TLS, or the server is internal), set NODE_EXTRA_CA_CERTS to its PEM file, or tls.ca of this credential or route; else ask the operator to send the intermediate certificates`,
  };
}

function outOfDate({ certificate, host, now }: Presented, how: 'expired' | 'not_yet_valid'): Words {
  const early = how === 'not_yet_valid';
  const isBad = (one: DetailedPeerCertificate) =>
    early ? Date.parse(one.valid_from) > now : Date.parse(one.valid_to) < now;
  const bad = chainOf(certificate).find(isBad) ?? certificate;
  const whose =
    bad === certificate ? `the certificate of ${host}` : `a CA certificate of ${host}, ${nameOf(bad.subject)},`;
  const clock = new Date(now).toISOString().slice(0, 16).replace('T', ' ');
  const message = early
    ? `${whose} is not valid before ${day(bad.valid_from)}`
    : `${whose} expired on ${day(bad.valid_to)}`;
  const fix = early
    ? `check this machine's clock first: it shows ${clock} UTC; if that is right, ask the operator of the server`
    : `ask the operator of the server to renew it; if it should be valid, check this machine's clock: it shows ${clock} UTC`;
  return { cause: `tls_${how}`, message, fix };
}

/** From the server's certificate to the last known issuer. A root is its own issuer, so the loop ends there. */
function chainOf(leaf: DetailedPeerCertificate): DetailedPeerCertificate[] {
  const chain = [leaf];
  for (let next = leaf.issuerCertificate; next && !chain.includes(next); next = next.issuerCertificate)
    chain.push(next);
  return chain;
}

type Name = DetailedPeerCertificate['subject'] | undefined;

function nameOf(name: Name): string {
  return `"${shown(name?.CN ?? name?.O ?? 'without a name')}"`;
}

function names({ subjectaltname, subject }: DetailedPeerCertificate): string {
  return shown(subjectaltname ?? subject?.CN ?? 'none').replace(/\b(DNS|IP Address):/g, '');
}

function day(text: string): string {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? shown(text) : date.toISOString().slice(0, 10);
}
