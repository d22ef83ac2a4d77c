/**
 * The gate: decides from the request line and headers whether a request may use the company's token, and on which route.
 * Default deny. A request target is never parsed as a URL: it is an opaque string that is checked, cut at the route's prefix
 * and appended to a constant origin, so no spelling of it can reach another host.
 */
import { normalize } from 'node:path/posix';
import { SidecarError } from '../core/errors.ts';
import { compileAllowList, decoded } from './allow-list.ts';
import type { Identify } from './caller-auth.ts';
import type { RequestHead } from './headers.ts';
import { notOurs, notRouted } from './refusals.ts';

export interface RoutePattern {
  /** `/` or `/banking`. */
  readonly path: string;
  /** Prepended to the part after the prefix: empty, or `/api`. */
  readonly basePath: string;
  /** `METHOD /glob` entries; undefined = everything. */
  readonly allow: readonly string[] | undefined;
}

export interface AdmissionOptions<Route extends RoutePattern> {
  readonly routes: readonly Route[];
  /** Exact `Host` values in lower case. */
  readonly hosts: ReadonlySet<string>;
  readonly allowForwarded: boolean;
  /** Undefined = callers need no key. */
  readonly identify: Identify | undefined;
}

export interface RequestLine {
  readonly method: string;
  readonly target: string;
  readonly httpVersion: string;
  readonly headerCount: number;
  /** Over TLS. */
  readonly secure: boolean;
  /** The name in the caller's verified client certificate. */
  readonly certificate: string | undefined;
}

export interface Admitted<Route> {
  readonly route: Route;
  /** Name of the caller; `anyone` when callers need no key. */
  readonly caller: string;
  /** Path and query for the upstream's request line. */
  readonly path: string;
  /** The request's method, and any that overrides in header or query ask for. */
  readonly methods: readonly string[];
}

