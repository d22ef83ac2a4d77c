/**
 * Do calls work, per route? Combines the results of recent calls with the current state into one verdict, which the
 * page, `/status`, `/readyz`, the metric and the command `status` show. Readiness does not depend on it: a restart
 * repairs no API.
 */
import { ERRORS, type ErrorCode } from '../core/errors.ts';
import type { Words } from '../core/failure.ts';
import type { LastFailure } from './history-view.ts';
import type { StatusInput, TokenView } from './status-input.ts';

/** From best to worst. */
export type State = 'works' | 'warning' | 'fails';

export interface RouteVerdict extends Partial<Words> {
  readonly state: State;
  /** Where the problem is: the sidecar itself, its audit log, the token, the API. */
  readonly from: 'sidecar' | 'audit' | 'token' | 'api';
  /** Error code for callers; absent when calls work, and for an error response of the API itself. */
  readonly code?: ErrorCode | undefined;
  /** What is wrong and where, as a clause without its full stop. */
  readonly message: string;
  /** Epoch ms; absent when calls work or it is unknown. For calls: the first failure after the last success. */
  readonly since?: number | undefined;
}

type Route = StatusInput['routes'][number];

/** An older result no longer describes the present. */
const RECENT_MS = 300_000;
/** Failures in a row that make a verdict, for failures that can hit a single call. */
const NO_COINCIDENCE = 3;

/** Returns what a caller of this route gets now: the worst known problem; among equals, the most fundamental. */
export function verdictOf(route: Route, input: StatusInput): RouteVerdict {
  const known = [ofProcess, ofToken, ofAudit, ofLoad, ofCalls].flatMap((look) => look(route, input) ?? []);
  const find = (state: State) => known.find((verdict) => verdict.state === state);
  return find('fails') ?? find('warning') ?? { state: 'works', ...working(route, input) };
}

/** Returns the worst of several states; `works` for none. */
export function worst(states: readonly State[]): State {
  const has = (state: State) => states.includes(state);
  return has('fails') ? 'fails' : has('warning') ? 'warning' : 'works';
}

function working(route: Route, input: StatusInput): Pick<RouteVerdict, 'from' | 'message'> {
  const { successAt } = route.history.last;
  const token = tokenOf(route, input);
  if (token && !isUsable(token)) return { from: 'token', message: 'the token is being fetched; calls wait for it' };
  if (successAt === undefined) return { from: 'token', message: 'there is a valid token; no calls yet' };
  const isQuiet = input.now - successAt > RECENT_MS;
  const quiet = `no calls since ${clockTime(successAt, input.now)}; the last call got a response`;
  return { from: 'api', message: isQuiet ? quiet : 'calls get responses' };
}

function ofProcess(_route: Route, { draining, listening }: StatusInput): RouteVerdict | undefined {
  const fails = { state: 'fails', from: 'sidecar', code: 'SIDECAR_STOPPED' } as const;
  if (draining)
    return {
      ...fails,
      cause: 'draining',
      message: 'the sidecar is stopping and soon accepts no new calls',
      fix: 'start it again if nobody meant to stop it',
    };
  const starting = { cause: 'starting', message: 'the sidecar is starting', fix: 'wait until it listens' };
  return listening ? undefined : { ...fails, ...starting };
}

function isUsable({ state }: TokenView): boolean {
  return state === 'fresh' || state === 'early';
}

/** The token of this route. */
function tokenOf({ credential, scope, audience, resource }: Route, { tokens }: StatusInput): TokenView | undefined {
  return tokens.find(
    ({ key }) =>
      key.credential === credential && key.scope === scope && key.audience === audience && key.resource === resource,
  );
}

function ofToken(route: Route, input: StatusInput): RouteVerdict | undefined {
  const token = tokenOf(route, input);
  if (token === undefined || token.consecutiveFailures === 0) return undefined;
  const { lastError, expiresAt } = token;
  const code = codeOf(lastError?.code) ?? 'TOKEN_UNAVAILABLE';
  const met = { ...(lastError?.failure ?? tableWords(code)), from: 'token', code } as const;
  const since = lastError?.since ?? lastError?.at;
  if (!isUsable(token)) return verdict('fails', met, since);
  const message = `the token is valid until ${clockTime(expiresAt, input.now)}, but its refresh fails: ${met.message}`;
  return verdict('warning', { ...met, message }, since);
}

type Met = Pick<RouteVerdict, 'from' | 'code'> & Words;

/** Copies only these members of the failure. */
function verdict(state: State, { from, code, cause, message, fix }: Met, since: number | undefined): RouteVerdict {
  return { state, from, ...(code && { code }), cause, message, fix, since };
}

