/**
 * A credential: one client id that gets tokens. Falls over to its next proof on `invalid_client` and comes back to an
 * earlier one when that works again, which is what lets a secret be rotated without a gap.
 */
import type { Dispatcher } from 'undici';
import type { Place } from '../net/place.ts';
import { type ClientSecret, createSecretFailover, type SecretFailoverOptions } from './secret-failover.ts';
import { accounted, sendTokenRequest } from './token-endpoint.ts';
import type { TokenResponse } from './token-response.ts';
import type { Verify } from './token-verifier.ts';

/** Where token requests go. */
export interface Endpoint {
  readonly dispatcher: Dispatcher;
  readonly path: string;
  /** Of assertions: as configured, else the issuer if known, else the URL of the token endpoint. */
  readonly audience: string;
  readonly place?: Place | undefined;
}

type Failure = Exclude<TokenResponse, { kind: 'token' }>;

export interface CredentialOptions extends SecretFailoverOptions {
  readonly name: string;
  /** Of its server, for the account of a failure that no request met. */
  readonly host?: string | undefined;
  /** Finds the token endpoint; a failure counts as a failure of the endpoint. */
  readonly locate: () => Promise<Endpoint | Failure>;
  /** What the sources of the client secrets hold at this moment; absent = they cannot change. */
  readonly secretsNow?: (() => readonly ClientSecret[]) | undefined;
  /** The endpoint could not be used: whatever `locate` keeps may be out of date. */
  readonly onUnusable?: () => void;
  /** Checks a token before it is used; absent = taken as it is. */
  readonly verify?: Verify | undefined;
  /** Sent with every request, beside the target's. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly deadlineMs: number;
  /** Told of every single request to the token endpoint. `result` is from a closed list. */
  readonly onRequest?: (result: string, seconds: number) => void;
}

/** What a token is asked for; `undefined` leaves the parameter out. */
export interface TokenTarget {
  readonly scope: string | undefined;
  readonly audience: string | undefined;
  readonly resource: string | undefined;
}

export interface Credential {
  readonly name: string;
  /**
   * One grant, tried with each client secret at most once. A refused one has its sources read again first, so that one that
   * was replaced a moment ago is tried before there is a verdict. Never throws.
   */
  fetchToken(target: TokenTarget): Promise<TokenResponse>;
  /** The proof the server accepted last, unless it has refused it since. */
  accepted(): ClientSecret | undefined;
  /** For `/status`: fingerprints only. */
  secretsInUse(): { name: string; fingerprint: string; inUse: boolean }[];
}

/** The five that can be configured, one that was replaced, and two that come while they are tried: servers lock out. */
const MAX_TRIES = 8;

/** The source waits for a response; it has no other kind for a bug in this code. */
const INTERNAL: TokenResponse = { kind: 'unavailable', result: 'internal' };

export function createCredential(options: CredentialOptions): Credential {
  const clientSecrets = createSecretFailover(options);

  async function tryClientSecret(
    clientSecret: ClientSecret,
    endpoint: Endpoint,
    target: TokenTarget,
  ): Promise<TokenResponse> {
    const startedAt = performance.now();
    const response = await sendOne(options, { clientSecret, endpoint, target });
    const result = response.kind === 'token' ? 'ok' : response.result;
    options.onRequest?.(result, (performance.now() - startedAt) / 1000);
    if (response.kind === 'token') clientSecrets.accept(clientSecret);
    else if (result === 'invalid_client') {
      if (options.secretsNow) clientSecrets.replace(options.secretsNow());
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
      const response = await tryClientSecret(next, endpoint, target);
      // Only this code says that the proof is the problem; any other would be the same with the next one.
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
    if (response.kind === 'unavailable' || response.kind === 'malformed') options.onUnusable?.();
    return response.kind === 'token' ? ((await options.verify?.(response.authorization)) ?? response) : response;
  }

  return {
    name: options.name,
    fetchToken: async (target) => accounted(await fetchToken(target).catch(() => INTERNAL), undefined, options.host),
    accepted: clientSecrets.accepted,
    secretsInUse: () =>
      clientSecrets.all().map((clientSecret) => ({
        name: clientSecret.name,
        fingerprint: clientSecret.fingerprint,
        inUse: clientSecret === clientSecrets.accepted(),
      })),
  };
}

async function sendOne(
  { parameters, deadlineMs, clock }: CredentialOptions,
  { clientSecret, endpoint, target }: { clientSecret: ClientSecret; endpoint: Endpoint; target: TokenTarget },
): Promise<TokenResponse> {
  const form = grantForm(target, parameters);
  const headers: Record<string, string> = {};
  await clientSecret.authenticate({ form, headers, audience: endpoint.audience });
  const { dispatcher, path, place } = endpoint;
  return sendTokenRequest({ dispatcher, path, form, headers, deadlineMs, place, now: () => clock.now().wallMs });
}

/** What is asked for (RFC 6749 §4.4.2), without the proof of who asks. */
export function grantForm(target: TokenTarget, parameters: Readonly<Record<string, string>> = {}): URLSearchParams {
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...parameters });
  for (const parameter of ['scope', 'audience', 'resource'] as const) {
    const value = target[parameter];
    if (value !== undefined) form.set(parameter, value);
  }
  return form;
}
