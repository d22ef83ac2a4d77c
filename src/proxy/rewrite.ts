/**
 * What a route changes in headers on top of the general policy: responses that point back at the API, cookies, keys
 * that make a payment safe to repeat. Everything else stays byte for byte.
 */
import { randomUUID } from 'node:crypto';
import type { BaseUrl } from '../config/parsers.ts';

export interface RewriteOptions {
  /** Prefix of the route. */
  readonly path: string;
  readonly upstream: BaseUrl;
  readonly rewriteLocation: boolean;
  readonly cookies: 'pass' | 'drop' | 'rewrite';
  readonly idempotency: 'off' | 'inject';
}

export interface Rewrite {
  /** Flat headers for the API from those of the caller. */
  request(forward: readonly string[]): readonly string[];
  /** Flat headers to add to a request and to its response, whoever sends it; the same for a replay. */
  added(method: string, forward: readonly string[]): readonly string[];
  /** @param callerOrigin the way the caller came in, `http://127.0.0.1:7080`; undefined if it did not say */
  response(headers: string[], callerOrigin: string | undefined): string[];
}

/** @param origin the way the caller came in */
type Change = (value: string, origin: string | undefined) => string;

const NONE: readonly string[] = [];

/** Undefined when nothing is to be changed. */
export function createRewrite(options: RewriteOptions): Rewrite | undefined {
  const { cookies, rewriteLocation, idempotency } = options;
  const changes = new Map<string, Change>();
  if (rewriteLocation) {
    const location: Change = (value, origin) => locationForCaller(value, options, origin);
    changes.set('location', location).set('content-location', location);
    changes.set('link', (value, origin) => linksForCaller(value, (target) => location(target, origin)));
  }
  if (cookies === 'rewrite') changes.set('set-cookie', (value) => rewriteCookie(value, options));
  const changesResponses = cookies === 'drop' || changes.size > 0;
  if (!changesResponses && idempotency === 'off') return undefined;
  return {
    request: (forward) => (cookies === 'drop' ? without(forward, 'cookie') : forward),
    added: (method, forward) =>
      idempotency === 'inject' && method === 'POST' && !hasKey(forward) ? ['Idempotency-Key', randomUUID()] : NONE,
    response(headers, callerOrigin) {
      if (!changesResponses) return headers;
      const kept = cookies === 'drop' ? without(headers, 'set-cookie') : headers;
      return kept.map((value, index) => {
        const change = index % 2 === 1 ? changes.get((kept[index - 1] ?? '').toLowerCase()) : undefined;
        return change ? change(value, callerOrigin) : value;
      });
    },
  };
}

/** In every spelling that some server takes for it: two keys would be worse than none. */
function hasKey(forward: readonly string[]): boolean {
  return forward.some((name, index) => index % 2 === 0 && /^idempotency[-_]key$/i.test(name));
}

/** RFC 3986 §4.2, without what only browsers take for it: user, backslashes, escapes in the host. */
const REFERENCE = /^(?:(https?):)?\/\/([a-z0-9._:[\]-]+)([/?#].*)?$/is;
const LOCAL = /^\/(?![/\\])/;
const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?:[/?#]|$)/i;

/**
 * Rewrites only what is under the API's origin and base path, to the address the caller used; a look-alike
 * (`https://bank.example.evil`, `https://bank.example@evil`) stays unchanged.
 */
function locationForCaller(
  value: string,
  { path, upstream }: RewriteOptions,
  callerOrigin: string | undefined,
): string {
  const [absolute, scheme, authority = '', behind = ''] = REFERENCE.exec(value) ?? [];
  const isOurs = absolute === undefined ? LOCAL.test(value) : callerOrigin && isApi(upstream, scheme, authority);
  if (!isOurs) return value;
  const rest = under(withoutDots(absolute === undefined ? value : behind), upstream.basePath);
  if (rest === undefined) return value;
  return (absolute === undefined ? '' : callerOrigin) + (joined(path, rest) || '/');
}

/** By what the names mean (RFC 9110 §4.2.3). Where TLS ends in front of an API, the API takes itself for plain. */
function isApi({ origin, hostname, secure }: BaseUrl, scheme: string | undefined, authority: string): boolean {
  const named = URL.parse(`${scheme ?? (secure ? 'https' : 'http')}://${authority}`);
  if (!named || named.origin === origin) return named !== null;
  const isPlain = secure && named.protocol === 'http:' && named.hostname === hostname;
  return isPlain && (named.port === '' || named.port === (new URL(origin).port || '443'));
}

function withoutDots(reference: string): string {
  if (!DOT_SEGMENT.test(reference)) return reference;
  const { pathname, search, hash } = new URL(reference, 'http://base.invalid');
  return pathname + search + hash;
}

/** Targets of all links of a line (RFC 8288 §3), up to where it breaks the grammar; parameters stay as they are. */
function linksForCaller(value: string, location: (target: string) => string): string {
  return value.replace(
    /([\t ,]*<)([^<>]*)(>(?:[^",]|"(?:[^"\\]|\\.)*")*)/gsy,
    (_link, before: string, target: string, behind: string) => before + location(target) + behind,
  );
}

/** What follows the base path, if the base path is where it ends: `/apix` is not under `/api`. */
function under(path: string, basePath: string): string | undefined {
  const rest = path.slice(basePath.length);
  return path.startsWith(basePath) && /^(?:$|[/?#])/.test(rest) ? rest : undefined;
}

function joined(prefix: string, rest: string): string {
  return (prefix === '/' ? '' : prefix) + rest;
}

/** RFC 6265 §5.2: attributes behind the first `;`, names in any case. */
function rewriteCookie(value: string, { path, upstream }: RewriteOptions): string {
  return value
    .replace(/;\s*domain\s*=\s*\.?([^;]*)/gi, (attribute, domain: string) => {
      const host = domain.trim().toLowerCase();
      return upstream.hostname === host || upstream.hostname.endsWith(`.${host}`) ? '' : attribute;
    })
    .replace(/(;\s*path\s*=\s*)([^;]*)/gi, (attribute, before: string, cookiePath: string) => {
      const rest = under(cookiePath.trim(), upstream.basePath);
      return rest === undefined ? attribute : before + (joined(path, rest === '/' ? '' : rest) || '/');
    });
}

function without(flat: readonly string[], name: string): string[] {
  return flat.filter((_, index) => (flat[index - (index % 2)] ?? '').toLowerCase() !== name);
}
