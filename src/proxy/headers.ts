/**
 * Header policy in both directions, in one pass over raw header lines, so order, case and repetition stay. What must not be
 * forwarded is removed before the sidecar adds its own fields: so a `Connection` option cannot remove the injected token.
 */
import { ofRequest, ofResponse, type Treatment } from './header-treatments.ts';

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
  /** Values of `traceparent` (W3C Trace Context). */
  readonly traceparents: readonly string[] | undefined;
  /** The caller's `X-Request-Id`, if it is safe to log and forward. */
  readonly requestId: string | undefined;
}

const VIA_US = /(?:^|[\s,])aritma-sidecar(?:$|[\s,])/i;
/** Names beyond this are judged each time: callers and APIs choose how many there are. */
const MAX_NAMES = 512;
const MAX_NAME_CHARS = 64;
const isLoggable = (id: string) => /^[A-Za-z0-9._:/+=-]{1,128}$/.test(id);

/** Programs send the same few names again and again, in the same spelling: the treatment of each is looked up once. */
function remembered(treatmentOf: (line: string) => Treatment): (line: string) => Treatment {
  const known = new Map<string, Treatment>();
  return (line) => {
    const found = known.get(line);
    if (found !== undefined) return found;
    const treatment = treatmentOf(line);
    // A copy: the name may be a part of a string that would stay in memory.
    if (known.size < MAX_NAMES && line.length <= MAX_NAME_CHARS) known.set(Buffer.from(line).toString(), treatment);
    return treatment;
  };
}

const requestTreatment = remembered(ofRequest);
const responseTreatment = remembered(ofResponse);

/** Reads `IncomingMessage.rawHeaders`. Node has already refused lines that are no header fields. */
export function readRequestHead(raw: readonly string[]): RequestHead {
  const noted: Noted = [];
  const forward: string[] = [];
  for (let index = 0; index < raw.length; index += 2) {
    const line = raw[index] ?? '';
    const value = raw[index + 1] ?? '';
    const { noteAs, isForwarded } = requestTreatment(line);
    if (noteAs !== undefined) noted.push(noteAs, value);
    if (isForwarded) forward.push(line, value);
  }
  const connection = valuesOf(noted, 'connection');
  const named = connectionOptions(connection);
  const forwarded = valuesOf(noted, 'proxy') !== undefined;
  return {
    forward: named ? without(forward, named) : forward,
    hosts: valuesOf(noted, 'host') ?? [],
    fromBrowser: valuesOf(noted, 'origin') !== undefined || isFromPage(noted),
    navigates: isNavigation(noted),
    referers: valuesOf(noted, 'referer'),
    forwarded,
    looped: forwarded && isLoop(forward),
    expect: valuesOf(noted, 'expect')?.join(', '),
    transferEncoding: valuesOf(noted, 'transfer-encoding')?.join(', '),
    contentLength: valuesOf(noted, 'content-length')?.[0],
    offersUpgrade:
      connection !== undefined && valuesOf(noted, 'upgrade') !== undefined && /\bupgrade\b/i.test(connection.join()),
    methodOverrides: valuesOf(noted, 'method'),
    targetOverrides: valuesOf(noted, 'target'),
    traceparents: valuesOf(noted, 'traceparent'),
    keys: valuesOf(noted, 'x-sidecar-key') ?? [],
    authorizations: valuesOf(noted, 'authorization') ?? [],
    requestId: valuesOf(noted, 'x-request-id')?.slice(0, 1).find(isLoggable),
  };
}

/** Flat name, value, …: a list is faster to read than a map when it has two entries, as it usually has. */
type Noted = string[];

function valuesOf(noted: Noted, name: string): readonly string[] | undefined {
  let values: string[] | undefined;
  for (let index = 0; index < noted.length; index += 2) {
    if (noted[index] !== name) continue;
    values ??= [];
    values.push(noted[index + 1] ?? '');
  }
  return values;
}

