/**
 * Parsers for option values that are text in a file. Each returns the typed value or throws an Error that says what is
 * allowed. A message never repeats the value, which might be a password.
 */
import { isIP } from 'node:net';
import { sizeMeant, timeMeant } from '../core/units.ts';

export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** A URL in parts, so that a request can only vary the part after `basePath`. */
export interface BaseUrl {
  /** `https://host` or `https://host:port`, never with a path. */
  readonly origin: string;
  /** `` or `/api`, never with a trailing slash. */
  readonly basePath: string;
  readonly hostname: string;
  readonly secure: boolean;
  /** As it was written: an issuer is compared character by character, a slash at its end included (RFC 8414 §3.3). */
  readonly text: string;
}

const DURATION = /^(\d{1,9})(ms|s|m|h|d)$/;
const DURATION_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Timers have 32 bits: a longer one would fire at once. */
const MAX_DURATION_MS = 24 * DURATION_MS.d;

/** Parses `500ms`, `30s`, `5m`, `1h` or `24d` to milliseconds. @example parseDurationMs('5m') // 300000 */
export function parseDurationMs(text: string): number {
  const match = DURATION.exec(text);
  if (!match) throw new Error(`must be a whole number with a unit: 500ms, 30s, 5m, 1h or 2d${timeMeant(text)}`);
  const ms = Number(match[1]) * DURATION_MS[match[2] as keyof typeof DURATION_MS];
  if (ms > MAX_DURATION_MS) throw new Error('must be at most 24d');
  return ms;
}

/** As `parseDurationMs`, but refuses 0: as a limit, it would mean no limit. */
export function parsePositiveDurationMs(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === 0) throw new Error('must be longer than 0');
  return ms;
}

const SIZE = /^(\d{1,9})(B|KiB|MiB|GiB)$/;
const SIZE_BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** Parses `512B`, `64KiB` or `1MiB` to bytes. @example parseSizeBytes('64KiB') // 65536 */
export function parseSizeBytes(text: string): number {
  const match = SIZE.exec(text);
  if (!match) throw new Error(`must be a whole number with a unit: 512B, 64KiB, 1MiB or 1GiB${sizeMeant(text)}`);
  return Number(match[1]) * SIZE_BYTES[match[2] as keyof typeof SIZE_BYTES];
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/;

const PIPE = /^\\\\[.?]\\pipe\\[^\\]/i;

/**
 * Parses `127.0.0.1:7080`, `[::1]:7080`, `localhost:7080`, `unix:/run/aritma.sock` or, on Windows,
 * `unix:\\.\pipe\aritma`. Port 0 = any free port.
 */
export function parseAddress(text: string, platform: string = process.platform): Address {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (path === '' || path.includes('\0')) throw new Error('must have a path after unix:');
    if (platform === 'win32' && !PIPE.test(path)) {
      throw new Error('must be a named pipe on Windows: unix:\\\\.\\pipe\\NAME');
    }
    return { kind: 'unix', path };
  }
  const match = ADDRESS.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535 || (match?.[1] !== undefined && isIP(host) !== 6)) {
    throw new Error(
      `must be host:port, [IPv6 address]:port or unix:/path, with a port from 0 to 65535${addressMeant(text)}`,
    );
  }
  return { kind: 'tcp', host: host.toLowerCase(), port };
}

/** Suggests what to write when a part is missing or too much. */
function addressMeant(text: string): string {
  const [, port] = /^:?(\d{1,5})$/.exec(text) ?? [];
  if (port !== undefined) return `; write 127.0.0.1:${port}`;
  if (/^https?:\/\//i.test(text)) return '; remove http:// and everything after the port';
  if (isIP(text) === 6 || /^::1:\d+$/.test(text)) return '; put the address in brackets, as in [::1]:7080';
  return /^[A-Za-z0-9.-]+$/.test(text) ? '; add a port, as in 127.0.0.1:7080' : '';
}

/**
 * True for names and addresses that only this machine can reach (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3, RFC 6761 §6.3).
 */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'));
}

const HOSTNAME = /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])$/;
const BASE_PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)*\/?$/;

/**
 * Parses an absolute http(s) URL in plain ASCII. Refuses userinfo, query, fragment and every spelling that a URL parser
 * would change (`..`, upper-case or Unicode hosts, backslashes): the sidecar connects to exactly what is written.
 */
export function parseBaseUrl(text: string): BaseUrl {
  const match = /^(https?):\/\/([^/?#@\\]+)(\/[^?#]*)?$/.exec(text);
  const url = match && URL.canParse(text) ? new URL(text) : undefined;
  const [, scheme, authority, path = ''] = match ?? [];
  if (!url || !scheme || !authority || url.port === '0') {
    throw new Error('must be an http or https URL such as https://host/path, without user, query or fragment');
  }
  if (!HOSTNAME.test(url.hostname) || url.hostname !== authority.replace(/:\d+$/, '')) {
    throw new Error('must have a host in lower-case ASCII, without a trailing dot');
  }
  if (!BASE_PATH.test(path)) throw new Error('must have a plain path, without empty, dot or percent-encoded segments');
  return {
    origin: url.origin,
    basePath: path.replace(/\/$/, ''),
    hostname: url.hostname,
    secure: scheme === 'https',
    text,
  };
}
