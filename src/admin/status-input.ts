/**
 * What the sidecar shows to operators and probes: names, states and numbers, never a token or secret.
 */
import type { Failure } from '../core/failure.ts';
import type { FleetSnapshot } from '../core/fleet-snapshot.ts';
import type { ErrorGroup, RecentError } from './error-history.ts';
import type { RouteHistory } from './history-view.ts';

export interface TokenView {
  readonly key: {
    readonly credential: string;
    readonly scope: string | undefined;
    readonly audience?: string | undefined;
    readonly resource?: string | undefined;
  };
  readonly state: 'fresh' | 'early' | 'expired' | 'none';
  readonly expiresAt: number | undefined;
  /** Next automatic refresh, epoch ms; in the past while it runs. */
  readonly refreshAt?: number | undefined;
  readonly lastSuccessAt: number | undefined;
  readonly lastError:
    | {
        readonly code: string;
        readonly result: string;
        readonly at: number;
        /** First failure since the last success. */
        readonly since?: number | undefined;
        readonly failure?: Failure | undefined;
      }
    | undefined;
  readonly consecutiveFailures: number;
  readonly generation: number;
  /** In a fleet: whether this sidecar fetched the newest token, or another member did. */
  readonly source?: 'fetched' | 'shared' | undefined;
}

export interface StatusInput {
  readonly version: string;
  readonly environment: string;
  /** Epoch ms. */
  readonly startedAt: number;
  readonly now: number;
  readonly listening: boolean;
  /** Addresses for callers, `http://127.0.0.1:7080` or `unix:/path`. */
  readonly listen?: readonly string[];
  readonly draining: boolean;
  readonly startup: 'lenient' | 'strict';
  readonly inFlight: number;
  /** Since the start. */
  readonly logLinesLost: number;
  readonly warnings: readonly string[];
  /** State of the audit log; undefined when there is none. */
  readonly audit?:
    | {
        readonly file: string;
        readonly seq: number;
        readonly hash: string;
        readonly failing: string | undefined;
        readonly whenFailing: 'refuse' | 'report';
      }
    | undefined;
  /** Undefined: this sidecar shares nothing. */
  readonly fleet?: FleetSnapshot | undefined;
  /** Names of the options that turn off a protection. */
  readonly unsafe: readonly string[];
  /** Number of the configuration, from 1. */
  readonly generation: number;
  readonly lastReload:
    | { readonly at: number; readonly result: string; readonly problems: readonly string[] }
    | undefined;
  readonly routes: readonly {
    readonly path: string;
    readonly upstream: string;
    readonly credential: string;
    readonly scope: string | undefined;
    readonly audience?: string | undefined;
    readonly resource?: string | undefined;
    readonly allow: readonly string[] | undefined;
    /** Added to its requests. */
    readonly headers?: readonly { readonly name: string; readonly value: string; readonly override: boolean }[];
    /** Only those that differ from `timeouts`. */
    readonly timeoutsMs?: Readonly<Partial<Record<'firstByte' | 'idle' | 'total', number | undefined>>>;
    readonly history: RouteHistory;
  }[];
  /** Latest first. */
  readonly recentErrors: readonly RecentError[];
  /** Since the start; the group with the latest error first. */
  readonly errorGroups: readonly ErrorGroup[];
  /** Calls that change something and may have been executed, latest first. */
  readonly unknownOutcomes: readonly RecentError[];
  readonly credentials: readonly {
    readonly name: string;
    readonly clientId: string;
    readonly secrets: readonly {
      readonly name: string;
      readonly fingerprint: string;
      readonly inUse: boolean;
      /** Epoch ms; undefined if not known. */
      readonly expiresAt?: number | undefined;
    }[];
    /** Of the client assertion in its file, epoch ms; undefined without one. */
    readonly assertionExpiresAt?: number | undefined;
    /** Rotation of the first secret by the sidecar; undefined when it does not rotate. Epoch ms. */
    readonly rotation?:
      | {
          readonly state: 'idle' | 'overlap' | 'failing';
          readonly rotatedAt: number | undefined;
          readonly nextAt: number | undefined;
          readonly lastError: { readonly code: string; readonly at: number } | undefined;
        }
      | undefined;
  }[];
  readonly tokens: readonly TokenView[];
  readonly upstreams: readonly {
    readonly origin: string;
    readonly connected: number;
    readonly running: number;
    readonly queued: number;
  }[];
}
