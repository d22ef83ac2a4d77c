/**
 * Do calls work, per route? What calls met in the last minutes and what is known now, as one verdict that the page, `/status`,
 * `/readyz`, the metric and the command `status` all tell. Readiness is another question: a restart helps no API.
 */
import { ERRORS, type ErrorCode } from '../core/errors.ts';
import type { Words } from '../core/failure.ts';
import type { LastFailure } from './history-view.ts';
import type { StatusInput, TokenView } from './status-input.ts';

/** In the order in which one is worse than the other. */
export type State = 'works' | 'warning' | 'fails';

export interface RouteVerdict extends Partial<Words> {
  readonly state: State;
  /** Which link of the chain it is about: the sidecar itself, its audit log, the token, the API. */
  readonly from: 'sidecar' | 'audit' | 'token' | 'api';
  /** What callers get meanwhile; absent where all is well, and of an error response of the API itself. */
  readonly code?: ErrorCode | undefined;
  /** What and where, in one sentence without its full stop. */
  readonly message: string;
  /** Epoch ms; absent where all is well, or nobody knows. Of calls, the first failure after the last success. */
  readonly since?: number | undefined;
}

type Route = StatusInput['routes'][number];

/** What was met longer ago says nothing of now. */
const RECENT_MS = 300_000;
/** So many in a row are no coincidence, of failures that a call can meet where others work. */
const NO_COINCIDENCE = 3;

/** What a caller of this route would meet now: the worst of what is known, and of that the most fundamental. */
export function verdictOf(route: Route, input: StatusInput): RouteVerdict {
  const known = [ofProcess, ofToken, ofAudit, ofLoad, ofCalls].flatMap((look) => look(route, input) ?? []);
  const find = (state: State) => known.find((verdict) => verdict.state === state);
  return find('fails') ?? find('warning') ?? { state: 'works', ...working(route, input) };
}

/** The worst of several, as of all routes; nothing to serve works. */
export function worst(states: readonly State[]): State {
  const has = (state: State) => states.includes(state);
  return has('fails') ? 'fails' : has('warning') ? 'warning' : 'works';
}

function working(route: Route, input: StatusInput): Pick<RouteVerdict, 'from' | 'message'> {
  const { successAt } = route.history.last;
  const token = tokenOf(route, input);
  if (token && !isUsable(token)) return { from: 'token', message: 'a token is on its way; calls wait for it' };
  if (successAt === undefined)
    return { from: 'token', message: 'a valid token is at hand; nothing has been called yet' };
  const isQuiet = input.now - successAt > RECENT_MS;
  const quiet = `nothing has been called since ${clockTime(successAt, input.now)}; that call got a response`;
  return { from: 'api', message: isQuiet ? quiet : 'calls get responses' };
}

function ofProcess(_route: Route, { draining, listening }: StatusInput): RouteVerdict | undefined {
  const fails = { state: 'fails', from: 'sidecar', code: 'SIDECAR_STOPPED' } as const;
  if (draining)
    return {
      ...fails,
      cause: 'draining',
      message: 'the sidecar is stopping and takes no new calls',
      fix: 'start it again if that was not wanted',
    };
  const starting = { cause: 'starting', message: 'the sidecar is starting', fix: 'wait until it listens' };
  return listening ? undefined : { ...fails, ...starting };
}

function isUsable({ state }: TokenView): boolean {
  return state === 'fresh' || state === 'early';
}

/** The one that this route sends. */
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
  const message = `the token is valid until ${clockTime(expiresAt, input.now)}, but cannot be renewed: ${met.message}`;
  return verdict('warning', { ...met, message }, since);
}

type Met = Pick<RouteVerdict, 'from' | 'code'> & Words;

/** With nothing of what was met but these. */
function verdict(state: State, { from, code, cause, message, fix }: Met, since: number | undefined): RouteVerdict {
  return { state, from, ...(code && { code }), cause, message, fix, since };
}

