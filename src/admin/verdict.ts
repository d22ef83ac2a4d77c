/**
 * Do calls work, per route? What calls met in the last minutes and what is known now, as one verdict that the page, `/status`, the
 * metric and the command `status` all tell. Readiness is another question: a restart helps no API.
 */
import { ERRORS } from '../core/errors.ts';
import type { Words } from '../core/failure.ts';
import type { StatusInput, TokenView } from './status-input.ts';

/** In the order in which one is worse than the other. */
export type State = 'works' | 'warning' | 'fails';

export interface RouteVerdict extends Partial<Words> {
  readonly state: State;
  /** What and where, in one sentence without its full stop. */
  readonly message: string;
  /** Epoch ms; absent where all is well, or nobody knows. */
  readonly since?: number | undefined;
}

type Route = StatusInput['routes'][number];

/** A failure that nobody has met for so long says nothing of now. */
const RECENT_MS = 300_000;

/** What a caller of this route would meet now. The worst of what is known. */
export function verdictOf(route: Route, input: StatusInput): RouteVerdict {
  const found = [ofProcess(input), ofToken(route, input), ofAudit(input), ofCalls(route, input)].flatMap(
    (one) => one ?? [],
  );
  const of = (state: State) => found.find((one) => one.state === state);
  return of('fails') ?? of('warning') ?? { state: 'works', message: worksBecause(route) };
}

function worksBecause({ history: { last } }: Route): string {
  return last.successAt === undefined ? 'a valid token is at hand; nothing has been called yet' : 'calls get responses';
}

function ofProcess({ draining, listening }: StatusInput): RouteVerdict | undefined {
  if (draining) return { state: 'fails', cause: 'draining', message: 'the sidecar is stopping and takes no new calls' };
  return listening ? undefined : { state: 'fails', cause: 'starting', message: 'the sidecar is starting' };
}

/** Of the token that this route sends. */
function ofToken({ credential, scope }: Route, { tokens }: StatusInput): RouteVerdict | undefined {
  const token = tokens.find(({ key }) => key.credential === credential && key.scope === scope);
  if (token?.lastError === undefined || token.consecutiveFailures === 0) return undefined;
  const { lastError } = token;
  const met = lastError.failure ?? tableWords(lastError.code);
  const isUsable = token.state === 'fresh' || token.state === 'early';
  const message = isUsable
    ? `the token is valid until ${clock(token)}, but cannot be renewed: ${met.message}`
    : met.message;
  return { ...met, state: isUsable ? 'warning' : 'fails', message, since: lastError.since ?? lastError.at };
}

function clock({ expiresAt = 0 }: TokenView): string {
  return `${new Date(expiresAt).toISOString().slice(11, 16)} UTC`;
}

function ofAudit({ audit }: StatusInput): RouteVerdict | undefined {
  if (audit?.failing === undefined) return undefined;
  const { title, detail } = ERRORS.SIDECAR_AUDIT_FAILED;
  const refuses = audit.whenFailing === 'refuse';
  const so = refuses ? 'calls that change something get 503' : 'calls go on without it';
  return {
    state: refuses ? 'fails' : 'warning',
    cause: 'audit_failing',
    message: `${title} (${audit.failing}): ${so}`,
    fix: detail,
  };
}

/** What the last ones met: nothing has worked since, or some did not. */
function ofCalls({ history: { last, last5m } }: Route, { now }: StatusInput): RouteVerdict | undefined {
  const { failure, successAt = 0, failingSince } = last;
  if (failure === undefined || now - failure.at > RECENT_MS) return undefined;
  const met = failure.failure ?? (failure.code === undefined ? apiWords(failure.status) : tableWords(failure.code));
  if (failure.at >= successAt) return { ...met, state: 'fails', since: failingSince };
  const message = `${last5m.errors} of ${last5m.requests} calls of the last five minutes failed, the last: ${met.message}`;
  return { ...met, state: 'warning', message, since: failure.at };
}

function tableWords(code: string): Words {
  const row = Object.hasOwn(ERRORS, code) ? ERRORS[code as keyof typeof ERRORS] : ERRORS.SIDECAR_INTERNAL;
  return { cause: code.toLowerCase(), message: row.title, fix: row.detail };
}

function apiWords(status: number): Words {
  return {
    cause: 'api_error',
    message: `the API itself responds with HTTP ${status}`,
    fix: 'ask whoever runs the API about its state; the sidecar forwards its responses unchanged',
  };
}

/** Whether the sidecar as a whole lets calls through: its worst route. */
export function worst(states: readonly State[]): State {
  const has = (state: State) => states.includes(state);
  return has('fails') ? 'fails' : has('warning') ? 'warning' : 'works';
}
