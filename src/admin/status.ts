/**
 * Responses for operators and probes, as pure functions of snapshots. They cannot leak a token or a secret: no input
 * contains one.
 */
import type { RecentError } from './error-history.ts';
import type { StatusInput, TokenView } from './status-input.ts';
import { verdictOf, worst } from './verdict.ts';

export interface Verdict {
  readonly ok: boolean;
  readonly body: Readonly<Record<string, unknown>>;
}

/**
 * Can the sidecar serve a request now? Never asks the identity server: with a valid token it is ready even if that is
 * down. The body shows whether calls work per route, but readiness does not depend on it: a restart repairs no API.
 */
export function readiness(input: StatusInput): Verdict {
  const { listening, draining, tokens } = input;
  const credentials = tokens.map((token) => ({
    credential: token.key.credential,
    scope: token.key.scope,
    ready: isReady(token),
    error: isUsable(token) ? undefined : token.lastError?.code,
  }));
  const routes = input.routes.map((route) => ({ path: route.path, state: verdictOf(route, input).state }));
  const ok = isServing(input);
  return { ok, body: { ready: ok, listening, draining, credentials, routes } };
}

function isServing({ listening, draining, tokens }: StatusInput): boolean {
  return listening && !draining && tokens.every(isReady);
}

function isReady(token: TokenView): boolean {
  return isUsable(token) || token.consecutiveFailures === 0;
}

/** Has the sidecar started? With strict startup, only after the first token of every credential. */
export function startedUp(input: StatusInput): Verdict {
  const tokens = input.startup === 'lenient' || input.tokens.every(({ generation }) => generation > 0);
  const ok = input.listening && tokens;
  return { ok, body: { started: ok, listening: input.listening, tokens } };
}

/** Content of `/status` and of the page. */
export type Status = ReturnType<typeof status>;

/** Returns the content of `/status`. Times are ISO 8601. */
export function status(input: StatusInput) {
  const routes = input.routes.map((route) => describeRoute(route, input));
  const states = routes.map(({ verdict }) => verdict.state);
  return {
    now: iso(input.now),
    version: input.version,
    environment: input.environment,
    startedAt: iso(input.startedAt),
    uptimeS: Math.floor((input.now - input.startedAt) / 1000),
    ready: isServing(input),
    verdict: { state: worst(states), failing: states.filter((state) => state === 'fails').length },
    listening: input.listening,
    listen: input.listen,
    draining: input.draining,
    inFlight: input.inFlight,
    ...{ warnings: input.warnings, audit: input.audit, unsafe: input.unsafe },
    fleet: input.fleet && { ...input.fleet, since: iso(input.fleet.since) },
    generation: input.generation,
    lastReload: input.lastReload && { ...input.lastReload, at: iso(input.lastReload.at) },
    routes,
    credentials: input.credentials.map((credential) => ({
      ...credential,
      assertionExpiresAt: iso(credential.assertionExpiresAt),
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
    recentErrors: input.recentErrors.map(dated),
    errorGroups: input.errorGroups.map(({ count, firstAt, latest }) => ({
      count,
      firstAt: iso(firstAt),
      latest: dated(latest),
    })),
    unknownOutcomes: input.unknownOutcomes.map(dated),
  };
}

function describeRoute(route: StatusInput['routes'][number], input: StatusInput) {
  const { history, ...shown } = route;
  const { last5m, last30m } = history;
  const verdict = verdictOf(route, input);
  return { ...shown, verdict: { ...verdict, since: iso(verdict.since) }, last5m, last30m };
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
    source: token.source,
  };
}

function dated(error: RecentError) {
  return { ...error, at: iso(error.at) };
}

function iso(epochMs: number): string;
function iso(epochMs: number | undefined): string | undefined;
/** Some times come from servers: an invalid one must not break the whole status. */
function iso(epochMs: number | undefined): string | undefined {
  const date = new Date(epochMs ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