/** While it is refused, calls that only read go on. */
function ofAudit({ allow, history }: Route, { audit }: StatusInput): RouteVerdict | undefined {
  if (audit?.failing === undefined) return undefined;
  const code = 'SIDECAR_AUDIT_FAILED';
  const changes = allow === undefined || !allow.every((entry) => /^(?:GET|HEAD|OPTIONS) /.test(entry));
  const refuses = audit.whenFailing === 'refuse';
  const consequence = refuses
    ? `calls that change something get 503${changes ? '' : ', and this route lets none through'}`
    : 'calls go on without it';
  const { message: problem, fix } = tableWords(code);
  const message = `${problem} (${audit.failing}): ${consequence}`;
  const met = { from: 'audit', code, cause: 'audit_failing', message, fix } as const;
  const { failure, failingSince } = history.last;
  return verdict(refuses && changes ? 'fails' : 'warning', met, failure?.code === code ? failingSince : undefined);
}

/** Requests are shed before their route is known, so it concerns all. */
function ofLoad(_route: Route, { recentErrors, now }: StatusInput): RouteVerdict | undefined {
  const code = 'SIDECAR_OVERLOADED';
  const shed = recentErrors.filter((error) => error.code === code && now - error.at <= RECENT_MS);
  const since = shed.at(-1)?.at;
  return since === undefined ? undefined : verdict('warning', { ...tableWords(code), from: 'sidecar', code }, since);
}

/** What the last ones met. */
function ofCalls(route: Route, input: StatusInput): RouteVerdict | undefined {
  const { failure, failingSince, successAt } = route.history.last;
  if (failure === undefined) return undefined;
  const met = metBy(failure);
  const isOver = failingSince === undefined || isRemedied(failure, route, input);
  const isRecent = failure.agoMs <= RECENT_MS;
  if (isRecent && !isOver && (isClear(failure) || successAt === undefined)) return verdict('fails', met, failingSince);
  const { failed5m, calls5m } = failure;
  const some = `${failed5m} of ${calls5m} calls of the last five minutes failed, the last: ${met.message}`;
  if (failed5m > 0) return verdict('warning', { ...met, message: some }, failingSince ?? failure.at);
  if (isOver) return undefined;
  const quiet = `nothing has been called since ${clockTime(failure.at, input.now)}, and that call failed: ${met.message}`;
  return verdict('warning', { ...met, message: quiet }, failingSince);
}

/** A 401, and a queue that was full, may be of one call alone where others work. */
function isClear({ code, status, inARow }: LastFailure): boolean {
  const isOfOne = code === 'UPSTREAM_BUSY' || (code === undefined && status === 401);
  return !isOfOne || inARow >= NO_COINCIDENCE;
}

/** Whether what stopped that call is known to be so no more, though nothing has been called since. */
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

/** What is not in the table is a defect. */
function codeOf(code: string | undefined): ErrorCode | undefined {
  if (code === undefined) return undefined;
  return Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'SIDECAR_INTERNAL';
}

function tableWords(code: ErrorCode): Words {
  const { title, detail } = ERRORS[code];
  return { cause: code.toLowerCase(), message: asClause(title), fix: asClause(detail) };
}

/** To go on with, or to stand in a sentence: `The API …` in the table. */
function asClause(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1).replace(/\.$/, '');
}

function apiWords(status: number): Words {
  return {
    cause: 'api_error',
    message: `the API itself responds with HTTP ${status}`,
    fix: 'ask whoever runs the API about its state; the sidecar forwards its responses unchanged',
  };
}

const HOUR_MS = 3_600_000;

/** `00:34 UTC`, with the day where it is another one's. Some times come from servers: what is none must not cost the whole. */
function clockTime(epochMs: number | undefined, now: number): string {
  const date = new Date(epochMs ?? Number.NaN);
  if (Number.isNaN(date.getTime())) return 'an unknown time';
  const text = date
    .toISOString()
    .replace('T', ' ')
    .replace(/:[^:]*$/, ' UTC');
  return Math.abs(date.getTime() - now) < 12 * HOUR_MS ? text.replace(/^\S+ /, '') : text;
}
