/**
 * Header policy in both directions, on raw header lines, so order, case and repetition stay. Hop-by-hop fields (RFC 9110
 * §7.6.1) and fields that could imitate the sidecar's are removed before the sidecar adds its own: so a `Connection` option
 * cannot remove the injected token.
 */

/** The parts of a request's headers that the gate and the forwarder need, read in one pass. */
export interface RequestHead {
  /** Flat name, value, …: the headers for the upstream, without host, framing and credentials. */
  readonly forward: readonly string[];
  readonly hosts: readonly string[];
  /** `Origin` or Fetch Metadata shows that a web page is calling. */
  readonly fromBrowser: boolean;
  /** A browser will show the response as a page. */
  readonly navigates: boolean;
  /** Values of `Referer`. */
  readonly referers: readonly string[] | undefined;
  /** The request has passed through an aritma-sidecar before. */
  readonly looped: boolean;
  /** `Forwarded`, `X-Forwarded-*` or `Via` is present. */
  readonly forwarded: boolean;
  readonly expect: string | undefined;
  readonly transferEncoding: string | undefined;
  readonly contentLength: string | undefined;
  /** `Upgrade` together with its `Connection` option (RFC 9110 §7.8). */
  readonly offersUpgrade: boolean;
  /** Values of `X-Sidecar-Key` and `Authorization`: they authenticate the caller and never go to the API. */
  readonly keys: readonly string[];
  readonly authorizations: readonly string[];
  /** Values of fields that make some servers use another method, or another target. */
  readonly methodOverrides: readonly string[] | undefined;
  readonly targetOverrides: readonly string[] | undefined;
  /** W3C Trace Context; forwarded unchanged, and logged. */
  readonly traceparent: string | undefined;
  /** The caller's `X-Request-Id`, if it is safe to log and forward. */
  readonly requestId: string | undefined;
}

const VIA_US = /(?:^|[\s,])aritma-sidecar(?:$|[\s,])/i;
const REQUEST_ID = /^[A-Za-z0-9._:/+=-]{1,128}$/;

/** `drop`: never forwarded · `note`: read by the sidecar, not forwarded · the others: read and forwarded. */
type Treatment = 'drop' | 'note' | 'both' | 'origin' | 'site' | 'forwarded' | 'method' | 'target';

const TREATMENTS = new Map<string, Treatment>([
  ...names('note', 'host', 'connection', 'expect', 'content-length', 'transfer-encoding', 'x-request-id'),
  ...names('note', 'authorization', 'x-sidecar-key', 'upgrade'),
  // Hop-by-hop fields (RFC 9110 §7.6.1).
  ...names('drop', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'http2-settings'),
  // Only the sidecar may send these, to the API or to the caller.
  ...names('drop', 'proxy-authorization', 'proxy-authenticate', 'x-sidecar-error'),
  ...names('forwarded', 'via', 'forwarded'),
  ...names('method', 'x-http-method-override', 'x-http-method', 'x-method-override'),
  ...names('target', 'x-original-url', 'x-rewrite-url', 'x-original-uri'),
  ...names('both', 'traceparent', 'referer', 'sec-fetch-mode', 'upgrade-insecure-requests'),
  ['origin', 'origin'],
  ['sec-fetch-site', 'site'],
]);

function names(treatment: Treatment, ...list: readonly string[]): [string, Treatment][] {
  return list.map((name) => [name, treatment]);
}

/** Reads `IncomingMessage.rawHeaders`. Node has already refused lines that are no header fields. */
export function readRequestHead(raw: readonly string[]): RequestHead {
  const sorted: Sorted = { noted: new Map(), forward: [], fromBrowser: false, forwarded: false };
  for (let index = 0; index < raw.length; index += 2) sort(sorted, raw[index] ?? '', raw[index + 1] ?? '');
  const { noted, forward, fromBrowser, forwarded } = sorted;
  const named = connectionOptions(noted.get('connection'));
  const requestId = noted.get('x-request-id')?.[0];
  return {
    forward: named ? without(forward, named) : forward,
    hosts: noted.get('host') ?? [],
    fromBrowser: fromBrowser || isPagesOwn(noted),
    navigates: isNavigation(noted),
    referers: noted.get('referer'),
    forwarded,
    looped: forwarded && isLoop(forward),
    expect: noted.get('expect')?.join(', '),
    transferEncoding: noted.get('transfer-encoding')?.join(', '),
    contentLength: noted.get('content-length')?.[0],
    offersUpgrade: noted.has('upgrade') && /\bupgrade\b/i.test(noted.get('connection')?.join() ?? ''),
    methodOverrides: noted.get('method'),
    targetOverrides: noted.get('target'),
    traceparent: noted.get('traceparent')?.[0],
    keys: noted.get('x-sidecar-key') ?? [],
    authorizations: noted.get('authorization') ?? [],
    requestId: requestId !== undefined && REQUEST_ID.test(requestId) ? requestId : undefined,
  };
}

interface Sorted {
  readonly noted: Map<string, string[]>;
  readonly forward: string[];
  fromBrowser: boolean;
  forwarded: boolean;
}

function sort(into: Sorted, line: string, value: string): void {
  const name = plainName(line);
  const treatment = TREATMENTS.get(name);
  if (treatment === 'drop') return;
  if (treatment === 'note') {
    // `Content_Length` and the like are neither used nor forwarded.
    if (!ODD_NAME.test(line)) note(into.noted, name, value);
    return;
  }
  if (treatment === 'both') note(into.noted, name, value);
  if (treatment === 'method' || treatment === 'target' || treatment === 'site') note(into.noted, treatment, value);
  if (treatment === 'origin' || (treatment === 'site' && !isHarmless(value))) into.fromBrowser = true;
  if (treatment === 'forwarded' || name.startsWith('x-forwarded')) into.forwarded = true;
  into.forward.push(line, value);
}

