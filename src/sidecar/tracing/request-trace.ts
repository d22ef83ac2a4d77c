/**
 * The trace of one request. While it runs, only moments are noted; the spans are made when it has ended. A request that is not
 * recorded has just its place in the trace.
 */
import type { RequestFacts, RequestTrace, SpanIds } from '../../core/tracing.ts';
import { type TraceContext, traceparentOf, withoutTrace } from './trace-context.ts';

/** A span with its times in ms of `performance.now()`. */
export interface SpanDraft {
  readonly ids: SpanIds;
  readonly parent: SpanIds | undefined;
  /** The parent is the caller's. */
  readonly isRemote?: boolean;
  readonly name: string;
  readonly kind: 'server' | 'client' | 'internal';
  readonly from: number;
  readonly to: number;
  readonly attributes: Readonly<Record<string, string | number | undefined>>;
  readonly isError: boolean;
  readonly links?: readonly SpanIds[];
}

/** What the traces of all requests share. */
export interface Recorder {
  readonly newSpanId: () => string;
  readonly add: (span: SpanDraft) => void;
  /** Returns the token requests of a credential that ended in this time. */
  readonly tokenRequests: (credential: string, from: number, to: number) => readonly SpanIds[];
}

/** For requests that are not recorded. */
export class UnrecordedTrace implements RequestTrace {
  readonly recorded = undefined;
  readonly ids = undefined;
  readonly #own: TraceContext;
  readonly #isContinued: boolean;

  constructor(own: TraceContext, isContinued: boolean) {
    this.#own = own;
    this.#isContinued = isContinued;
  }

  forwarded(headers: readonly string[]): readonly string[] {
    return withoutTrace(headers, this.#isContinued);
  }

  waits<T>(token: Promise<T>): Promise<T> {
    return token;
  }

  sends(): string {
    return traceparentOf(this.#own);
  }

  released(): void {
    // Nothing is recorded.
  }

  ends(): void {
    // Nothing is recorded.
  }
}

interface Wait {
  readonly credential: string;
  readonly isRenewal: boolean;
  readonly from: number;
  to: number;
  isFailed: boolean;
}

interface Try {
  readonly spanId: string;
  readonly from: number;
  to: number;
  /** Known of a 401 that is replayed; the last try has the status of the response. */
  status: number | undefined;
}

/** Callers may send any other: the names of spans have to be few. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT']);

export class RecordedTrace implements RequestTrace {
  readonly ids: SpanIds;
  readonly #own: TraceContext;
  readonly #caller: TraceContext | undefined;
  readonly #recorder: Recorder;
  readonly #from = performance.now();
  readonly #waits: Wait[] = [];
  readonly #tries: Try[] = [];

  constructor(own: TraceContext, caller: TraceContext | undefined, recorder: Recorder) {
    this.ids = { traceId: own.traceId, spanId: own.spanId };
    this.#own = own;
    this.#caller = caller;
    this.#recorder = recorder;
  }

  get recorded(): string {
    return traceparentOf(this.#own);
  }

  forwarded(headers: readonly string[]): readonly string[] {
    return withoutTrace(headers, this.#caller !== undefined);
  }

  async waits<T>(token: Promise<T>, credential: string, isRenewal: boolean): Promise<T> {
    const last = this.#tries.at(-1);
    if (isRenewal && last) last.status = UNAUTHORIZED;
    const now = performance.now();
    const wait = { credential, isRenewal, from: now, to: now, isFailed: true };
    this.#waits.push(wait);
    try {
      const found = await token;
      wait.isFailed = false;
      return found;
    } finally {
      wait.to = performance.now();
    }
  }

  sends(): string {
    this.released();
    const now = performance.now();
    const spanId = this.#recorder.newSpanId();
    this.#tries.push({ spanId, from: now, to: Number.NaN, status: undefined });
    return traceparentOf({ ...this.#own, spanId });
  }

  released(): void {
    const last = this.#tries.at(-1);
    if (last && Number.isNaN(last.to)) last.to = performance.now();
  }

  ends(facts: RequestFacts): void {
    this.released();
    const method = METHODS.has(facts.method) ? facts.method : '_OTHER';
    this.#addRequest(facts, method);
    for (const wait of this.#waits) this.#addWait(wait, facts.code);
    for (const [index, attempt] of this.#tries.entries()) this.#addTry(attempt, index, { ...facts, method });
  }

  #addRequest({ route, local, secure, httpVersion, status, code }: RequestFacts, method: string): void {
    const isError = status >= FIRST_SERVER_ERROR || code === 'CALLER_ABORTED';
    const caller = this.#caller;
    this.#recorder.add({
      ids: this.ids,
      parent: caller && { traceId: caller.traceId, spanId: caller.spanId },
      isRemote: true,
      name: `${method === '_OTHER' ? 'HTTP' : method}${route === undefined ? '' : ` ${route}`}`,
      kind: 'server',
      from: this.#from,
      to: performance.now(),
      isError,
      attributes: {
        'http.request.method': method,
        'http.route': route,
        'http.response.status_code': status,
        'url.scheme': secure ? 'https' : 'http',
        ...serverAttributes(local),
        'network.protocol.version': httpVersion,
        'error.type': code ?? (isError ? String(status) : undefined),
      },
    });
  }

  #addWait({ credential, isRenewal, from, to, isFailed }: Wait, code: string | undefined): void {
    const links = this.#recorder.tokenRequests(credential, from, to);
    this.#recorder.add({
      parent: this.ids,
      ...{ name: isRenewal ? 'token renewal' : 'token wait', kind: 'internal', from, to, isError: isFailed, links },
      ids: { traceId: this.ids.traceId, spanId: this.#recorder.newSpanId() },
      attributes: { 'aritma_sidecar.credential': credential, 'error.type': isFailed ? code : undefined },
    });
  }

  #addTry({ spanId, from, to, status: own }: Try, index: number, { method, upstream, status, code }: RequestFacts) {
    const isLast = index === this.#tries.length - 1;
    const received = own ?? (isLast && code === undefined ? status : undefined);
    const failed = isLast ? code : 'stale_connection';
    const isError = received === undefined || received >= FIRST_ERROR;
    this.#recorder.add({
      ids: { traceId: this.ids.traceId, spanId },
      parent: this.ids,
      name: method === '_OTHER' ? 'HTTP' : method,
      kind: 'client',
      from,
      to,
      isError,
      attributes: {
        'http.request.method': method,
        ...serverAttributes(upstream),
        'http.response.status_code': received,
        'http.request.resend_count': index === 0 ? undefined : index,
        'error.type': isError ? String(received ?? failed) : undefined,
      },
    });
  }
}

const UNAUTHORIZED = 401;
const FIRST_ERROR = 400;
const FIRST_SERVER_ERROR = 500;

/** @param target `banking.zdata.io:443` or `[::1]:80` */
export function serverAttributes(target: string | undefined) {
  if (target === undefined) return undefined;
  const at = target.lastIndexOf(':');
  const address = target.startsWith('[') ? target.slice(1, at - 1) : target.slice(0, at);
  return { 'server.address': address, 'server.port': Number(target.slice(at + 1)) };
}
