/**
 * Header changes of a route, beyond the general policy: locations that point to the API, cookies, idempotency keys, headers
 * that the route adds.
 * Everything else stays unchanged.
 */
import { randomUUID } from 'node:crypto';
import type { BaseUrl } from '../config/parsers.ts';
import { plainName } from './header-treatments.ts';
import { createAddHeaders, type RouteHeaders } from './route-headers.ts';

export interface RewriteOptions {
  /** Prefix of the route. */
  readonly path: string;
  readonly upstream: BaseUrl;
  readonly rewriteLocation: boolean;
  readonly cookies: 'pass' | 'drop' | 'rewrite';
  readonly idempotency: 'off' | 'inject';
  readonly headers: RouteHeaders;
}

export interface Rewrite {
  /** Returns the flat headers for the API, made from those of the caller. */
  request(forward: readonly string[]): readonly string[];
  /** Returns flat headers to add to a request and its response. Called once: a replay sends the same. */
  added(method: string, forward: readonly string[]): readonly string[];
  /** Changes response headers. @param callerOrigin `http://127.0.0.1:7080` as the caller used it; undefined without a Host */
  response(headers: string[], callerOrigin: string | undefined): string[];
}

/** @param origin see `response` */
type Change = (value: string, origin: string | undefined) => string;

const NONE: readonly string[] = [];

/**
 * Creates the changes of a route; undefined when nothing has to be changed.
 * @example
 * createRewrite(route)?.response(['Location', 'https://bank.example/api/pay/1'], 'http://127.0.0.1:7080');
 * // ['Location', 'http://127.0.0.1:7080/banking/pay/1']
 */
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
  const addHeaders = createAddHeaders(options.headers);
  if (!changesResponses && idempotency === 'off' && !addHeaders) return undefined;
  return {
    request(forward) {
      const kept = cookies === 'drop' ? without(forward, 'cookie') : forward;
      return addHeaders ? addHeaders(kept) : kept;
    },
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

/** Accepts every spelling that some server understands: two keys would be worse than none. */
function hasKey(forward: readonly string[]): boolean {
  return forward.some((name, index) => index % 2 === 0 && plainName(name) === 'idempotency-key');
}

/** RFC 3986 §4.2, without the forms that only browsers accept: user, backslashes, escapes in the host. */
const REFERENCE = /^(?:(https?):)?\/\/([a-z0-9._:[\]-]+)([/?#].*)?$/is;
const LOCAL = /^\/(?![/\\])/;
const DOT_SEGMENT = /\/(?:\.|%2e){1,2}(?:[/?#]|$)/i;

/**
 * Rewrites a URL under the API's origin and base path to the address that the caller used. Look-alikes
 * (`https://bank.example.evil`, `https://bank.example@evil`) stay unchanged.
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

/**
 * Compares normalized origins (RFC 9110 §4.2.3). Also accepts `http:` for a `https:` API: an API behind a TLS gateway sees
 * plain HTTP and puts that into its URLs.
 */
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

/** Rewrites the targets of all links (RFC 8288 §3), up to the first grammar error; parameters stay unchanged. */
function linksForCaller(value: string, location: (target: string) => string): string {
  return value.replace(
    /([\t ,]*<)([^<>]*)(>(?:[^",]|"(?:[^"\\]|\\.)*")*)/gsy,
    (_link, before: string, target: string, behind: string) => before + location(target) + behind,
  );
}

/** Returns the part after the base path; undefined when the path is not under it (`/apix` is not under `/api`). */
function under(path: string, basePath: string): string | undefined {
  const rest = path.slice(basePath.length);
  return path.startsWith(basePath) && /^(?:$|[/?#])/.test(rest) ? rest : undefined;
}

function joined(prefix: string, rest: string): string {
  return (prefix === '/' ? '' : prefix) + rest;
}

/** RFC 6265 §5.2: attributes follow the first `;`, names in any case. */
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
