/** A workload as data: what is asked for, of whom, and what of it counts. */
import type { LoadJob } from '../load/job.ts';
import type { SidecarSetup } from '../subjects/subject.ts';

/** How a subject is set up for a workload; lanes of one key share a process. */
export interface Variant {
  readonly name: 'plain' | 'tls' | 'refresh' | 'outage';
  /** Tokens live so many seconds. */
  readonly tokenLifetimeS?: number;
  /** With an identity server of its own, which ends when the token is there. */
  readonly identityEnds?: boolean;
  readonly config?: SidecarSetup['config'];
  /** Not held to the subjects' core; it shares all of them with the load generator. */
  readonly anyCore?: boolean;
}

export type Shape = Pick<LoadJob, 'method' | 'path' | 'sendBytes' | 'expectBytes' | 'shape' | 'connections'> & {
  readonly perSecond?: number;
  /** Instead of for a time. */
  readonly requests?: number;
};

export interface Workload {
  readonly name: string;
  readonly title: string;
  readonly job: Shape;
  /** Every subject in each of these; plain when absent. */
  readonly variants?: readonly Variant[];
  /** Only the sidecar: it is compared with itself. */
  readonly sidecarOnly?: boolean;
  /** With a lane that goes to the upstream without a proxy. */
  readonly direct?: boolean;
  /** Each round with a process that has just started. */
  readonly fresh?: boolean;
  /** Rounds are so many times as long as others. */
  readonly longer?: number;
}

/** Of the small answer's body. */
export const SMALL_BYTES = 686;
export const PLAIN: Variant = { name: 'plain' };
