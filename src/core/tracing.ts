/**
 * Distributed tracing as the rest of the program uses it: W3C Trace Context in, spans out. Types only: the code that makes and
 * sends spans is loaded where tracing is configured, and a request without tracing runs through none of it.
 */

/** The span that a measured value belongs to. */
export interface SpanIds {
  /** Lower-case hex, 32 and 16 digits. */
  readonly traceId: string;
  readonly spanId: string;
}

/** One for each sidecar. No method throws or waits. */
export interface Tracing {
  /**
   * Starts the trace of a request, or continues that of its caller. Whether the request is recorded is decided here.
   * @param traceparents values of the caller's `traceparent`; more than one, or an invalid one, is ignored
   */
  begin(traceparents: readonly string[] | undefined): RequestTrace;
  /** Records a finished token request, as a trace of its own. @param result `ok`, or one of a closed list */
  tokenRequest(request: TokenRequestFacts): void;
  /** Sends what is left, within a second. */
  close(): Promise<void>;
}

export interface TokenRequestFacts {
  readonly credential: string;
  readonly result: string;
  readonly seconds: number;
  /** `id.aritma.io:443`. */
  readonly server: string | undefined;
}

/** The trace of one request. Call the methods in the order of the request's life. */
export interface RequestTrace {
  /** For the log: `traceparent` of the span of this request; undefined when it is not recorded. */
  readonly recorded: string | undefined;
  /** Undefined when the request is not recorded. */
  readonly ids: SpanIds | undefined;
  /** Returns flat headers without those of the caller's trace that must not go to the API. */
  forwarded(headers: readonly string[]): readonly string[];
  /** The request waits for this token. @param isRenewal the API refused the one before */
  waits<T>(token: Promise<T>, credential: string, isRenewal: boolean): Promise<T>;
  /** A try begins. Returns the `traceparent` to send with it. */
  sends(): string;
  /** The try has ended: its response is received, or given up. */
  released(): void;
  ends(facts: RequestFacts): void;
}

/** Nothing of a request's content: no query, no path beyond its route, no header. */
export interface RequestFacts {
  readonly method: string;
  /** Path prefix of the route. */
  readonly route: string | undefined;
  /** The API, `banking.zdata.io:443`. */
  readonly upstream: string | undefined;
  /** Where the caller connected to, `127.0.0.1:7080`; undefined for a Unix socket. */
  readonly local: string | undefined;
  readonly secure: boolean;
  readonly httpVersion: string;
  readonly status: number;
  /** Error code of the sidecar. */
  readonly code: string | undefined;
}
