/**
 * What the primary and its workers call of each other, and what is sent: plain data, spelled out, so that nothing gets to a
 * process that parses callers' bytes by accident. No client secret has a place here.
 */
import type { Socket } from 'node:net';
import type { ProxySettings } from '../../config/environment.ts';
import type { Instant } from '../../core/clock.ts';
import type { CounterName } from '../../core/metrics.ts';
import { Secret } from '../../core/secret.ts';
import type { Token } from '../../oauth/token.ts';
import type { AuditFacts, FinishedRequest } from '../../proxy/exchange.ts';
import type { Claim } from '../../proxy/rate-limits.ts';
import type { UpstreamUse } from '../data-plane/routes.ts';
import type { DataPlaneSettings } from '../data-plane/settings.ts';
import type { WireError } from './rpc.ts';

/** What a worker serves by. */
export interface WireServing {
  /** Names this generation of the configuration. */
  readonly number: number;
  readonly settings: WireSettings;
  /** What there is now, in the order of `settings.tokenKeys`. */
  readonly tokens: readonly (WireToken | undefined)[];
  /** Longest wait of a caller for a token, ms. */
  readonly tokenWaitMs: number;
}

type WireSettings = Omit<DataPlaneSettings, 'callerKeys' | 'proxy'> & {
  readonly callerKeys: ReadonlyMap<string, readonly Buffer[]>;
  /** In clear: whoever connects through a proxy has to say its password. */
  readonly proxy: { readonly [name in keyof ProxySettings]: string | undefined } | undefined;
};

/** A token with what is left of it: monotonic clocks of two processes have nothing to do with each other. */
export interface WireToken extends Pick<Token, 'refreshAfterMs' | 'usableForMs' | 'expiresAt'> {
  /** Names this token among all of its source. */
  readonly serial: number;
  /** The whole header value. */
  readonly authorization: string;
  /** When it was asked for, by the wall clock both processes share. */
  readonly sinceWallMs: Instant['wallMs'];
  /** How long ago that was when this was written. */
  readonly ageMs: number;
}

export interface TokenQuestion {
  readonly number: number;
  /** Position among the tokens of this generation. */
  readonly source: number;
  /** Serial of a token that an API has refused. */
  readonly refused: number | undefined;
}

/** `waited` is false where the refusal was known before the question. */
export type TokenReply =
  | { readonly token: WireToken }
  | { readonly failed: WireError; readonly waited: boolean };

/** What requests have left behind since the last report. */
export interface Report {
  readonly requests: readonly FinishedRequest[];
  readonly counts: readonly (readonly [name: CounterName, labels: Readonly<Record<string, string>>, by: number])[];
  readonly lines: readonly string[];
  readonly inFlight: number;
  readonly upstreams: readonly UpstreamUse[];
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

export interface Start {
  readonly serving: WireServing;
  readonly hosts: readonly string[];
  /** Undefined = there is no audit log. */
  readonly audit: { readonly whenFailing: 'report' | 'refuse'; readonly failing: boolean } | undefined;
}

/** What a worker does for the primary. */
export type WorkerApi = {
  /** The first call; the worker serves once it returns. */
  start(start: Start): void;
  /** Returns when no request is left of what was in force before. */
  use(serving: WireServing): Promise<void>;
  hosts(hosts: readonly string[]): void;
  /** Undefined = the last one is not to be used any more. */
  token(news: { readonly number: number; readonly source: number; readonly token: WireToken | undefined }): void;
  /** Not read from before the primary knows that the worker has it. */
  connection(about: { readonly id: number; readonly secure: boolean }, socket?: Socket): void;
  audit(failing: boolean): void;
  report(): Promise<Report>;
  ping(): void;
  /** Returns when no request is left. */
  drain(): Promise<void>;
  destroyConnections(): void;
};

/** What the primary does for a worker. */
export type PrimaryApi = {
  taken(id: number): void;
  /** So many connections have ended. */
  closed(count: number): void;
  token(question: TokenQuestion): Promise<TokenReply>;
  /** @returns what `leave` ends it by */
  enter(claims: readonly [caller: Claim, route: Claim]): Promise<number>;
  leave(id: number): void;
  report(report: Report): void;
  fact(facts: AuditFacts): void;
};

export function packSettings({ callerKeys, proxy, ...settings }: DataPlaneSettings): WireSettings {
  const digests = [...callerKeys].map(([name, keys]) => [name, keys.map((key) => key.digest())] as const);
  const clear = proxy && { https: proxy.https?.reveal(), http: proxy.http?.reveal(), noProxy: proxy.noProxy };
  return { ...settings, callerKeys: new Map(digests), proxy: clear };
}

/** With keys that can be compared and proxies that cannot be printed, as in the process that loaded it. */
export function unpackSettings({ callerKeys, proxy, ...settings }: WireSettings): DataPlaneSettings {
  const hide = (value: string | undefined) => (value === undefined ? undefined : new Secret(value));
  const keys = [...callerKeys].map(([name, digests]) => {
    // The serializer may hand out plain bytes.
    const all = digests.map((digest) => Buffer.from(digest));
    return [name, all.map((bytes) => ({ digest: () => bytes }))] as const;
  });
  const hidden = proxy && { https: hide(proxy.https), http: hide(proxy.http), noProxy: proxy.noProxy ?? '' };
  return { ...settings, callerKeys: new Map(keys), proxy: hidden };
}
