/**
 * The files a configuration names: who else can read a secret, whose it is, and how long certificates still last.
 */
import { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { FINDING, type Finding, shown, type Words } from './finding.ts';

interface SecretFile {
  readonly subject: string;
  readonly path: string;
}

const DAY_MS = 24 * 3_600_000;
const EXPIRES_SOON_DAYS = 30;

/** Nothing is said of what is in order. */
export function fileFindings({ config, tls }: LoadedConfig): Finding[] {
  const secrets = secretFiles(config).flatMap(({ subject, path }) =>
    accessDoubts(resolve(path)).map((words) => FINDING.warning(subject, 'CONFIG_INVALID', words)),
  );
  const certificates = [...tls].flatMap(([owner, { cert, ca }]) => [
    ...certificateFindings(`certificate of ${owner}`, cert, Date.now()),
    ...certificateFindings(`CA of ${owner}`, ca, Date.now()),
  ]);
  return [...secrets, ...certificates];
}

function secretFiles({ credentials, routes, callers }: Config): SecretFile[] {
  const found: { subject: string; path: string | undefined }[] = [];
  for (const [name, { secrets, tls }] of Object.entries(credentials)) {
    secrets.forEach(({ file }, index) => void found.push({ subject: `secret ${name} ${index + 1}`, path: file }));
    found.push({ subject: `key of credential ${name}`, path: tls?.key });
  }
  for (const { path, tls } of routes) found.push({ subject: `key of route ${path}`, path: tls?.key });
  for (const [name, { secrets }] of Object.entries(callers.keys)) {
    secrets.forEach(({ file }, index) => void found.push({ subject: `caller key ${name} ${index + 1}`, path: file }));
  }
  found.push({ subject: 'key of callers', path: callers.tls?.key });
  return found.flatMap(({ subject, path }) => (path === undefined ? [] : [{ subject, path }]));
}

/** Windows has no such modes and owners. */
function accessDoubts(path: string): Words[] {
  const { mode, uid } = statSync(path);
  const self = process.getuid?.();
  if (process.platform === 'win32' || self === undefined) return [];
  const doubts: Words[] = [];
  const others = mode & 0o007 ? 'everybody on this machine' : 'the group it belongs to';
  const what = mode & 0o022 ? 'changed' : 'read';
  if ((mode & 0o077) !== 0) {
    doubts.push({
      cause: 'file_readable_by_others',
      message: `the secret file ${path} can be ${what} by ${others} (mode ${(mode & 0o777).toString(8)})`,
      fix: `chmod 600 ${path}`,
    });
  }
  // root can read everything anyway, and container platforms mount secrets as root's.
  if (uid !== self && uid !== 0) {
    doubts.push({
      cause: 'file_of_another_user',
      message: `the secret file ${path} belongs to user ${uid}, but this runs as user ${self}: its owner can replace the secret`,
      fix: `chown it to the user that runs the sidecar; if that is user ${uid}, run check as that user`,
    });
  }
  return doubts;
}

/** Of a chain or a bundle every certificate counts. */
function certificateFindings(subject: string, pem: Buffer | undefined, now: number): Finding[] {
  const blocks = pem?.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    const { validFrom, validTo, subject: name } = new X509Certificate(block);
    const label = `"${shown(/^CN=(.*)$/m.exec(name)?.[1] ?? name)}"`;
    const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
    const days = Math.floor((to - now) / DAY_MS);
    const fix = 'put a renewed one in its place; a running sidecar takes it over by itself';
    if (to < now) {
      const message = `${label} expired on ${iso(to)}: whoever is shown it refuses it`;
      return [FINDING.error(subject, 'CONFIG_INVALID', { cause: 'certificate_expired', message, fix })];
    }
    if (from > now) {
      const message = `${label} is not valid before ${iso(from)}; this machine's clock says ${iso(now)}`;
      const clock = 'check this machine’s clock, or wait';
      return [FINDING.error(subject, 'CONFIG_INVALID', { cause: 'certificate_not_yet_valid', message, fix: clock })];
    }
    if (days >= EXPIRES_SOON_DAYS) return [];
    const message = `${label} expires in ${days} days, on ${iso(to)}`;
    return [FINDING.warning(subject, 'CONFIG_INVALID', { cause: 'certificate_expires_soon', message, fix })];
  });
}

function iso(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, 10);
}
