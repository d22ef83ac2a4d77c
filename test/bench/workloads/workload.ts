/** A workload as data: requests, lanes and what is measured. */
import type { LoadJob } from '../load/job.ts';
import type { SidecarSetup } from '../subjects/subject.ts';

/** Set-up of a subject for a workload; lanes with the same subject and variant share a process. */
export interface Variant {
  readonly name: 'plain' | 'tls' | 'refresh' | 'outage' | 'fleet' | 'traced' | 'all traced';
  /** Lifetime of tokens in seconds. */
  readonly tokenLifetimeS?: number;
  /** Has its own identity server, which ends when the token is there. */
  readonly identityEnds?: boolean;
  readonly config?: SidecarSetup['config'];
  /** Share of the calls whose traces are sent. */
  readonly sample?: number;
  /** Not pinned to the subjects' core; shares all cores with the load generator. */
  readonly anyCore?: boolean;
}

export type Shape = Pick<LoadJob, 'method' | 'path' | 'sendBytes' | 'expectBytes' | 'shape' | 'connections'> & {
  readonly perSecond?: number;
  /** Number of requests instead of a time. */
  readonly requests?: number;
};

export interface Workload {
  readonly name: string;
  readonly title: string;
  readonly job: Shape;
  /** Every subject runs in each of these; plain if absent. */
  readonly variants?: readonly Variant[];
  /** Only the sidecar, compared with itself. */
  readonly sidecarOnly?: boolean;
  /** Adds a lane without a proxy. */
  readonly direct?: boolean;
  /** Each round uses a process that has just started. */
  readonly fresh?: boolean;
  /** Factor for the length of its rounds. */
  readonly longer?: number;
}

/** Body size of the small response. */
export const SMALL_BYTES = 686;
export const PLAIN: Variant = { name: 'plain' };
/** A member of a fleet; needs a store. */
export const FLEET: Variant = { name: 'fleet' };
