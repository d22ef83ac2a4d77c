/**
 * What the sidecar shows of itself to operators and probes: names, states and numbers, with nothing that holds a token or secret.
 */
import type { Failure } from '../core/failure.ts';
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
  /** When it is fetched next by itself; past while that is under way. */
  readonly refreshAt?: number | undefined;
  readonly lastSuccessAt: number | undefined;
  readonly lastError:
    | {
        readonly code: string;
        readonly result: string;
        readonly at: number;
        /** Since when nothing has succeeded. */
        readonly since?: number | undefined;
        readonly failure?: Failure | undefined;
      }
    | undefined;
  readonly consecutiveFailures: number;
  readonly generation: number;
}

export interface StatusInput {
  readonly version: string;
  readonly environment: string;
  /** Epoch ms. */
  readonly startedAt: number;
  readonly now: number;
  readonly listening: boolean;
  /** For callers, `http://127.0.0.1:7080` or `unix:/path`. */
  readonly listen?: readonly string[];
  readonly draining: boolean;
  readonly startup: 'lenient' | 'strict';
  readonly inFlight: number;
  /** Since it was started. */
  readonly logLinesLost: number;
  readonly warnings: readonly string[];
  /** Where the audit log is; undefined when there is none. */
  readonly audit?:
    | {
        readonly file: string;
        readonly seq: number;
        readonly hash: string;
        readonly failing: string | undefined;
        readonly whenFailing: 'refuse' | 'report';
      }
    | undefined;
  /** Options that switch a protection off, by name. */
  readonly unsafe: readonly string[];
  /** Of the configuration, from 1. */
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
    readonly history: RouteHistory;
  }[];
  /** Latest first. */
  readonly recentErrors: readonly RecentError[];
  /** Since the start; the one with the latest error first. */
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
      /** Epoch ms; undefined where nobody has said. */
      readonly expiresAt?: number | undefined;
    }[];
    /** How the sidecar itself replaces the first secret; undefined when it does not. Epoch ms. */
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
