/**
 * Calls that failed, for a person who looks: the last ones, all since the start in groups of the same trouble, and those of
 * which nobody knows whether the API carried them out. Each list has a fixed size, so that no flood of one pushes out another.
 */
import type { Failure } from '../core/failure.ts';

/** Of a request nothing is kept but this. */
export interface RecentError {
  /** Epoch ms. */
  readonly at: number;
  /** Undefined where the request matched none. */
  readonly route: string | undefined;
  /** Undefined where the API itself responded with an error. */
  readonly code: string | undefined;
  readonly status: number;
  readonly method: string;
  readonly requestId: string;
  /** What was met, where it was met between us and a server. */
  readonly failure?: Failure | undefined;
  /** By what had left when the call failed; undefined where the API responded. */
  readonly mayHaveExecuted?: boolean | undefined;
  /** With which it was sent, of calls that may have been executed: what the API can be asked for. */
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
  /** The one with the latest error first, at most 50. */
  errorGroups(): readonly ErrorGroup[];
  /** Calls that change something and may have been executed. Latest first, at most 50. */
  unknownOutcomes(): readonly RecentError[];
}

const MAX_KEPT = 50;
/** RFC 9110 §9.2.1: nothing is lost if they are sent again. */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Builds an empty one. */
export function createErrorHistory(): ErrorHistory {
  const errors: RecentError[] = [];
  const unknown: RecentError[] = [];
  // In the order of their latest errors.
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
