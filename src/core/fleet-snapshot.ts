/** What a member of a fleet knows of its store and of the others, as the status page and the metrics show it. */
export interface FleetSnapshot {
  /** Address of the store, as configured. */
  readonly store: string;
  readonly up: boolean;
  /** Why it is not up. */
  readonly problem: string | undefined;
  /** Epoch ms of the last change of `up`. */
  readonly since: number;
  readonly member: string;
  /** Live members at the last heartbeat, this one included; undefined before the first. */
  readonly members: number | undefined;
  readonly keyId: string;
}
