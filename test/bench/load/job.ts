/** What the load generator is told and what it tells, as messages between processes. */
import type { Histogram } from './histogram.ts';

export interface LoadJob {
  readonly port: number;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Whole field value to send, where nobody injects one. */
  readonly authorization?: string;
  /** Of every request's body. */
  readonly sendBytes: number;
  /** Every whole answer has exactly so many in its body. */
  readonly expectBytes: number;
  /**
   * closed: each connection asks again once it has its answer. new: the same, on a new connection each time.
   * open: requests start at `perSecond` whatever the answers do. once: one request on each connection, all at once.
   */
  readonly shape: 'closed' | 'new' | 'open' | 'once';
  readonly connections: number;
  /** For `open`. */
  readonly perSecond?: number;
  /** Not counted. */
  readonly warmMs: number;
  readonly measureMs: number;
  /** For `closed`: measure until so many are answered, however long it takes. */
  readonly requests?: number;
  /** Whose time is read off at both ends of what is measured. */
  readonly pids: readonly number[];
  /** The upstream's, which shares a core with the load generator. */
  readonly measuringPids: readonly number[];
}

export interface LoadResult {
  /** Answered whole and with 2xx while measuring. */
  readonly requests: number;
  readonly seconds: number;
  /** How often what went wrong; empty in a valid round. */
  readonly errors: Readonly<Record<string, number>>;
  /** Body bytes, received and sent. */
  readonly bytes: number;
  readonly histogram: Histogram;
  readonly cpuSeconds: number;
  /** Of load generator and upstream: near to `seconds`, it is they who set the pace. */
  readonly measuringCpuSeconds: number;
  /** At the beginning. */
  readonly residentBytesBefore: number;
  /** At the end. */
  readonly residentBytes: number;
  /** The most in between, as far as the system lets it be reset; else of the subject's life so far. */
  readonly peakResidentBytes: number;
}

/** Sent when all connections of a `once` job have asked. */
export const ALL_ASKED = 'all asked';
/** All that the load generator says of a job; a failure when it could not even connect. */
export type LoadAnswer = typeof ALL_ASKED | LoadResult | { readonly failure: string };
