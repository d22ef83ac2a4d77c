/**
 * A server as errors tell of it: which option names it, what is in between, how long it is given.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { BaseUrl } from '../config/parsers.ts';
import { proxyFor, proxyHost } from './outbound-proxy.ts';

export interface Leg {
  readonly base: BaseUrl;
  /** Whose TLS files apply: `credential NAME` or `route PATH`. */
  readonly owner: string;
  /** The option that names the server, for advice. */
  readonly option: string;
}

export interface Place {
  /** `id.aritma.io:443`. */
  readonly target: string;
  /** Of the company's proxy, `proxy:3128`, if one is in between. */
  readonly proxy?: string | undefined;
  /** Of the option that names the target, for advice. */
  readonly option: string;
  /** A client certificate was shown. */
  readonly hasCertificate?: boolean;
  /** It was given to connect. */
  readonly seconds: number;
  /** And to respond; the same without. */
  readonly responseSeconds?: number;
  /** How far it got; default: not even connected. */
  readonly stage?: 'handshake' | 'response';
  /** What is known of the addresses behind the name, ` (10.1.2.3, a private address)`. */
  readonly addresses?: string;
}

/** @param limitMs what it is given to connect */
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

export function portOf({ origin, secure }: BaseUrl): number {
  return Number(new URL(origin).port) || (secure ? 443 : 80);
}
