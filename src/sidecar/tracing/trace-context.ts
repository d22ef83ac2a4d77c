/** `traceparent` and `tracestate` (W3C Trace Context): read from a caller, and passed on to an API. */

/** What a `traceparent` says. */
export interface TraceContext {
  readonly traceId: string;
  /** Id of the caller's span. */
  readonly spanId: string;
  /** Whether the caller records this trace. */
  readonly isSampled: boolean;
  /** The trace id is random (Trace Context Level 2). */
  readonly isRandom: boolean;
}

const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;
const ZEROS = /^0+$/;
const OWN_VERSION = '00';
const INVALID_VERSION = 'ff';
const SAMPLED = 1;
const RANDOM = 2;

/**
 * Reads the values of `traceparent`. Undefined when there is not exactly one valid value: then the trace starts anew (§3.2.2.1
 * and §4.3). Of a later version, the part that this version knows is read.
 */
export function readTraceparent(values: readonly string[] | undefined): TraceContext | undefined {
  if (values?.length !== 1) return undefined;
  const [, version, traceId = '', spanId = '', flags = '', rest] = TRACEPARENT.exec(values[0] ?? '') ?? [];
  if (version === undefined || version === INVALID_VERSION || (version === OWN_VERSION && rest !== undefined))
    return undefined;
  if (ZEROS.test(traceId) || ZEROS.test(spanId)) return undefined;
  const bits = Number.parseInt(flags, 16);
  return { traceId, spanId, isSampled: (bits & SAMPLED) !== 0, isRandom: (bits & RANDOM) !== 0 };
}

/** Returns the value for this span. */
export function traceparentOf({ traceId, spanId, isSampled, isRandom }: TraceContext): string {
  return `${OWN_VERSION}-${traceId}-${spanId}-0${(isSampled ? SAMPLED : 0) + (isRandom ? RANDOM : 0)}`;
}

/**
 * Returns flat headers without `traceparent`; without `tracestate`, too, unless the caller's trace is continued: it belongs to
 * the trace that its `traceparent` names (§3.3).
 */
export function withoutTrace(headers: readonly string[], isContinued: boolean): readonly string[] {
  let kept: string[] | undefined;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index] ?? '';
    if (isOfTrace(name, isContinued)) kept ??= headers.slice(0, index);
    else kept?.push(name, headers[index + 1] ?? '');
  }
  return kept ?? headers;
}

/** The length first: most names need no lower case. */
function isOfTrace(name: string, isContinued: boolean): boolean {
  if (name.length === 'traceparent'.length) return name.toLowerCase() === 'traceparent';
  return !isContinued && name.length === 'tracestate'.length && name.toLowerCase() === 'tracestate';
}