function note(noted: Map<string, string[]>, name: string, value: string): void {
  const values = noted.get(name);
  if (values) values.push(value);
  else noted.set(name, [value]);
}

/** RFC 9110 §7.6.3: `Via` shows loops. */
function isLoop(forward: readonly string[]): boolean {
  return forward.some(
    (value, index) => index % 2 === 1 && /^via$/i.test(forward[index - 1] ?? '') && VIA_US.test(value),
  );
}

/** A user's own navigation (`none`) is not a cross-site request. */
function isHarmless(site: string): boolean {
  return site === 'none' || site === 'same-origin';
}

const ODD_NAME = /[^A-Za-z0-9-]/;

/** Browsers send Fetch Metadata only to localhost and https; elsewhere they still send `Upgrade-Insecure-Requests`. */
function isNavigation(noted: Sorted['noted']): boolean {
  return noted.has('upgrade-insecure-requests') || noted.get('sec-fetch-mode')?.includes('navigate') === true;
}

/** The sidecar has no pages, so a same-origin request that is no navigation comes from a page of the API. */
function isPagesOwn(noted: Sorted['noted']): boolean {
  return noted.get('site')?.includes('same-origin') === true && noted.has('sec-fetch-mode') && !isNavigation(noted);
}

/**
 * Lower case, with odd characters as `-`: CGI-style servers treat `Authorization_` or `X.Name` like the plain names. Linear
 * time, because the caller chooses the length of a name.
 */
function plainName(line: string): string {
  const name = line.toLowerCase();
  return ODD_NAME.test(name) ? name.replace(/[^a-z0-9-]/g, '-').replace(/(?<!-)-+$/, '') : name;
}

/** Returns the header names that `Connection` lists; undefined when it lists only `close` or `keep-alive`. */
function connectionOptions(lines: readonly string[] | undefined): ReadonlySet<string> | undefined {
  if (lines === undefined || (lines.length === 1 && /^(?:keep-alive|close)$/i.test(lines[0] ?? ''))) return undefined;
  const options = new Set(
    lines
      .join(',')
      .toLowerCase()
      .split(',')
      .map((option) => option.trim()),
  );
  for (const usual of ['close', 'keep-alive', '']) options.delete(usual);
  return options.size > 0 ? options : undefined;
}

function without(flat: readonly string[], names: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let index = 0; index < flat.length; index += 2) {
    const name = flat[index] ?? '';
    if (!names.has(name.toLowerCase())) kept.push(name, flat[index + 1] ?? '');
  }
  return kept;
}

/** Never forwarded to a caller. */
const DROPPED_FROM_RESPONSE: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-connection', 'te'],
  ...['trailer', 'transfer-encoding', 'upgrade', 'x-sidecar-error'],
]);

const NOTED_IN_RESPONSE: ReadonlySet<string> = new Set(['connection', 'www-authenticate', 'x-request-id']);

export interface ResponseHead {
  /** Flat name, value, … for `writeHead`. */
  readonly headers: string[];
  readonly challenges: readonly string[];
  readonly hasRequestId: boolean;
}

/**
 * Filters an upstream's raw header lines.
 * @param raw flat names and values as undici received them
 * @param token removed from names and values, in case the upstream repeats it
 */
export function readResponseHead(raw: readonly (Buffer | string)[], status: number, token: string): ResponseHead {
  const headers: string[] = [];
  const noted = new Map<string, string[]>();
  for (let index = 0; index < raw.length; index += 2) {
    const line = text(raw[index]);
    const value = text(raw[index + 1]);
    const name = line.toLowerCase();
    if (NOTED_IN_RESPONSE.has(name)) note(noted, name, value);
    // With a length, the caller would read the next response as the content of this one (RFC 9110 §8.6).
    if (DROPPED_FROM_RESPONSE.has(name) || (name === 'content-length' && (status === 204 || status < 200))) continue;
    headers.push(nameWithout(token, line), valueWithout(token, value));
  }
  const named = connectionOptions(noted.get('connection'));
  return {
    headers: named ? without(headers, named) : headers,
    challenges: noted.get('www-authenticate') ?? [],
    hasRequestId: noted.has('x-request-id'),
  };
}

/** Compares without case: header names have none, and a token in lower case must not leak either. */
function nameWithout(token: string, name: string): string {
  if (name.length < token.length) return name;
  const [lower, hidden] = [name.toLowerCase(), token.toLowerCase()];
  return lower.includes(hidden) ? lower.replaceAll(hidden, '*token*') : name;
}

/** Removes the token, plain or percent-encoded as in a URL. */
function valueWithout(token: string, value: string): string {
  if (value.length < token.length) return value;
  const hidden = value.replaceAll(token, '[token]');
  if (!hidden.includes('%')) return hidden;
  const plain = hidden.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return plain.includes(token) ? '[token]' : hidden;
}

function text(bytes: Buffer | string = ''): string {
  return typeof bytes === 'string' ? bytes : bytes.toString('latin1');
}

/** Returns the headers with `Max-Forwards` reduced by one; `ends here` when it was 0 (RFC 9110 §7.6.2). */
export function countForward(method: string, forward: readonly string[]): readonly string[] | 'ends here' {
  if (method !== 'OPTIONS') return forward;
  const at = forward.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'max-forwards');
  const left = forward[at + 1] ?? '';
  if (at === -1 || !/^\d{1,9}$/.test(left)) return forward;
  return Number(left) === 0 ? 'ends here' : forward.with(at + 1, String(Number(left) - 1));
}