/** With `whenFailing: refuse`, calls that only read go on. */
function ofAudit({ allow, history }: Route, { audit }: StatusInput): RouteVerdict | undefined {
  if (audit?.failing === undefined) return undefined;
  const code = 'SIDECAR_AUDIT_FAILED';
  const changes = allow === undefined || !allow.every((entry) => /^(?:GET|HEAD|OPTIONS) /.test(entry));
  const refuses = audit.whenFailing === 'refuse';
  const consequence = refuses
    ? `calls that change something get 503${changes ? '' : ', but this route allows none'}`
    : 'calls continue without it';
  const { message: problem, fix } = tableWords(code);
  const message = `${problem} (${audit.failing}): ${consequence}`;
  const met = { from: 'audit', code, cause: 'audit_failing', message, fix } as const;
  const { failure, failingSince } = history.last;
  return verdict(refuses && changes ? 'fails' : 'warning', met, failure?.code === code ? failingSince : undefined);
}

/** Overload refuses requests before their route is known, so it concerns all routes. */
function ofLoad(_route: Route, { recentErrors, now }: StatusInput): RouteVerdict | undefined {
  const code = 'SIDECAR_OVERLOADED';
  const shed = recentErrors.filter((error) => error.code === code && now - error.at <= RECENT_MS);
  const since = shed.at(-1)?.at;
  return since === undefined ? undefined : verdict('warning', { ...tableWords(code), from: 'sidecar', code }, since);
}

/** The results of recent calls. */
function ofCalls(route: Route, input: StatusInput): RouteVerdict | undefined {
  const { failure, failingSince, successAt } = route.history.last;
  if (failure === undefined) return undefined;
  const met = metBy(failure);
  const isOver = failingSince === undefined || isRemedied(failure, route, input);
  const isRecent = failure.agoMs <= RECENT_MS;
  if (isRecent && !isOver && (isClear(failure) || successAt === undefined)) return verdict('fails', met, failingSince);
  const { failed5m, calls5m } = failure;
  const some = `${failed5m} of ${calls5m} calls failed in the last five minutes. Last failure: ${met.message}`;
  if (failed5m > 0) return verdict('warning', { ...met, message: some }, failingSince ?? failure.at);
  if (isOver) return undefined;
  const quiet = `no calls since ${clockTime(failure.at, input.now)}, and the last call failed: ${met.message}`;
  return verdict('warning', { ...met, message: quiet }, failingSince);
}

/** A 401 or a full queue may concern a single call while others work. */
function isClear({ code, status, inARow }: LastFailure): boolean {
  const isOfOne = code === 'UPSTREAM_BUSY' || (code === undefined && status === 401);
  return !isOfOne || inARow >= NO_COINCIDENCE;
}

/** True if the cause of the failure is known to be gone, even without a later call. */
function isRemedied({ code }: LastFailure, route: Route, input: StatusInput): boolean {
  const token = tokenOf(route, input);
  if (code === 'TOKEN_UNAVAILABLE' || code === 'CREDENTIALS_REJECTED') return token !== undefined && isUsable(token);
  return code === 'SIDECAR_AUDIT_FAILED' && input.audit?.failing === undefined;
}

function metBy({ code, status, failure }: LastFailure): Met {
  const isRefusal = code === undefined && status === 401;
  const own = isRefusal ? 'UPSTREAM_REFUSED_TOKEN' : codeOf(code);
  if (own === undefined) return { from: 'api', ...apiWords(status) };
  const from = /^(?:TOKEN|CREDENTIALS)_/.test(own) ? 'token' : own.startsWith('UPSTREAM_') ? 'api' : 'sidecar';
  return { ...(failure ?? tableWords(own)), from: own === 'SIDECAR_AUDIT_FAILED' ? 'audit' : from, code: own };
}

/** A code outside of the table is a bug. */
function codeOf(code: string | undefined): ErrorCode | undefined {
  if (code === undefined) return undefined;
  return Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'SIDECAR_INTERNAL';
}

function tableWords(code: ErrorCode): Words {
  const { title, detail } = ERRORS[code];
  return { cause: code.toLowerCase(), message: asClause(title), fix: asClause(detail) };
}

/** Turns a sentence of the table into a clause. */
function asClause(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1).replace(/\.$/, '');
}

function apiWords(status: number): Words {
  return {
    cause: 'api_error',
    message: `the API responds with HTTP ${status}`,
    fix: 'ask the operator of the API; the sidecar forwards its responses unchanged',
  };
}

const HOUR_MS = 3_600_000;

/** Formats `00:34 UTC`, with the date if 12 hours or more away. Times may come from servers, so they may be invalid. */
function clockTime(epochMs: number | undefined, now: number): string {
  const date = new Date(epochMs ?? Number.NaN);
  if (Number.isNaN(date.getTime())) return 'an unknown time';
  const text = date
    .toISOString()
    .replace('T', ' ')
    .replace(/:[^:]*$/, ' UTC');
  return Math.abs(date.getTime() - now) < 12 * HOUR_MS ? text.replace(/^\S+ /, '') : text;
}
