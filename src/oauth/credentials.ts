/**
 * A credential: one client id with its proofs (secrets or keys) in order. Knows which proof the server accepts at present,
 * falls over to the next on `invalid_client` and comes back to an earlier one when that works again, which is what lets
 * a secret be rotated without a gap.
 */
import type { Dispatcher } from 'undici';
import type { ClientAuth } from './client-auth.ts';
import { type Clock, elapsedSince, type Instant } from './clock.ts';
import { sendTokenRequest, type TokenAnswer } from './token-endpoint.ts';
import type { Verify } from './verifier.ts';

/** One way to authenticate as the client. */
export interface Proof {
  /** A bounded name for metrics: the position in the configuration. */
  readonly name: string;
  readonly fingerprint: string;
  readonly authenticate: ClientAuth;
}

/** Where token requests go. */
export interface Endpoint {
  readonly dispatcher: Dispatcher;
  readonly path: string;
  /** For assertions: the issuer if known, else the URL of the token endpoint. */
  readonly audience: string;
}

type Failure = Exclude<TokenAnswer, { kind: 'token' }>;

export interface CredentialOptions {
  readonly name: string;
  readonly proofs: readonly Proof[];
  /** Finds the token endpoint; a failure counts as if the endpoint had answered it. */
  readonly locate: () => Promise<Endpoint | Failure>;
  /** The endpoint could not be used: whatever `locate` keeps may be out of date. */
  readonly onUnusable?: () => void;
  /** Checks a token before it is used; absent = taken as it is. */
  readonly verify?: Verify | undefined;
  /** Sent with every request, beside the target's. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly deadlineMs: number;
  readonly clock: Clock;
  /** Told of every single request to the token endpoint. `result` is from a closed list. */
  readonly onRequest?: (result: string, seconds: number) => void;
}

/** What a token is asked for; `undefined` leaves the parameter out. */
export interface TokenTarget {
  readonly scope: string | undefined;
  readonly audience: string | undefined;
  readonly resource: string | undefined;
}

export interface Credential {
  readonly name: string;
  /** One grant, tried with each proof at most once. Never throws. */
  fetchToken(target: TokenTarget): Promise<TokenAnswer>;
  /** For `/status`: fingerprints only. */
  secretsInUse(): { name: string; fingerprint: string; inUse: boolean }[];
}

/** A refused proof is left alone this long while another one works: servers lock clients out that keep failing. */
const PROBE_AFTER_MS = 600_000;

export function createCredential(options: CredentialOptions): Credential {
  const { proofs, clock } = options;
  const refusedAt = new Map<Proof, Instant>();
  let accepted: Proof | undefined;

  const isWorthTrying = (proof: Proof) => {
    const refused = refusedAt.get(proof);
    return refused === undefined || elapsedSince(refused, clock.now()) >= PROBE_AFTER_MS;
  };

  async function tryProof(proof: Proof, endpoint: Endpoint, target: TokenTarget): Promise<TokenAnswer> {
    const startedAt = performance.now();
    const answer = await sendOne(options, { proof, endpoint, target });
    const result = answer.kind === 'token' ? 'ok' : answer.result;
    options.onRequest?.(result, (performance.now() - startedAt) / 1000);
    if (answer.kind === 'token') {
      accepted = proof;
      refusedAt.delete(proof);
    } else if (result === 'invalid_client') {
      refusedAt.set(proof, clock.now());
      if (accepted === proof) accepted = undefined;
    }
    return answer;
  }

  async function fetchToken(target: TokenTarget): Promise<TokenAnswer> {
    const endpoint = await options.locate();
    if ('kind' in endpoint) {
      options.onRequest?.(endpoint.result, 0);
      return endpoint;
    }
    const promising = proofs.filter(isWorthTrying);
    // First those that may work, then, only if none did, those that were refused a short while ago.
    const order = [...promising, ...proofs.filter((proof) => !promising.includes(proof))];
    let answer: TokenAnswer = { kind: 'rejected', result: 'invalid_client' };
    for (const proof of order) {
      answer = await tryProof(proof, endpoint, target);
      // Only this code says that the proof is the problem; any other would be the same with the next one.
      if (answer.kind === 'token' || answer.result !== 'invalid_client') break;
    }
    if (answer.kind === 'unavailable' || answer.kind === 'nonsense') options.onUnusable?.();
    return answer.kind === 'token' ? ((await options.verify?.(answer.authorization)) ?? answer) : answer;
  }

  return {
    name: options.name,
    fetchToken,
    secretsInUse: () =>
      proofs.map((proof) => ({ name: proof.name, fingerprint: proof.fingerprint, inUse: proof === accepted })),
  };
}

async function sendOne(
  { parameters, deadlineMs }: CredentialOptions,
  { proof, endpoint, target }: { proof: Proof; endpoint: Endpoint; target: TokenTarget },
): Promise<TokenAnswer> {
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...parameters });
  for (const parameter of ['scope', 'audience', 'resource'] as const) {
    const value = target[parameter];
    if (value !== undefined) form.set(parameter, value);
  }
  const headers: Record<string, string> = {};
  await proof.authenticate({ form, headers, audience: endpoint.audience });
  return sendTokenRequest({ dispatcher: endpoint.dispatcher, path: endpoint.path, form, headers, deadlineMs });
}
