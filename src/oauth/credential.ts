/**
 * A credential: one client id that gets tokens. On `invalid_client` it tries its next client secret, and it returns to an
 * earlier one when that works again. So a secret can be rotated without downtime.
 */
import type { Dispatcher } from 'undici';
import type { Place } from '../net/place.ts';
import { type ClientSecret, createSecretFailover, type SecretFailoverOptions } from './secret-failover.ts';
import { sendTokenRequest, withFailure } from './token-endpoint.ts';
import type { TokenResponse } from './token-response.ts';
import type { Verify } from './token-verifier.ts';

/** Where token requests go. */
export interface Endpoint {
  readonly dispatcher: Dispatcher;
  readonly path: string;
  /** Opens a connection for a request that follows soon; fails quietly. */
  readonly prepare?: () => void;
  /** See `assertionAudience`. */
  readonly audience: string;
  /** Names the server in failure messages. */
  readonly place?: Place | undefined;
}

type Failure = Exclude<TokenResponse, { kind: 'token' }>;

export interface CredentialOptions extends SecretFailoverOptions {
  readonly name: string;
  /** `id.aritma.io:443`, for failures that happen before a request is sent. */
  readonly host?: string | undefined;
  /** Finds the token endpoint; a failure here counts as a failed token request. */
  readonly locate: () => Promise<Endpoint | Failure>;
  /** Reads the client secrets again from their sources; absent = they cannot change. */
  readonly secretsNow?: (() => readonly ClientSecret[] | Promise<readonly ClientSecret[]>) | undefined;
  /** Called when the endpoint or a verification did not work: what `locate` caches may be out of date. */
  readonly onUnusable?: () => void;
  /** Verifies a token before it is used; absent = no verification. */
  readonly verify?: Verify | undefined;
  /** Extra form parameters of every request. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Time limit of one request, ms. */
  readonly deadlineMs: number;
  /** Called after every request to the token endpoint. `result` is from a closed list. */
  readonly onRequest?: (result: string, seconds: number) => void;
}

/** The requested scope, audience (RFC 8693) and resource (RFC 8707); `undefined` leaves the parameter out. */
export interface TokenTarget {
  readonly scope: string | undefined;
  readonly audience: string | undefined;
  readonly resource: string | undefined;
}

export interface Credential {
  readonly name: string;
  /**
   * Requests one token; tries each client secret at most once. When the server refuses one, the secrets are read again
   * from their sources, so a secret that was just replaced is tried, too. Never throws.
   */
  fetchToken(target: TokenTarget): Promise<TokenResponse>;
  /** Opens a connection, so that the next `fetchToken` is one round trip. Sends no token request; fails quietly. */
  prepare(): void;
  /** The client secret that the server accepted last, unless it has refused it since. */
  accepted(): ClientSecret | undefined;
  /** The client secrets that the server has not refused, those of older configurations last; it may not have been asked with them yet. */
  unrefused(): ClientSecret[];
  /** Expiry of the assertion in its file, epoch ms; undefined without one. */
  assertionExpiresAt(): number | undefined;
  /** For `/status`: fingerprints only. */
  secretsInUse(): { name: string; fingerprint: string; inUse: boolean }[];
}

/** Five configured secrets, and three from before reloads or that appear during the tries. More tries risk a lock-out by the server. */
const MAX_TRIES = 8;

/** For a defect in this code: the token source expects a response and no exception. */
const INTERNAL: TokenResponse = { kind: 'unavailable', result: 'internal' };

/**
 * Creates a credential; no request is sent yet.
 * @example
 * const response = await createCredential(options).fetchToken({ scope: 'api', audience: undefined, resource: undefined });
 * if (response.kind === 'token') use(response.authorization);
 */
