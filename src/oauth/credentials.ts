/**
 * A credential: one client id with its secrets in order. Knows which secret the server accepts at present and falls
 * over to the next on `invalid_client`, which is what lets a secret be rotated without a gap.
 */
import type { Dispatcher } from 'undici';
import type { Secret } from '../secret.ts';
import type { ClientAuth } from './client-auth.ts';
import { sendTokenRequest, type TokenAnswer } from './token-endpoint.ts';

export interface NamedSecret {
  /** A bounded name for metrics: the position in the configuration. */
  readonly name: string;
  readonly value: Secret;
}

export interface CredentialOptions {
  readonly name: string;
  readonly clientId: string;
  readonly auth: ClientAuth;
  readonly secrets: readonly NamedSecret[];
  readonly dispatcher: Dispatcher;
  /** Path of the token endpoint. */
  readonly path: string;
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
  /** One grant, tried with each secret at most once. Never throws. */
  fetchToken(target: TokenTarget): Promise<TokenAnswer>;
  /** For `/status`: fingerprints only. */
  secretsInUse(): { name: string; fingerprint: string; inUse: boolean }[];
}

export function createCredential(options: CredentialOptions): Credential {
  const { secrets } = options;
  let accepted: NamedSecret | undefined;

  async function fetchToken(target: TokenTarget): Promise<TokenAnswer> {
    let answer: TokenAnswer = { kind: 'rejected', result: 'invalid_client' };
    for (const secret of preferring(secrets, accepted)) {
      const startedAt = performance.now();
      answer = await sendOne(options, secret, target);
      const result = answer.kind === 'token' ? 'ok' : answer.result;
      options.onRequest?.(result, (performance.now() - startedAt) / 1000);
      if (answer.kind === 'token') accepted = secret;
      // Only this code says the secret is the problem; any other would be the same with the next one.
      if (result !== 'invalid_client') return answer;
    }
    accepted = undefined;
    return answer;
  }

  return {
    name: options.name,
    fetchToken,
    secretsInUse: () =>
      secrets.map((secret) => ({
        name: secret.name,
        fingerprint: secret.value.fingerprint(),
        inUse: secret === accepted,
      })),
  };
}

function preferring(secrets: readonly NamedSecret[], first: NamedSecret | undefined): readonly NamedSecret[] {
  return first === undefined ? secrets : [first, ...secrets.filter((secret) => secret !== first)];
}

function sendOne(options: CredentialOptions, secret: NamedSecret, target: TokenTarget): Promise<TokenAnswer> {
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  for (const parameter of ['scope', 'audience', 'resource'] as const) {
    const value = target[parameter];
    if (value !== undefined) form.set(parameter, value);
  }
  const headers: Record<string, string> = {};
  options.auth({ clientId: options.clientId, secret: secret.value }, form, headers);
  return sendTokenRequest({
    dispatcher: options.dispatcher,
    path: options.path,
    form,
    headers,
    deadlineMs: options.deadlineMs,
  });
}
