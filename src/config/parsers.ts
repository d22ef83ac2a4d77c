/**
 * Parsers for the option values that are text in a file and something better in the program. Each returns the typed
 * value or throws an Error whose message says what is allowed and never repeats the value (it might hold a password).
 */
import { isIP } from 'node:net';
import { sizeMeant, timeMeant } from '../core/units.ts';

export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** A URL split so that requests can only ever vary the part behind `basePath`. */
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

/** Timers count in 32 bits and would take anything longer for no time at all. */
const MAX_DURATION_MS = 24 * DURATION_MS.d;

/** `500ms`, `30s`, `5m`, `1h`, `24d` → milliseconds. */
export function parseDurationMs(text: string): number {
  const match = DURATION.exec(text);
  if (!match) throw new Error(`must be a whole number with a unit: 500ms, 30s, 5m, 1h or 2d${timeMeant(text)}`);
  const ms = Number(match[1]) * DURATION_MS[match[2] as keyof typeof DURATION_MS];
  if (ms > MAX_DURATION_MS) throw new Error('must be at most 24d');
  return ms;
}

/** As `parseDurationMs`, for limits, where nothing would mean everything. */
export function parsePositiveDurationMs(text: string): number {
  const ms = parseDurationMs(text);
  if (ms === 0) throw new Error('must be longer than nothing');
  return ms;
}

const SIZE = /^(\d{1,9})(B|KiB|MiB|GiB)$/;
const SIZE_BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;

/** `512B`, `64KiB`, `1MiB` → bytes. */
export function parseSizeBytes(text: string): number {
  const match = SIZE.exec(text);
  if (!match) throw new Error(`must be a whole number with a unit: 512B, 64KiB, 1MiB or 1GiB${sizeMeant(text)}`);
  return Number(match[1]) * SIZE_BYTES[match[2] as keyof typeof SIZE_BYTES];
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/;

const PIPE = /^\\\\[.?]\\pipe\\[^\\]/i;

/**
 * `127.0.0.1:7080`, `[::1]:7080`, `localhost:7080`, `unix:/run/aritma.sock` or, on Windows, `unix:\\.\pipe\aritma`. Port 0 = any
 * free port.
 */
export function parseAddress(text: string, platform: string = process.platform): Address {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length);
    if (path === '' || path.includes('\0')) throw new Error('must name a path after unix:');
    if (platform === 'win32' && !PIPE.test(path)) {
      throw new Error('must name a pipe on Windows, where Node knows no Unix sockets: unix:\\\\.\\pipe\\NAME');
    }
    return { kind: 'unix', path };
  }
  const match = ADDRESS.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535 || (match?.[1] !== undefined && isIP(host) !== 6)) {
    throw new Error(`must be host:port, [v6 address]:port or unix:/path, port 0 to 65535${addressMeant(text)}`);
  }
  return { kind: 'tcp', host: host.toLowerCase(), port };
}

/** What to write instead where a part is missing or too much. */
function addressMeant(text: string): string {
  const [, port] = /^:?(\d{1,5})$/.exec(text) ?? [];
  if (port !== undefined) return `; write 127.0.0.1:${port}`;
  if (/^https?:\/\//i.test(text)) return '; leave http:// and what is behind the port out';
  if (isIP(text) === 6 || /^::1:\d+$/.test(text)) return '; put the address in brackets, as in [::1]:7080';
  return /^[A-Za-z0-9.-]+$/.test(text) ? '; add a port, as in 127.0.0.1:7080' : '';
}

/** True for names and addresses that only this machine can reach (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3, RFC 6761 §6.3). */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'));
}

const HOSTNAME = /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])$/;
const BASE_PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)*\/?$/;

/**
 * An absolute http(s) URL in plain ASCII. Userinfo, query and fragment are refused, and so is every spelling a URL
 * parser would change (`..`, upper-case or unicode hosts, backslashes): what is written is what will be connected to.
 */
export function parseBaseUrl(text: string): BaseUrl {
  const match = /^(https?):\/\/([^/?#@\\]+)(\/[^?#]*)?$/.exec(text);
  const url = match && URL.canParse(text) ? new URL(text) : undefined;
  const [, scheme, authority, path = ''] = match ?? [];
  if (!url || !scheme || !authority || url.port === '0') {
    throw new Error('must be a URL such as https://host/path: http or https, no user, query or fragment');
  }
  if (!HOSTNAME.test(url.hostname) || url.hostname !== authority.replace(/:\d+$/, '')) {
    throw new Error('must spell its host in lower-case ASCII, without a trailing dot, as DNS has it');
  }
  if (!BASE_PATH.test(path)) throw new Error('must have a plain path: no empty, dot or percent-encoded segments');
  return {
    origin: url.origin,
    basePath: path.replace(/\/$/, ''),
    hostname: url.hostname,
    secure: scheme === 'https',
    text,
  };
}
