/**
 * Checks the files and programs that a configuration names: who can read a secret, who owns it, how long a program takes, and
 * whether certificates are good.
 */
import type { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { accessDoubts } from '../config/file-access.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { Words } from '../core/failure.ts';
import { parseCertificates } from '../core/pem.ts';
import { FINDING, type Finding, shown } from './finding.ts';

interface SecretPlace {
  readonly subject: string;
  readonly file?: string | undefined;
  readonly exec?: readonly string[] | undefined;
}

const DAY_MS = 24 * 3_600_000;
const EXPIRES_SOON_DAYS = 30;

/** Half of the time that a program has: a busy machine then needs too long. */
const SLOW_PROGRAM_MS = 5000;

/** Returns findings for programs that print secrets, and for files with a problem. */
export function fileFindings({ config, tls, programMs, cluster }: LoadedConfig): Finding[] {
  const secrets = secretPlaces(config, cluster !== undefined).flatMap(({ subject, file, exec }) => {
    if (exec) return programFindings(subject, programMs(exec) ?? 0);
    // Only the file of an assertion may be missing: something else may write it later.
    const isThere = file !== undefined && existsSync(resolve(file));
    const doubts = isThere ? accessDoubts(resolve(file), process.platform !== 'win32') : [];
    return doubts.map(({ message, ...words }) =>
      FINDING.warning(subject, 'CONFIG_INVALID', { ...words, message: `the secret file ${message}` }),
    );
  });
  const certificates = [...tls].flatMap(([owner, { cert, ca }]) => [
    ...certificateFindings(`certificate of ${owner}`, cert, owner === 'callers' ? 'server' : 'client'),
    ...certificateFindings(`CA of ${owner}`, ca, 'ca'),
  ]);
  return [...secrets, ...certificates];
}

function programFindings(subject: string, ms: number): Finding[] {
  const message = `its program printed it within ${Math.max(0.1, ms / 1000).toFixed(1)} s`;
  if (ms < SLOW_PROGRAM_MS) return [FINDING.ok(subject, message)];
  const words = {
    cause: 'program_slow',
    message: `${message}; after 10 s it is killed, and callers wait for it when the secret has changed`,
    fix: 'let it ask a nearer server, or let another program write the secret to a file',
  };
  return [FINDING.warning(subject, 'CONFIG_INVALID', words)];
}

function secretPlaces({ credentials, routes, callers, fleet }: Config, isPod: boolean): SecretPlace[] {
  const found: SecretPlace[] = [];
  for (const [name, { secrets, assertion, tls }] of Object.entries(credentials)) {
    // In a pod the mode of a projected token must admit any user.
    found.push({ subject: `assertion ${name}`, file: isPod ? undefined : assertion?.file });
    secrets.forEach((source, index) => void found.push({ subject: `secret ${name} ${index + 1}`, ...source }));
    found.push({ subject: `key of credential ${name}`, file: tls?.key });
  }
  for (const { path, tls } of routes) found.push({ subject: `key of route ${path}`, file: tls?.key });
  for (const [name, { secrets }] of Object.entries(callers.keys)) {
    secrets.forEach((source, index) => void found.push({ subject: `caller key ${name} ${index + 1}`, ...source }));
  }
  found.push({ subject: 'key of callers', file: callers.tls?.key });
  found.push({ subject: 'password of the fleet store', ...fleet?.password });
  fleet?.keys.forEach((source, index) => void found.push({ subject: `fleet key ${index + 1}`, ...source }));
  found.push({ subject: 'TLS key of the fleet', file: fleet?.tls?.key });
  return found;
}

type Use = 'server' | 'client' | 'ca';

/** Checks every certificate of a chain or bundle. */
function certificateFindings(subject: string, pem: Buffer | undefined, use: Use): Finding[] {
  const list = pem === undefined ? [] : parseCertificates(pem, 'chain').list;
  return list.flatMap((certificate, index) => {
    const label = `"${shown(/^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? certificate.subject)}"`;
    const isLeaf = use !== 'ca' && index === 0;
    return [
      ...dateFindings(subject, label, certificate),
      ...weaknesses(certificate, isLeaf ? use : 'ca').map(({ message, ...words }) =>
        FINDING.warning(subject, 'CONFIG_INVALID', { ...words, message: `${label} ${message}` }),
      ),
    ];
  });
}

function dateFindings(subject: string, label: string, { validFrom, validTo }: X509Certificate): Finding[] {
  const now = Date.now();
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
  const days = Math.floor((to - now) / DAY_MS);
  const fix = 'replace it with a renewed one; a running sidecar loads it by itself';
  if (to < now) {
    const message = `${label} expired on ${iso(to)}: TLS connections that need it fail`;
    return [FINDING.error(subject, 'CONFIG_INVALID', { cause: 'certificate_expired', message, fix })];
  }
  if (from > now) {
    const message = `${label} is not valid before ${iso(from)}; this machine's clock shows ${iso(now)}`;
    const clock = 'check this machine’s clock, or wait';
    return [FINDING.error(subject, 'CONFIG_INVALID', { cause: 'certificate_not_yet_valid', message, fix: clock })];
  }
  if (days >= EXPIRES_SOON_DAYS) return [];
  const message = `${label} expires in ${days} days, on ${iso(to)}`;
  return [FINDING.warning(subject, 'CONFIG_INVALID', { cause: 'certificate_expires_soon', message, fix })];
}

/** Extended key usages (RFC 5280 §4.2.1.12); `any` allows every use. */
const PURPOSES = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2', any: '2.5.29.37.0' } as const;
const MIN_RSA_BITS = 2048;

/** Returns why a certificate may be refused although its dates are valid. */
function weaknesses(certificate: X509Certificate, use: Use): Words[] {
  const { signatureAlgorithm = '', publicKey, keyUsage, subject, issuer, ca } = certificate;
  const bits = publicKey.asymmetricKeyDetails?.modulusLength;
  const isSelfIssued = subject === issuer;
  const found: Words[] = [];
  const add = (cause: string, message: string, fix: string) => found.push({ cause, message, fix });
  if (bits !== undefined && publicKey.asymmetricKeyType === 'rsa' && bits < MIN_RSA_BITS) {
    add(
      'certificate_weak_key',
      `has an RSA key of ${bits} bits, which TLS libraries refuse`,
      `use a certificate with a key of ${MIN_RSA_BITS} bits or more`,
    );
  }
  // Nobody checks the signature of a root.
  if (/sha1|md5/i.test(signatureAlgorithm) && !isSelfIssued) {
    add(
      'certificate_weak_signature',
      `is signed with ${signatureAlgorithm}, which TLS libraries refuse`,
      'use a certificate signed with SHA-256',
    );
  }
  if (use === 'ca' && !ca && !isSelfIssued) {
    const message = 'is not a CA certificate (basicConstraints or keyUsage), so nothing it signed is trusted';
    add(
      'certificate_no_ca',
      message,
      'use the certificate of the CA that issued it; a server’s own certificate works only if self-signed',
    );
  }
  if (use !== 'ca' && keyUsage && ![PURPOSES[use], PURPOSES.any].some((purpose) => keyUsage.includes(purpose))) {
    add(
      'certificate_wrong_use',
      `does not allow use as a ${use} (extended key usage), so the other side refuses it`,
      `use a certificate issued for ${use}Auth`,
    );
  }
  return found;
}

function iso(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, 10);
}
