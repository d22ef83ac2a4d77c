/**
 * Describes a server for error messages: the option that names it, the proxy in between, the time limits.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { BaseUrl } from '../config/parsers.ts';
import { proxyFor, proxyHost } from './outbound-proxy.ts';

export interface Leg {
  readonly base: BaseUrl;
  /** Owner of the TLS files: `credential NAME` or `route PATH`. */
  readonly owner: string;
  /** The option that names the server, for the fix. */
  readonly option: string;
}

export interface Place {
  /** `id.aritma.io:443`. */
  readonly target: string;
  /** The outbound proxy, `proxy:3128`, if one is used. */
  readonly proxy?: string | undefined;
  /** The option that names the target, for the fix. */
  readonly option: string;
  /** True if a client certificate was sent. */
  readonly hasCertificate?: boolean;
  /** Time limit to connect. */
  readonly seconds: number;
  /** Time limits of a response; default: `seconds` for its beginning. */
  readonly limits?: ResponseLimits;
  /** How far the attempt got; default: not connected. */
  readonly stage?: 'handshake' | ResponseStage;
  /** The addresses of the host name, to append: ` (10.1.2.3, a private address)`. */
  readonly addresses?: string;
}

/** What a response was waited for: its beginning, its next part, its end. */
export type ResponseStage = 'response' | 'body' | 'whole';

/** Each with the option to raise. */
export type ResponseLimits = Readonly<Partial<Record<ResponseStage, { seconds: number; option: string }>>>;

/** Returns the place of a server. @param limitMs time limit to connect */
export function placeOf(
  { base, owner, option }: Leg,
  { proxy, tls }: Pick<LoadedConfig, 'proxy' | 'tls'>,
  limitMs: number,
): Place {
  const via = proxyFor(base, proxy);
  return {
    target: `${base.hostname}:${portOf(base)}`,
    proxy: via && proxyHost(via),
    option,
    hasCertificate: base.secure && tls.get(owner)?.cert !== undefined,
    seconds: limitMs / 1000,
  };
}

/** The port of a URL, also when it is the default of the scheme. */
export function portOf({ origin, secure }: BaseUrl): number {
  return Number(new URL(origin).port) || (secure ? 443 : 80);
}
