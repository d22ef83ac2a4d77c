/**
 * Tries the secrets of a credential, each once: servers lock out clients that fail repeatedly.
 */
import type { LoadedConfig } from '../config/load.ts';
import { type BaseUrl, parseBaseUrl } from '../config/parsers.ts';
import type { CredentialConfig } from '../config/schema.ts';
import { systemClock } from '../core/clock.ts';
import { createEgress, type Egress } from '../net/egress.ts';
import { placeOf } from '../net/place.ts';
import { assertionAudience } from '../oauth/client-auth.ts';
import { clientSecretsOf } from '../oauth/client-secrets.ts';
import { grantForm } from '../oauth/credential.ts';
import type { ClientSecret } from '../oauth/secret-failover.ts';
import type { TokenKey } from '../oauth/token.ts';
import { sendTokenRequest } from '../oauth/token-endpoint.ts';
import type { RawResponse, TokenResponse } from '../oauth/token-response.ts';
import { createVerifier } from '../oauth/token-verifier.ts';
import type { Reading } from './discovery.ts';

import { LIMIT_MS } from './request.ts';

export interface ApplicantOptions {
  readonly loaded: LoadedConfig;
  readonly settings: CredentialConfig;
  readonly endpoint: BaseUrl;
  readonly jwksUri: string | undefined;
}

/** One token request and its result. */
export interface Attempt {
  readonly secret: ClientSecret;
  readonly key: TokenKey;
  readonly response: TokenResponse;
  /** The response as received; undefined without one. */
  readonly raw: RawResponse | undefined;
  readonly reading: Reading | undefined;
}

export interface Applicant {
  readonly secrets: readonly ClientSecret[];
  ask(secret: ClientSecret, key: TokenKey): Promise<Attempt>;
  end(): Promise<void>;
}

/**
 * Requests tokens as the sidecar does: same connections, same form, same verdict. Call `end` to close the connections.
 */
export function createApplicant(name: string, options: ApplicantOptions): Applicant {
  const { loaded, settings, endpoint } = options;
  const owner = `credential ${name}`;
  const egresses: Egress[] = [];
  const open = (base: BaseUrl) => {
    const egress = createEgress(base, { loaded, connections: 4, maxBytes: 1024 * 1024, owner });
    egresses.push(egress);
    return egress.dispatcher;
  };
  const dispatcher = open(endpoint);
  const verify = createVerification(options, open);
  const audience = assertionAudience(settings);
  const place = placeOf({ base: endpoint, owner, option: 'tokenEndpoint' }, loaded, loaded.config.token.attemptTimeout);
  return {
    secrets: clientSecretsOf(settings, loaded.secrets.get(name) ?? [], { resolve: loaded.resolve, now: Date.now }),
    async ask(secret, key) {
      const form = grantForm(key, settings.parameters);
      const headers: Record<string, string> = {};
      const failed = await secret.authenticate({ form, headers, audience });
      if (failed) return { secret, key, response: failed, raw: undefined, reading: undefined };
      let raw: RawResponse | undefined;
      const deadlineMs = loaded.config.token.attemptTimeout;
      const response = await sendTokenRequest({
        dispatcher,
        path: endpoint.basePath || '/',
        form,
        headers,
        deadlineMs,
        onResponse(came) {
          raw = came;
        },
        place,
      });
      const reading = raw && { date: raw.headers['date'], at: Date.now() };
      const refused = response.kind === 'token' ? await verify?.(response.authorization) : undefined;
      return { secret, key, response: refused ?? response, raw, reading };
    },
    end: async () => void (await Promise.all(egresses.map((egress) => egress.destroy()))),
  };
}

/**
 * Tries the secrets in order. Continues after a success, to test the others; stops at an error that the next secret
 * would get too, and when half of the time for tokens is over.
 */
export async function tryAll(applicant: Applicant, key: TokenKey): Promise<Attempt[]> {
  const giveUpAt = performance.now() + LIMIT_MS.tokens / 2;
  const attempts: Attempt[] = [];
  for (const secret of applicant.secrets) {
    if (performance.now() > giveUpAt) break;
    const attempt = await applicant.ask(secret, key);
    attempts.push(attempt);
    const { response } = attempt;
    if (response.kind !== 'token' && response.result !== 'invalid_client') break;
  }
  return attempts;
}

function createVerification(
  { loaded, settings, jwksUri }: ApplicantOptions,
  open: (base: BaseUrl) => Egress['dispatcher'],
) {
  const { verify, issuer, audience } = settings;
  if (!verify || !issuer) return undefined;
  return createVerifier({
    issuer: issuer.text,
    audience,
    jwksUri: async () => jwksUri,
    dispatcherFor: (url) => open(parseBaseUrl(new URL(url).origin)),
    deadlineMs: Math.min(loaded.config.token.attemptTimeout, LIMIT_MS.keys),
    clock: systemClock,
  });
}
