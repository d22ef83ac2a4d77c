/** Messages between the bench and a process with members of a fleet. */

/** `naive`: a shared cache, but no claim: whoever finds nothing fetches. `alone`: no store. */
export type FleetMode = 'fleet' | 'naive' | 'alone';

/** The first message to a process. */
export interface FleetJob {
  readonly mode: FleetMode;
  readonly members: number;
  readonly tokenEndpoint: string;
  readonly storePort: number;
  /** Key of the fleet. */
  readonly key: string;
}

/**
 * `cold`: all members ask for their first token · `refresh`: wait until all have a second one · `renew`: a number of callers
 * of each member, all at once, report the current token as refused.
 */
export type FleetOrder =
  | { readonly kind: 'cold' }
  | { readonly kind: 'refresh' }
  | { readonly kind: 'renew'; readonly callers: number };

/** The reply to each order, when the last member is served. */
export interface FleetServed {
  /** Epoch ms. */
  readonly lastAt: number;
  /** Members, or callers, without a token. */
  readonly failed: number;
}

/** Sent when all members exist. */
export const MEMBERS_READY = 'members ready';