export function createCredential(options: CredentialOptions): Credential {
  const clientSecrets = createSecretFailover(options);

  async function tryClientSecret(clientSecret: ClientSecret, aim: Aim): Promise<TokenResponse> {
    const startedAt = performance.now();
    const response = await sendOne(options, clientSecret, aim);
    const result = response.kind === 'token' ? 'ok' : response.result;
    options.onRequest?.(result, (performance.now() - startedAt) / 1000);
    if (response.kind === 'token') clientSecrets.accept(clientSecret);
    else if (result === 'invalid_client') {
      if (options.secretsNow) clientSecrets.replace(await options.secretsNow());
      clientSecrets.refuse(clientSecret);
    }
    return response;
  }

  async function tryClientSecrets(endpoint: Endpoint, target: TokenTarget): Promise<TokenResponse> {
    const tried = new Set<string>();
    for (;;) {
      const next = clientSecrets.candidates().find(({ fingerprint }) => !tried.has(fingerprint));
      if (!next || tried.size === MAX_TRIES) return { kind: 'rejected', result: 'invalid_client' };
      tried.add(next.fingerprint);
      const response = await tryClientSecret(next, { endpoint, target });
      // Only this code blames the client secret; any other error would repeat with the next one.
      if (response.kind === 'token' || response.result !== 'invalid_client') return response;
    }
  }

  async function fetchToken(target: TokenTarget): Promise<TokenResponse> {
    const endpoint = await options.locate();
    if ('kind' in endpoint) {
      options.onRequest?.(endpoint.result, 0);
      return endpoint;
    }
    const response = await tryClientSecrets(endpoint, target);
    const refusal = response.kind === 'token' ? await options.verify?.(response.authorization) : undefined;
    // Also when a token does not pass: the issuer may have moved its keys.
    if (blamesEndpoint(refusal ?? response)) options.onUnusable?.();
    return refusal ?? response;
  }

  return {
    name: options.name,
    prepare: () => void prepareAt(options).catch(() => undefined),
    fetchToken: async (target) => withFailure(await fetchToken(target).catch(() => INTERNAL), undefined, options.host),
    accepted: clientSecrets.accepted,
    unrefused: clientSecrets.unrefused,
    assertionExpiresAt: () => options.clientSecrets[0]?.expiresAt?.(),
    secretsInUse: () =>
      clientSecrets.all().map((clientSecret) => ({
        ...{ name: clientSecret.name, fingerprint: clientSecret.fingerprint },
        inUse: clientSecrets.isInUse(clientSecret),
      })),
  };
}

interface Aim {
  readonly endpoint: Endpoint;
  readonly target: TokenTarget;
}

/** An assertion that cannot be read or has expired says nothing of the endpoint: no request was sent. */
function blamesEndpoint(response: TokenResponse): boolean {
  if (response.kind === 'unavailable') return !response.result.startsWith('assertion_');
  return response.kind === 'malformed';
}

async function prepareAt({ locate }: CredentialOptions): Promise<void> {
  const endpoint = await locate();
  if ('path' in endpoint) endpoint.prepare?.();
}

async function sendOne(
  { parameters, deadlineMs, clock }: CredentialOptions,
  clientSecret: ClientSecret,
  { endpoint, target }: Aim,
): Promise<TokenResponse> {
  const form = grantForm(target, parameters);
  const headers: Record<string, string> = {};
  const failed = await clientSecret.authenticate({ form, headers, audience: endpoint.audience });
  if (failed) return failed;
  const { dispatcher, path, place } = endpoint;
  // Discovery, and secrets that were refused, took their time before it.
  const since = clock.now();
  const now = () => clock.now().wallMs;
  const response = await sendTokenRequest({ dispatcher, path, form, headers, deadlineMs, place, now });
  return response.kind === 'token' ? { ...response, since } : response;
}

/** Returns the form of a token request (RFC 6749 §4.4.2), still without client authentication. */
export function grantForm(target: TokenTarget, parameters: Readonly<Record<string, string>> = {}): URLSearchParams {
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...parameters });
  for (const parameter of ['scope', 'audience', 'resource'] as const) {
    const value = target[parameter];
    if (value !== undefined) form.set(parameter, value);
  }
  return form;
}