/** Never forwarded: they would show the token or bypass the gate. */
const NEVER: ReadonlySet<string> = new Set(['TRACE', 'TRACK', 'CONNECT']);
const MAX_HEADERS = 100;
const MAX_TARGET_CHARS = 8192;
const HOST = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/;
/** Visible ASCII without `#` and `\`: no fragment, whitespace, control character or ambiguous separator. */
const TARGET = /^\/(?!\/)[\x21\x22\x24-\x5b\x5d-\x7e]*$/;
const ABSOLUTE = /^http:\/\/([^/?#@\\]+)(|[/?].*)$/i;
const ABSOLUTE_SECURE = /^https:\/\/([^/?#@\\]+)(|[/?].*)$/i;
const BAD_PATH = /\/\/|%(?![0-9A-Fa-f]{2})|%(?:00|0[aAdD])/;
const SEPARATOR = /\/|%2f|%5c/i;

/**
 * Admits a request and returns its route, or throws.
 * @throws SidecarError CALLER_REQUEST_INVALID | CALLER_METHOD_REFUSED | CALLER_HEADERS_TOO_LARGE | CALLER_TARGET_TOO_LONG |
 * CALLER_HOST | CALLER_ORIGIN | CALLER_FORWARDED | CALLER_LOOP | CALLER_KEY | CALLER_EXPECTATION | CALLER_TOKEN_IN_QUERY |
 * ROUTE_NOT_FOUND | ROUTE_NOT_ALLOWED
 */
export type Admit<Route> = (line: RequestLine, head: RequestHead) => Admitted<Route>;

/**
 * Creates the gate's check.
 * @example
 * const admit = createAdmission({ routes, hosts: new Set(['127.0.0.1:7080']), allowForwarded: false, identify: undefined });
 * const { route, path } = admit(line, readRequestHead(req.rawHeaders));
 */
export function createAdmission<Route extends RoutePattern>(options: AdmissionOptions<Route>): Admit<Route> {
  const routes = options.routes
    .map((route) => ({ route, allow: route.allow && compileAllowList(route.allow) }))
    .sort((a, b) => b.route.path.length - a.route.path.length);
  return (line, head) => {
    checkMessage(line, head);
    checkCaller(line, head, options);
    const caller = options.identify?.(head) ?? line.certificate ?? 'anyone';
    const target = originForm(line, options.hosts);
    const queryAt = target.indexOf('?');
    const path = queryAt === -1 ? target : target.slice(0, queryAt);
    const query = queryAt === -1 ? '' : target.slice(queryAt);
    checkTarget(target, path, query);
    const match = routeOf(routes, path);
    const rest = match.route.path === '/' ? path : path.slice(match.route.path.length);
    const methods = [line.method, ...overrides(head, query)];
    if (methods.some((method) => NEVER.has(method))) throw new SidecarError('CALLER_METHOD_REFUSED');
    const { allow } = match;
    if (allow && (head.targetOverrides || !methods.every((method) => allow(method, rest || '/'))))
      throw new SidecarError('ROUTE_NOT_ALLOWED');
    return { route: match.route, caller, path: (match.route.basePath + rest || '/') + query, methods };
  };
}

/** Finds the route. Refuses another spelling of a listed route's path that would match a wider route without a list. */
function routeOf<Entry extends { route: RoutePattern; allow: unknown }>(routes: readonly Entry[], path: string): Entry {
  const match = routes.find(({ route }) => isUnder(path, route.path));
  if (!match)
    throw notRouted(
      path,
      routes.map(({ route }) => route.path),
    );
  const meant = /[%A-Z]/.test(path) ? routes.find(({ route }) => isMeant(path, route.path)) : match;
  if (meant !== match && meant?.allow) throw new SidecarError('ROUTE_NOT_ALLOWED');
  return match;
}

function checkMessage(line: RequestLine, head: RequestHead): void {
  if (NEVER.has(line.method)) throw new SidecarError('CALLER_METHOD_REFUSED');
  if (line.httpVersion !== '1.1' && line.httpVersion !== '1.0') throw new SidecarError('CALLER_REQUEST_INVALID');
  if (line.headerCount > MAX_HEADERS) throw new SidecarError('CALLER_HEADERS_TOO_LARGE');
  if (line.target.length > MAX_TARGET_CHARS) throw new SidecarError('CALLER_TARGET_TOO_LONG');
  checkFraming(line, head);
}

/** RFC 9112 §6.1: only plain `chunked` is supported, and HTTP/1.0 has no transfer codings. */
function checkFraming({ httpVersion }: RequestLine, { transferEncoding, contentLength, expect }: RequestHead): void {
  if (transferEncoding !== undefined) {
    const plain = /^[\t ]*chunked[\t ]*$/i.test(transferEncoding);
    if (!plain || httpVersion === '1.0' || contentLength !== undefined)
      throw new SidecarError('CALLER_REQUEST_INVALID');
  }
  // Expectations of HTTP/1.0 are ignored (RFC 9110 §10.1.1).
  const expected = httpVersion === '1.0' ? undefined : expect?.toLowerCase();
  if (expected !== undefined && expected !== '100-continue') throw new SidecarError('CALLER_EXPECTATION');
}

function checkCaller(
  { httpVersion, method }: RequestLine,
  head: RequestHead,
  { hosts, allowForwarded }: Pick<AdmissionOptions<RoutePattern>, 'hosts' | 'allowForwarded'>,
): void {
  const [host] = head.hosts;
  if (head.hosts.length > 1 || (host === undefined && httpVersion === '1.1')) {
    throw new SidecarError('CALLER_REQUEST_INVALID');
  }
  // HTTP/1.0 callers may leave Host out (RFC 9110 §7.2). Browsers do not use HTTP/1.0, so DNS rebinding cannot either.
  if (host !== undefined && !hosts.has(host.toLowerCase())) {
    const port = HOST.exec(host)?.[1] ?? '0';
    throw HOST.test(host) && Number(port) <= 65_535 ? notOurs(host, hosts) : new SidecarError('CALLER_REQUEST_INVALID');
  }
  // Old browsers send no Origin with a form, but a Referer.
  const isForeign = !isSafe(method) && head.referers?.some((page) => isElsewhere(page, hosts));
  if (head.fromBrowser || isForeign) throw new SidecarError('CALLER_ORIGIN');
  if (head.looped) throw new SidecarError('CALLER_LOOP');
  if (head.forwarded && !allowForwarded) throw new SidecarError('CALLER_FORWARDED');
}

function isElsewhere(page: string, hosts: ReadonlySet<string>): boolean {
  const [, authority] = /^https?:\/\/([^/?#]*)/i.exec(page) ?? [];
  return authority !== undefined && !hosts.has(authority.toLowerCase());
}

/** Accepts absolute-form (RFC 9112 §3.2.2) for the sidecar's own authority only; asterisk and authority forms never. */
function originForm({ target, secure }: RequestLine, hosts: ReadonlySet<string>): string {
  if (target.startsWith('/')) return target;
  const absolute = (secure ? ABSOLUTE_SECURE : ABSOLUTE).exec(target);
  if (!absolute) throw new SidecarError('CALLER_REQUEST_INVALID');
  const [, authority = '', rest = ''] = absolute;
  if (!hosts.has(authority.toLowerCase())) throw notOurs(authority, hosts);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

function checkTarget(target: string, path: string, query: string): void {
  const escapes = /\.|%2e/i.test(path) && path.split(SEPARATOR).some(isDotSegment);
  if (!TARGET.test(target) || BAD_PATH.test(path) || escapes) throw new SidecarError('CALLER_REQUEST_INVALID');
  if (holdsToken(query)) throw new SidecarError('CALLER_TOKEN_IN_QUERY');
}

/** `.` and `..` in every spelling that some server accepts: encoded, or with path parameters (`..;x`). */
function isDotSegment(segment: string): boolean {
  const plain = segment.replace(/%2e/gi, '.').replace(/(?:;|%3b).*$/i, '');
  return plain === '.' || plain === '..';
}

/** RFC 6750 §2 allows one way to send a token per request, and the sidecar uses the header. */
function holdsToken(query: string): boolean {
  return /token|%/i.test(query) && parameters(query).some(([name]) => name === 'access_token');
}

const NONE: readonly string[] = [];

/** Returns the methods in the override headers and the query parameter `_method` that some frameworks obey. */
function overrides({ methodOverrides }: RequestHead, query: string): readonly string[] {
  const inQuery = /method|%/i.test(query) ? parameters(query).filter(([name]) => name === '_method') : NONE;
  if (methodOverrides === undefined && inQuery.length === 0) return NONE;
  return [...(methodOverrides ?? NONE), ...inQuery.map(([, value = '']) => value)]
    .flatMap((value) => value.toUpperCase().split(','))
    .map((method) => method.trim())
    .filter((method) => method !== '');
}

/** Names as servers read them: in any case, encoded or not; PHP turns `.`, a blank and `[` into an underscore. */
function parameters(query: string): (readonly [name: string, value: string])[] {
  return query
    .slice(1)
    .split(/[&;]/)
    .map((pair) => {
      const [, name = '', value = ''] = /^([^=]*)=?(.*)$/s.exec(pair.replaceAll('+', ' ')) ?? [];
      const plain = decoded(name).toLowerCase().trimStart();
      return [plain.replace(/^([^[]*)\[.*\].*$/s, '$1').replace(/[. []/g, '_'), decoded(value)];
    });
}

/** Whether a server that ignores case and decodes up to twice would find the path under the prefix. */
function isMeant(path: string, prefix: string): boolean {
  return isUnder(normalize(decoded(decoded(path)).replaceAll('\\', '/')).toLowerCase(), prefix.toLowerCase());
}

function isUnder(path: string, prefix: string): boolean {
  return prefix === '/' || path === prefix || (path.startsWith(prefix) && path[prefix.length] === '/');
}

/** Safe methods (RFC 9110 §9.2.1), without TRACE, which is never admitted. */
export function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
}
