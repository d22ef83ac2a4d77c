/**
 * What the token engine and its workers say to each other. Everything is plain data, and spelled out, so that nothing
 * gets to a process that parses callers' bytes by accident: no client secret has a place here.
 */
import type { ProxySettings } from '../../config/environment.ts';
import type { Config, RouteConfig } from '../../config/schema.ts';
import type { TlsFiles } from '../../config/secret-files.ts';
import type { Instant } from '../../core/clock.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { LogLevel } from '../../core/log.ts';
import type { CounterName } from '../../core/metrics.ts';
import type { TokenKey } from '../../oauth/token.ts';
import type { FinishedRequest } from '../../proxy/access-log.ts';

/** One configuration as far as the data path needs it. */
export interface WorkerSettings {
  /** Counts up, in step with the engine. */
  readonly generation: number;
  readonly config: Pick<Config, 'limits' | 'timeouts'> & {
    readonly callers: Pick<Config['callers'], 'allowForwarded' | 'limits'>;
    readonly routes: readonly WorkerRoute[];
  };
  /** By caller name: SHA-256 of each key, which is all that comparing takes. */
  readonly callerKeys: ReadonlyMap<string, readonly Buffer[]>;
  /** Of routes and of the callers' listeners; never of a credential. */
  readonly tls: ReadonlyMap<string, TlsFiles>;
  /** Outbound proxies in clear: whoever connects through one has to say its password. */
  readonly proxy: { readonly [name in keyof ProxySettings]: string | undefined } | undefined;
  readonly level: LogLevel;
  /** What there is now, in the order of `WorkerRoute.source`. */
  readonly tokens: readonly { readonly key: TokenKey; readonly token: WireToken | undefined }[];
  /** Longest wait of a caller for a token, ms. */
  readonly tokenWaitMs: number;
}

export interface WorkerRoute
  extends Omit<RouteConfig, 'credential' | 'scope' | 'audience' | 'resource' | 'tls' | 'limits'> {
  readonly limits: RouteConfig['limits'];
  /** Position of its tokens. */
  readonly source: number;
}

/** A token with what is left of it: monotonic clocks of two processes have nothing to do with each other. */
export interface WireToken {
  /** Names this token among all of its source. */
  readonly serial: number;
  /** The whole header value. */
  readonly authorization: string;
  /** When it was asked for, by the wall clock both processes share. */
  readonly sinceWallMs: Instant['wallMs'];
  /** How long ago that was when this was written. */
  readonly ageMs: number;
  readonly refreshAfterMs: number;
  readonly usableForMs: number;
  readonly expiresAt: number;
}

/** A `SidecarError` without its cause. */
export interface WireError {
  readonly code: ErrorCode;
  readonly retryAfterS?: number | undefined;
  readonly fields?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/** From the engine to a worker. */
export type ToWorker =
  | {
      readonly kind: 'start';
      readonly settings: WorkerSettings;
      readonly hosts: readonly string[];
      /** Undefined = there is no audit log. */
      readonly audit: { readonly whenFailing: 'report' | 'refuse'; readonly failing: boolean } | undefined;
    }
  | { readonly kind: 'settings'; readonly settings: WorkerSettings }
  | { readonly kind: 'hosts'; readonly hosts: readonly string[] }
  /** With a connection, which the worker may not read from before the engine knows that it has it. */
  | { readonly kind: 'connection'; readonly id: number; readonly secure: boolean }
  | {
      readonly kind: 'token';
      readonly generation: number;
      readonly source: number;
      /** Undefined = the last one is not to be used any more. */
      readonly token: WireToken | undefined;
    }
  | { readonly kind: 'response'; readonly id: number; readonly result: Reply }
  | { readonly kind: 'audit'; readonly failing: boolean }
  /** Wants a report now. */
  | { readonly kind: 'report' }
  | { readonly kind: 'drain' }
  | { readonly kind: 'cut' };

/** What a question came to. */
export type Reply =
  | { readonly ok: true; readonly token?: WireToken | undefined }
  /** `waited` is false where the refusal was known before the question. */
  | { readonly ok: false; readonly error: WireError; readonly waited: boolean };

/** What a worker has to ask for. */
export type Question =
  | {
      readonly about: 'token';
      readonly generation: number;
      readonly source: number;
      /** Serial of a token that an API has refused. */
      readonly refused: number | undefined;
    }
  | { readonly about: 'place'; readonly generation: number; readonly caller: string; readonly route: string };

/** What requests have left behind since the last report. */
export interface Report {
  readonly requests: readonly FinishedRequest[];
  readonly counts: readonly (readonly [name: CounterName, labels: Readonly<Record<string, string>>, by: number])[];
  readonly lines: readonly string[];
  readonly inFlight: number;
  readonly upstreams: readonly UpstreamNumbers[];
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

/** See `Status` of the admin listener. */
export interface UpstreamNumbers {
  readonly origin: string;
  readonly connected: number;
  readonly running: number;
  readonly queued: number;
}

export type AuditFacts = Readonly<Record<string, string | number | boolean | undefined>>;

/** From a worker to the engine. */
export type ToEngine =
  | { readonly kind: 'ready' }
  /** Has the connection with this id. */
  | { readonly kind: 'taken'; readonly id: number }
  /** So many connections have ended. */
  | { readonly kind: 'closed'; readonly count: number }
  | { readonly kind: 'question'; readonly id: number; readonly question: Question }
  /** Gives back the place asked for with this id. */
  | { readonly kind: 'leave'; readonly id: number }
  | { readonly kind: 'report'; readonly report: Report; readonly asked: boolean }
  | { readonly kind: 'fact'; readonly facts: AuditFacts }
  /** No request of that configuration is left. */
  | { readonly kind: 'retired'; readonly generation: number }
  | { readonly kind: 'drained' };
