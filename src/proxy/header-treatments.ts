/**
 * Which header fields the sidecar reads, forwards and drops, in both directions. Hop-by-hop fields (RFC 9110 §7.6.1) and
 * fields that could imitate the sidecar's own are dropped; all that are not listed are forwarded.
 */

export interface Treatment {
  /** The name under which the sidecar notes the value for itself. */
  readonly noteAs: string | undefined;
  readonly isForwarded: boolean;
}

const FORWARD: Treatment = { noteAs: undefined, isForwarded: true };
const DROP: Treatment = { noteAs: undefined, isForwarded: false };
const OF_A_PROXY: Treatment = { noteAs: 'proxy', isForwarded: true };

const REQUEST = new Map<string, Treatment>([
  ...noted(false, 'host', 'connection', 'expect', 'content-length', 'transfer-encoding', 'x-request-id'),
  ...noted(false, 'authorization', 'x-sidecar-key', 'upgrade'),
  ...noted(true, 'traceparent', 'origin', 'referer', 'sec-fetch-site', 'sec-fetch-mode', 'upgrade-insecure-requests'),
  ...each(DROP, 'keep-alive', 'proxy-connection', 'te', 'trailer', 'http2-settings'),
  // Only the sidecar may send these, to the API or to the caller.
  ...each(DROP, 'proxy-authorization', 'proxy-authenticate', 'x-sidecar-error'),
  ...each(OF_A_PROXY, 'via', 'forwarded'),
  ...each({ noteAs: 'method', isForwarded: true }, 'x-http-method-override', 'x-http-method', 'x-method-override'),
  ...each({ noteAs: 'target', isForwarded: true }, 'x-original-url', 'x-rewrite-url', 'x-original-uri'),
]);

const RESPONSE = new Map<string, Treatment>([
  ...noted(false, 'connection'),
  ...noted(true, 'content-length', 'www-authenticate', 'x-request-id'),
  ...each(DROP, 'keep-alive', 'proxy-authenticate', 'proxy-connection', 'te'),
  ...each(DROP, 'trailer', 'transfer-encoding', 'upgrade', 'x-sidecar-error'),
]);

function each(treatment: Treatment, ...names: readonly string[]): [string, Treatment][] {
  return names.map((name) => [name, treatment]);
}

function noted(isForwarded: boolean, ...names: readonly string[]): [string, Treatment][] {
  return names.map((name) => [name, { noteAs: name, isForwarded }]);
}

/** Of a field in a caller's request, by its name as it was sent. */
export function ofRequest(line: string): Treatment {
  const name = plainName(line);
  const treatment = REQUEST.get(name) ?? (name.startsWith('x-forwarded') ? OF_A_PROXY : FORWARD);
  // `Content_Length` and the like are neither used nor forwarded.
  return !treatment.isForwarded && ODD_NAME.test(line) ? DROP : treatment;
}

/** Of a field in an API's response. */
export function ofResponse(line: string): Treatment {
  return RESPONSE.get(line.toLowerCase()) ?? FORWARD;
}

const ODD_NAME = /[^A-Za-z0-9-]/;

/**
 * Lower case, with odd characters as `-`: CGI-style servers treat `Authorization_` or `X.Name` like the plain names. Linear
 * time, because the caller chooses the length of a name.
 */
export function plainName(line: string): string {
  const name = line.toLowerCase();
  return ODD_NAME.test(name) ? name.replace(/[^a-z0-9-]/g, '-').replace(/(?<!-)-+$/, '') : name;
}
