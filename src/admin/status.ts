/**
 * What operators and probes are told, as pure functions of snapshots: nothing here can reach a token or a secret,
 * because nothing that holds one is handed in.
 */
import type { Failure } from '../core/failure.ts';
import type { RecentError, RouteHistory } from './history.ts';

export interface TokenView {
  readonly key: { readonly credential: string; readonly scope: string | undefined };
  readonly state: 'fresh' | 'early' | 'expired' | 'none';
  readonly expiresAt: number | undefined;
  /** When it is fetched next by itself; past while that is under way. */
  readonly refreshAt?: number | undefined;
  readonly lastSuccessAt: number | undefined;
  readonly lastError:
    | {
        readonly code: string;
        readonly result: string;
        readonly at: number;
        /** Since when nothing has succeeded. */
        readonly since?: number | undefined;
        readonly failure?: Failure | undefined;
      }
    | undefined;
  readonly consecutiveFailures: number;
  readonly generation: number;
}

export interface StatusInput {
  readonly version: string;
  readonly environment: string;
  /** Epoch ms. */
  readonly startedAt: number;
  readonly now: number;
  readonly listening: boolean;
  readonly draining: boolean;
  readonly startup: 'lenient' | 'strict';
  readonly inFlight: number;
  readonly warnings: readonly string[];
  /** Where the audit log is; undefined when there is none. */
  readonly audit?:
    | { readonly file: string; readonly seq: number; readonly hash: string; readonly failing: string | undefined }
    | undefined;
  /** Options that switch a protection off, by name. */
  readonly unsafe: readonly string[];
  /** Of the configuration, from 1. */
  readonly generation: number;
  readonly lastReload:
    | { readonly at: number; readonly result: string; readonly problems: readonly string[] }
    | undefined;
  readonly routes: readonly {
    readonly path: string;
    readonly upstream: string;
    readonly credential: string;
    readonly scope: string | undefined;
    readonly allow: readonly string[] | undefined;
    readonly history: RouteHistory;
  }[];
  /** Latest first. */
  readonly recentErrors: readonly RecentError[];
  readonly credentials: readonly {
    readonly name: string;
    readonly clientId: string;
    readonly secrets: readonly {
      readonly name: string;
      readonly fingerprint: string;
      readonly inUse: boolean;
      /** Epoch ms; undefined where nobody has said. */
      readonly expiresAt?: number | undefined;
    }[];
    /** How the sidecar itself replaces the first secret; undefined when it does not. Epoch ms. */
    readonly rotation?:
      | {
          readonly state: 'idle' | 'overlap' | 'failing';
          readonly rotatedAt: number | undefined;
          readonly nextAt: number | undefined;
          readonly lastError: { readonly code: string; readonly at: number } | undefined;
        }
      | undefined;
  }[];
  readonly tokens: readonly TokenView[];
  readonly upstreams: readonly {
    readonly origin: string;
    readonly connected: number;
    readonly running: number;
    readonly queued: number;
  }[];
}

export interface Verdict {
  readonly ok: boolean;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * Could a request be served now? Never asks the identity server: with a valid token it says yes even if that is down.
 */
export function readiness(input: StatusInput): Verdict {
  const credentials = input.tokens.map((token) => ({
    credential: token.key.credential,
    scope: token.key.scope,
    ready: isUsable(token) || token.consecutiveFailures === 0,
    error: isUsable(token) ? undefined : token.lastError?.code,
  }));
  const ok = input.listening && !input.draining && credentials.every(({ ready }) => ready);
  return { ok, body: { ready: ok, listening: input.listening, draining: input.draining, credentials } };
}

/** Has it started? Strict start-up also waits for the first token of every credential. */
export function startedUp(input: StatusInput): Verdict {
  const tokens = input.startup === 'lenient' || input.tokens.every(({ generation }) => generation > 0);
  const ok = input.listening && tokens;
  return { ok, body: { started: ok, listening: input.listening, tokens } };
}

/** What `/status` returns and the page shows. */
export type Status = ReturnType<typeof status>;

/** The whole picture, for `/status`. Times are ISO 8601. */
export function status(input: StatusInput) {
  return {
    now: iso(input.now),
    version: input.version,
    environment: input.environment,
    startedAt: iso(input.startedAt),
    uptimeS: Math.floor((input.now - input.startedAt) / 1000),
    ready: readiness(input).ok,
    listening: input.listening,
    draining: input.draining,
    inFlight: input.inFlight,
    warnings: input.warnings,
    audit: input.audit,
    unsafe: input.unsafe,
    generation: input.generation,
    lastReload: input.lastReload && { ...input.lastReload, at: iso(input.lastReload.at) },
    routes: input.routes.map(({ history, ...route }) => ({ ...route, ...history })),
    credentials: input.credentials.map((credential) => ({
      ...credential,
      secrets: credential.secrets.map((secret) => ({ ...secret, expiresAt: iso(secret.expiresAt) })),
      rotation: credential.rotation && {
        ...credential.rotation,
        rotatedAt: iso(credential.rotation.rotatedAt),
        nextAt: iso(credential.rotation.nextAt),
        lastError: credential.rotation.lastError && {
          ...credential.rotation.lastError,
          at: iso(credential.rotation.lastError.at),
        },
      },
      tokens: input.tokens
        .filter(({ key }) => key.credential === credential.name)
        .map((token) => describe(token, input.now)),
    })),
    upstreams: input.upstreams,
    recentErrors: input.recentErrors.map((error) => ({ ...error, at: iso(error.at) })),
  };
}

function isUsable(token: TokenView): boolean {
  return token.state === 'fresh' || token.state === 'early';
}

function describe(token: TokenView, now: number) {
  return {
    scope: token.key.scope,
    state: token.state,
    expiresAt: iso(token.expiresAt),
    expiresInS: token.expiresAt === undefined ? undefined : Math.floor((token.expiresAt - now) / 1000),
    refreshAt: iso(token.refreshAt),
    lastSuccessAt: iso(token.lastSuccessAt),
    lastError: token.lastError && {
      ...token.lastError,
      at: iso(token.lastError.at),
      since: iso(token.lastError.since),
    },
    consecutiveFailures: token.consecutiveFailures,
    generation: token.generation,
  };
}

function iso(epochMs: number): string;
function iso(epochMs: number | undefined): string | undefined;
/** Some of these come from servers: what is no date must not cost the whole picture. */
function iso(epochMs: number | undefined): string | undefined {
  const date = new Date(epochMs ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
