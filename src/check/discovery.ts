/**
 * Fetches the identity server's discovery document, judges it by the sidecar's rule and explains a refusal. Compares
 * the server's clock (`Date`, RFC 9110 §6.6.1) with this machine's, because assertions and tokens depend on the time.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { Words } from '../core/failure.ts';
import { parseObject } from '../net/bounded-request.ts';
import { failureWords } from '../net/connection-errors.ts';
import { createEgress } from '../net/egress.ts';
import { type Leg, placeOf } from '../net/place.ts';
import { isAcceptable } from '../oauth/credentials.ts';
import { type Discovered, interpretDocument } from '../oauth/discovery.ts';
import { redirectTarget } from '../oauth/token-errors.ts';
import type { RawResponse } from '../oauth/token-response.ts';
import { FINDING, type Finding, shown } from './finding.ts';
import { ask, LIMIT_MS } from './request.ts';

export interface DiscoveryReport {
  readonly finding: Finding;
  /** Absent when it is unusable. */
  readonly document?: Discovered | undefined;
  readonly reading: Reading | undefined;
}

const MAX_BODY_BYTES = 256 * 1024;

/** Fetches the document once. Never throws for what the server or network does. */
export async function discover(name: string, leg: Leg, loaded: LoadedConfig): Promise<DiscoveryReport> {
  const subject = `discovery ${name}`;
  const egress = createEgress(leg.base, { loaded, connections: 1, maxBytes: 2 * MAX_BODY_BYTES, owner: leg.owner });
  const { response, failed } = await ask(egress.dispatcher, {
    path: `${leg.base.basePath}/.well-known/openid-configuration`,
    headers: { accept: 'application/json' },
    limitMs: LIMIT_MS.discovery,
    maxBytes: MAX_BODY_BYTES,
  });
  await egress.destroy();
  if (!response) {
    const words = failureWords(failed, { ...placeOf(leg, loaded, LIMIT_MS.discovery), stage: 'response' });
    return { finding: FINDING.error(subject, 'TOKEN_UNAVAILABLE', words), reading: undefined };
  }
  const reading = { date: response.headers['date'], at: Date.now() };
  const issuer = leg.base.origin + leg.base.basePath;
  const body = response.status === 200 ? parseObject(response.body) : undefined;
  const accepts = (url: string) => isAcceptable(url, loaded.config);
  const outcome = body && interpretDocument(body, { issuer, isAcceptable: accepts });
  if (outcome && 'found' in outcome) {
    const finding = FINDING.ok(subject, `names the token endpoint ${shown(outcome.found.tokenEndpoint)}`);
    return { finding, document: outcome.found, reading };
  }
  return { finding: FINDING.error(subject, 'TOKEN_UNAVAILABLE', refusal(response, body, issuer)), reading };
}

const OR_ENDPOINT = 'if the server has no such document, configure tokenEndpoint instead of issuer';

function refusal(response: RawResponse, body: Record<string, unknown> | undefined, issuer: string): Words {
  const url = `${issuer}/.well-known/openid-configuration`;
  if (!body) {
    const target = response.status >= 300 && response.status < 400 ? redirectTarget(response) : undefined;
    const to = target === undefined ? '' : `, a redirect to ${target}`;
    return {
      cause: response.status === 404 ? 'discovery_not_found' : 'discovery_not_usable',
      message: `there is no discovery document at ${url} (HTTP ${response.status}${to})`,
      fix: `open that address to check issuer, including its path; ${OR_ENDPOINT}`,
    };
  }
  if (body['issuer'] !== issuer) {
    return {
      cause: 'discovery_mismatch',
      message: `the discovery document has the issuer ${shown(body['issuer'] ?? '(none)')}, not the configured ${issuer}`,
      fix: 'set issuer exactly as in the document, with or without the slash at the end',
    };
  }
  const has = body['token_endpoint'] !== undefined;
  return {
    cause: 'discovery_no_token_endpoint',
    message: `the discovery document at ${url} names ${has ? 'a token endpoint without https, which must not get a secret' : 'no token endpoint'}`,
    fix: `ask the identity server's operator; or configure tokenEndpoint instead of issuer`,
  };
}

export interface Reading {
  /** The `Date` header as received; whole seconds. */
  readonly date: string | string[] | undefined;
  /** When the response arrived, epoch ms. */
  readonly at: number;
}

const WARNING_S = 30;
const ERROR_S = 300;

/**
 * Compares the clocks: warns from 30 s, error from 300 s. Undefined when the server sends no usable `Date`.
 * @param works whether a token was obtained; then a wrong clock is only a warning
 */
export function clockFinding(host: string, { date, at }: Reading, works: boolean): Finding | undefined {
  const theirs = typeof date === 'string' ? Date.parse(date) : Number.NaN;
  if (Number.isNaN(theirs)) return undefined;
  const skewS = Math.round((at - theirs) / 1000);
  const subject = `clock (${host})`;
  if (Math.abs(skewS) <= WARNING_S) return FINDING.ok(subject, 'agrees with the identity server’s clock');
  const words = {
    cause: 'clock_skew',
    message: `this machine's clock is ${Math.abs(skewS)} s ${skewS > 0 ? 'ahead of' : 'behind'} the identity server's`,
    fix: 'synchronize it with NTP (timedatectl, chronyc tracking); on a virtual machine, also check the host’s clock',
  };
  if (Math.abs(skewS) <= ERROR_S) return FINDING.warning(subject, 'TOKEN_UNAVAILABLE', words);
  const breaks =
    'signed assertions (private_key_jwt) are refused, tokens and certificates look expired or not yet valid';
  const message = `${words.message}; ${works ? 'the token request worked, but with this difference ' : ''}${breaks}`;
  return FINDING[works ? 'warning' : 'error'](subject, 'TOKEN_UNAVAILABLE', { ...words, message });
}
