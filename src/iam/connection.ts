/**
 * Connects to Aritma IAM as configured: its address, the network settings, and the credential for its tokens.
 */

import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { systemClock } from '../core/clock.ts';
import { SidecarError } from '../core/errors.ts';
import type { Secret } from '../core/secret.ts';
import { createEgress } from '../net/egress.ts';
import { createIdentity } from '../oauth/credentials.ts';
import type { Token } from '../oauth/token.ts';
import { createTokenCache } from '../oauth/token-cache.ts';
import type { IamConnection } from './request.ts';

export interface OpenIam extends AsyncDisposable {
  readonly connection: IamConnection;
}

/** Enough: commands and rotations send one request at a time. */
const CONNECTIONS = 2;

/**
 * Connects with tokens of a credential, `iam.credential` by default. Dispose of it to close connections and token
 * refresh.
 * @throws SidecarError CONFIG_INVALID when no IAM is configured
 * @example
 * await using iam = connectIam(loadConfig());
 * const client = await createIamApi(iam.connection).client('my-erp');
 */
export function connectIam(loaded: LoadedConfig, credential = loaded.config.iam?.credential ?? 'default'): OpenIam {
  const { token } = loaded.config;
  const iam = iamOf(loaded);
  const clock = systemClock;
  const identity = createIdentity({ loaded, clock });
  const nothing = () => undefined;
  const tokens = createTokenCache({
    fetchToken: (key) => identity.credential(key.credential).fetchToken(key),
    eventsFor: () => ({ lookup: nothing, obtained: nothing, failed: nothing }),
    refreshBeforeMs: token.refreshBefore,
    waitMs: token.waitTimeout,
    clock,
    random: Math.random,
  });
  const source = tokens.open({ credential, scope: iam.scope, audience: undefined, resource: undefined });
  let last: Token | undefined;
  return connect(loaded, {
    async authorize(refused) {
      const stale = refused && last?.authorization.fingerprint() === refused.fingerprint() ? last : undefined;
      try {
        last = await (stale ? source.renew(stale) : source.getOnce());
      } catch (error) {
        throw aboutScope(error, { credential, scope: iam.scope });
      }
      return last.authorization;
    },
    async end() {
      tokens.close();
      await identity.end('destroy');
    },
  });
}

/** Explains a refused IAM scope. The doctor cannot: it tries a credential only with the scopes of its routes. */
function aboutScope(error: unknown, { credential, scope }: { credential: string; scope: string }): unknown {
  if (!(error instanceof SidecarError) || error.extras.failure?.cause !== 'token_invalid_scope') return error;
  const failure = {
    ...error.extras.failure,
    message: `the client of credentials.${credential} is not allowed the scope ${scope}, which Aritma IAM requires (invalid_scope)`,
    fix: `ask an administrator of the tenant to add ${scope} to the client’s allowedScopes, or set iam.credential to a credential that has it`,
  };
  return new SidecarError(error.code, { ...error.extras, failure });
}

/**
 * Connects with a given token. There is no other one, so a 401 is final.
 * @param authorization `Bearer` and the token
 * @throws SidecarError CONFIG_INVALID when no IAM is configured
 */
export function connectIamAs(loaded: LoadedConfig, authorization: Secret): OpenIam {
  return connect(loaded, { authorize: async () => authorization, end: async () => undefined });
}

interface Authority {
  readonly authorize: IamConnection['authorize'];
  end(): Promise<void>;
}

function connect(loaded: LoadedConfig, { authorize, end }: Authority): OpenIam {
  const { url, timeout } = iamOf(loaded);
  const egress = createEgress(url, { loaded, connections: CONNECTIONS, owner: 'iam' });
  return {
    connection: { dispatcher: egress.dispatcher, basePath: url.basePath, deadlineMs: timeout, authorize },
    async [Symbol.asyncDispose]() {
      await Promise.all([egress.destroy(), end()]);
    },
  };
}

function iamOf(loaded: LoadedConfig): NonNullable<Config['iam']> {
  const { iam } = loaded.config;
  if (iam) return iam;
  const message = 'is missing: set iam.url, ARITMA_IAM_URL, or an environment with a known IAM (dev, emulator)';
  throw new SidecarError('CONFIG_INVALID', { problems: [{ where: sourceOf(loaded), path: 'iam', message }] });
}

/**
 * Where a missing or wrong option belongs, for a problem's `where`: the file, or `flags and environment` without one.
 */
export function sourceOf({ file }: Pick<LoadedConfig, 'file'>): string {
  return file ?? 'flags and environment';
}
