/**
 * What operators and probes are told, as pure functions of snapshots: nothing here can reach a token or a secret,
 * because nothing that holds one is handed in.
 */
import type { StatusInput, TokenView } from './status-input.ts';
import { verdictOf } from './verdict.ts';

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
    listen: input.listen,
    draining: input.draining,
    inFlight: input.inFlight,
    warnings: input.warnings,
    audit: input.audit,
    unsafe: input.unsafe,
    generation: input.generation,
    lastReload: input.lastReload && { ...input.lastReload, at: iso(input.lastReload.at) },
    routes: input.routes.map((route) => {
      const { history, ...shown } = route;
      const { last5m, last30m } = history;
      const verdict = verdictOf(route, input);
      return { ...shown, verdict: { ...verdict, since: iso(verdict.since) }, last5m, last30m };
    }),
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
