/** Messages between the bench and the load generator. */
import type { Histogram } from './histogram.ts';

export interface LoadJob {
  readonly port: number;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Complete field value to send; only if no proxy injects one. */
  readonly authorization?: string;
  /** Body size of each request. */
  readonly sendBytes: number;
  /** Exact body size of each complete response. */
  readonly expectBytes: number;
  /**
   * closed: each connection sends its next request after the response. new: the same, on a new connection each time.
   * open: requests start at `perSecond`, however slow the responses are. once: one request per connection, all at once.
   */
  readonly shape: 'closed' | 'new' | 'open' | 'once';
  readonly connections: number;
  /** For `open`. */
  readonly perSecond?: number;
  /** Not counted. */
  readonly warmMs: number;
  readonly measureMs: number;
  /** For `closed`: measure until this many responses have come, however long it takes. */
  readonly requests?: number;
  /** Processes whose CPU time is read at the start and end of the measurement. */
  readonly pids: readonly number[];
  /** The upstream's, which shares a core with the load generator. */
  readonly measuringPids: readonly number[];
}

export interface LoadResult {
  /** Complete 2xx responses during the measurement. */
  readonly requests: number;
  readonly seconds: number;
  /** Count of each error; empty in a valid round. */
  readonly errors: Readonly<Record<string, number>>;
  /** Body bytes, received and sent. */
  readonly bytes: number;
  readonly histogram: Histogram;
  readonly cpuSeconds: number;
  /** Of load generator and upstream; close to `seconds` means that they are the limit. */
  readonly measuringCpuSeconds: number;
  /** At the beginning. */
  readonly residentBytesBefore: number;
  /** At the end. */
  readonly residentBytes: number;
  /** The maximum in between if the system allows a reset; otherwise since the subject's start. */
  readonly peakResidentBytes: number;
}

/** Sent when all connections of a `once` job have sent their request. */
export const ALL_ASKED = 'all asked';
/** Messages of the load generator about a job; `failure` if it could not even connect. */
export type LoadAnswer = typeof ALL_ASKED | LoadResult | { readonly failure: string };
