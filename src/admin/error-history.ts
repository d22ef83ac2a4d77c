/**
 * Failed calls for the status page: the latest, all since the start in groups, and those that the API may or may not
 * have executed. Each list has its own size limit, so that a flood in one does not displace another.
 */
import type { Failure } from '../core/failure.ts';

/** All that is kept of a failed request. */
export interface RecentError {
  /** Epoch ms. */
  readonly at: number;
  /** Undefined if the request matched no route. */
  readonly route: string | undefined;
  /** Undefined if the API itself responded with the error. */
  readonly code: string | undefined;
  readonly status: number;
  readonly method: string;
  readonly requestId: string;
  /** The failure between the sidecar and a server, if there is one. */
  readonly failure?: Failure | undefined;
  /** Depends on how much was sent before the failure; undefined if the API responded. */
  readonly mayHaveExecuted?: boolean | undefined;
  /** For calls that may have been executed: the key to ask the API about. */
  readonly idempotencyKey?: string | undefined;
}

/** Errors of one route with one code and one cause. */
export interface ErrorGroup {
  readonly count: number;
  /** Epoch ms. */
  readonly firstAt: number;
  readonly latest: RecentError;
}

export interface ErrorHistory {
  record(error: RecentError): void;
  /** Latest first, at most 50. */
  errors(): readonly RecentError[];
  /** The group with the latest error first, at most 50. */
  errorGroups(): readonly ErrorGroup[];
  /** Calls that change something and may have been executed. Latest first, at most 50. */
  unknownOutcomes(): readonly RecentError[];
}

const MAX_KEPT = 50;
/** RFC 9110 §9.2.1: safe to send again. */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Creates an empty history. */
export function createErrorHistory(): ErrorHistory {
  const errors: RecentError[] = [];
  const unknown: RecentError[] = [];
  // Ordered by latest error.
  const groups = new Map<string, ErrorGroup>();
  return {
    record(error) {
      keep(errors, error);
      if (error.mayHaveExecuted && !SAFE_METHODS.has(error.method)) keep(unknown, error);
      const { at, route, code, status, failure } = error;
      const key = [route, code ?? status, failure?.cause].join('\n');
      const { count = 0, firstAt = at } = groups.get(key) ?? {};
      groups.delete(key);
      groups.set(key, { count: count + 1, firstAt, latest: error });
      const [oldest] = groups.keys();
      if (groups.size > MAX_KEPT && oldest !== undefined) groups.delete(oldest);
    },
    errors: () => errors.toReversed(),
    errorGroups: () => [...groups.values()].reverse(),
    unknownOutcomes: () => unknown.toReversed(),
  };
}

function keep(list: RecentError[], error: RecentError): void {
  list.push(error);
  if (list.length > MAX_KEPT) list.shift();
}
