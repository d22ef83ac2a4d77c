/** A subject: a proxy that adds a token, as a separate process. */

/** The set-up of a subject. */
export interface Setup {
  readonly scheme: 'http' | 'https';
  readonly upstreamPort: number;
  /** PEM file with the CA of the upstream certificate. */
  readonly caFile: string | undefined;
  /** For subjects that fetch their token. */
  readonly tokenEndpoint: string;
  /** For this subject only; removed afterwards. */
  readonly folder: string;
  /** How to start the sidecar; other subjects ignore it. */
  readonly sidecar: SidecarSetup;
}

export interface SidecarSetup {
  /** Program file in dist or src. */
  readonly main: string;
  /** Options of Node, in addition to those of the image. */
  readonly nodeFlags: readonly string[];
  /** Variables of the environment, over the usual ones. */
  readonly env?: Readonly<Record<string, string>>;
  /** Options in addition to those of every sidecar of the bench. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Resolve as soon as it listens, not when it has a token. */
  readonly cold?: boolean;
  /** On all cores, as in production. */
  readonly anyCore?: boolean;
}

export interface Running {
  readonly port: number;
  /** Empty without a separate process. */
  readonly pids: readonly number[];
  /** Field value that the upstream must see. */
  readonly expects: RegExp;
  /** Sent by the load generator; only if no proxy injects it. */
  readonly authorization?: string;
  /** Time from start until ready, if measured. */
  readonly readyMs?: number;
  stop(): Promise<void>;
}

export interface Subject {
  readonly name: string;
  /** What it does for each request, one line for the report. */
  readonly does: string;
  /** Whether it logs each request. */
  readonly logs: boolean;
  /** Undefined if not installed. */
  version(): string | undefined;
  /** Resolves when it listens; the sidecar when it has a token. */
  start(setup: Setup): Promise<Running>;
}

/** Name of the upstream in its certificate, for programs that cannot check an address. */
export const UPSTREAM_NAME = 'upstream.test';
export const STATIC_AUTHORIZATION = 'Bearer token-of-the-bench-static';
export const FETCHED = /^Bearer token-of-the-bench-\d+$/;

/** Output of the subject, in its folder. */
export const LOG_FILE = 'log';

export function originOf({ scheme, upstreamPort }: Setup): string {
  return `${scheme}://127.0.0.1:${upstreamPort}`;
}