/** RFC 9110 §7.6.3: `Via` shows loops. */
function isLoop(forward: readonly string[]): boolean {
  return forward.some(
    (value, index) => index % 2 === 1 && /^via$/i.test(forward[index - 1] ?? '') && VIA_US.test(value),
  );
}

/** Browsers send Fetch Metadata only to localhost and https; elsewhere they still send `Upgrade-Insecure-Requests`. */
function isNavigation(noted: Noted): boolean {
  if (valuesOf(noted, 'upgrade-insecure-requests')) return true;
  return valuesOf(noted, 'sec-fetch-mode')?.includes('navigate') === true;
}

/**
 * A user's own navigation (`none`) is not a cross-site request. The sidecar has no pages, so a same-origin request that is no
 * navigation comes from a page of the API.
 */
function isFromPage(noted: Noted): boolean {
  const sites = valuesOf(noted, 'sec-fetch-site');
  if (sites === undefined) return false;
  if (sites.some((site) => site !== 'none' && site !== 'same-origin')) return true;
  return sites.includes('same-origin') && valuesOf(noted, 'sec-fetch-mode') !== undefined && !isNavigation(noted);
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
  const lines = textsOf(raw);
  const headers: string[] = [];
  const noted: Noted = [];
  // With a length, the caller would read the next response as the content of this one (RFC 9110 §8.6).
  const hasNoLength = status === 204 || status < 200;
  for (let index = 0; index < lines.length; index += 2) {
    const line = lines[index] ?? '';
    const value = lines[index + 1] ?? '';
    const { noteAs, isForwarded } = responseTreatment(line);
    if (noteAs !== undefined) noted.push(noteAs, value);
    if (!isForwarded || (hasNoLength && noteAs === 'content-length')) continue;
    headers.push(nameWithout(token, line), valueWithout(token, value));
  }
  const named = connectionOptions(valuesOf(noted, 'connection'));
  return {
    headers: named ? without(headers, named) : headers,
    challenges: valuesOf(noted, 'www-authenticate') ?? [],
    hasRequestId: valuesOf(noted, 'x-request-id') !== undefined,
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
  if (value.length < token.length || !(value.includes(token) || value.includes('%'))) return value;
  const hidden = value.replaceAll(token, '[token]');
  if (!hidden.includes('%')) return hidden;
  const plain = hidden.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return plain.includes(token) ? '[token]' : hidden;
}

/** Decodes all at once where they are slices of the same received bytes, as they usually are. */
function textsOf(raw: readonly (Buffer | string)[]): readonly string[] {
  const first = raw[0];
  const last = raw[raw.length - 1];
  if (typeof first !== 'object' || typeof last !== 'object') return raw.map(text);
  const { buffer, byteOffset: from } = first;
  const end = last.byteOffset + last.length;
  if (last.buffer !== buffer || end < from) return raw.map(text);
  const whole = Buffer.from(buffer, from, end - from).toString('latin1');
  const texts: string[] = [];
  for (let index = 0; index < raw.length; index += 1) {
    const part = raw[index];
    if (typeof part !== 'object' || part.buffer !== buffer) return raw.map(text);
    const at = part.byteOffset - from;
    if (at < 0 || at + part.length > whole.length) return raw.map(text);
    texts.push(whole.substring(at, at + part.length));
  }
  return texts;
}

function text(part: Buffer | string): string {
  return typeof part === 'string' ? part : part.toString('latin1');
}

/** Returns the headers with `Max-Forwards` reduced by one; `ends here` when it was 0 (RFC 9110 §7.6.2). */
export function countForward(method: string, forward: readonly string[]): readonly string[] | 'ends here' {
  if (method !== 'OPTIONS') return forward;
  const at = forward.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'max-forwards');
  const left = forward[at + 1] ?? '';
  if (at === -1 || !/^\d{1,9}$/.test(left)) return forward;
  return Number(left) === 0 ? 'ends here' : forward.with(at + 1, String(Number(left) - 1));
}
