/** What is measured: a proxy that adds a token, as a process of its own. */

/** What a subject is put in front of. */
export interface Setup {
  readonly scheme: 'http' | 'https';
  readonly upstreamPort: number;
  /** PEM file with the CA of the upstream's certificate. */
  readonly caFile: string | undefined;
  /** For subjects that fetch their token. */
  readonly tokenEndpoint: string;
  /** Of this subject alone; removed afterwards. */
  readonly folder: string;
  /** How the sidecar is started; the others do not look at it. */
  readonly sidecar: SidecarSetup;
}

export interface SidecarSetup {
  /** Program file, of dist or src. */
  readonly main: string;
  /** Of Node, beside those of the image. */
  readonly nodeFlags: readonly string[];
  /** Over the usual variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** Beside what every sidecar of the bench has. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Resolve as soon as it listens, not when it has a token. */
  readonly cold?: boolean;
  /** On all cores, as it is started in earnest. */
  readonly anyCore?: boolean;
}

export interface Running {
  readonly port: number;
  /** None for what has no process of its own. */
  readonly pids: readonly number[];
  /** Field value that the upstream must see. */
  readonly expects: RegExp;
  /** To be sent by the caller, where nobody injects it. */
  readonly authorization?: string;
  /** From its start until it was ready, where that is timed. */
  readonly readyMs?: number;
  stop(): Promise<void>;
}

export interface Subject {
  readonly name: string;
  /** One line for the report: what it does for each request. */
  readonly does: string;
  /** For each request. */
  readonly logs: boolean;
  /** Undefined when it is not installed. */
  version(): string | undefined;
  /** Resolves when it listens; the sidecar when it has a token. */
  start(setup: Setup): Promise<Running>;
}

/** Name of the upstream in its certificate, for programs that cannot check an address. */
export const UPSTREAM_NAME = 'upstream.test';
export const STATIC_AUTHORIZATION = 'Bearer token-of-the-bench-static';
export const FETCHED = /^Bearer token-of-the-bench-\d+$/;

/** In the subject's folder: everything it prints. */
export const LOG_FILE = 'log';

export function originOf({ scheme, upstreamPort }: Setup): string {
  return `${scheme}://127.0.0.1:${upstreamPort}`;
}
