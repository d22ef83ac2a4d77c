/**
 * A credential: one client id that gets tokens. Falls over to its next proof on `invalid_client` and comes back to an
 * earlier one when that works again, which is what lets a secret be rotated without a gap.
 */
import type { Dispatcher } from 'undici';
import { createProofs, type Proof, type ProofOptions } from './secret-failover.ts';
import { sendTokenRequest, type TokenAnswer } from './token-endpoint.ts';
import type { Verify } from './token-verifier.ts';

/** Where token requests go. */
export interface Endpoint {
  readonly dispatcher: Dispatcher;
  readonly path: string;
  /** For assertions: the issuer if known, else the URL of the token endpoint. */
  readonly audience: string;
}

type Failure = Exclude<TokenAnswer, { kind: 'token' }>;

export interface CredentialOptions extends ProofOptions {
  readonly name: string;
  /** Finds the token endpoint; a failure counts as if the endpoint had answered it. */
  readonly locate: () => Promise<Endpoint | Failure>;
  /** The endpoint could not be used: whatever `locate` keeps may be out of date. */
  readonly onUnusable?: () => void;
  /** Checks a token before it is used; absent = taken as it is. */
  readonly verify?: Verify | undefined;
  /** Sent with every request, beside the target's. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly deadlineMs: number;
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
  /** The proof the server accepted last, unless it has refused it since. */
  accepted(): Proof | undefined;
  /** For `/status`: fingerprints only. */
  secretsInUse(): { name: string; fingerprint: string; inUse: boolean }[];
}

export function createCredential(options: CredentialOptions): Credential {
  const proofs = createProofs(options);

  async function tryProof(proof: Proof, endpoint: Endpoint, target: TokenTarget): Promise<TokenAnswer> {
    const startedAt = performance.now();
    const answer = await sendOne(options, { proof, endpoint, target });
    const result = answer.kind === 'token' ? 'ok' : answer.result;
    options.onRequest?.(result, (performance.now() - startedAt) / 1000);
    if (answer.kind === 'token') proofs.accept(proof);
    else if (result === 'invalid_client') proofs.refuse(proof);
    return answer;
  }

  async function fetchToken(target: TokenTarget): Promise<TokenAnswer> {
    const endpoint = await options.locate();
    if ('kind' in endpoint) {
      options.onRequest?.(endpoint.result, 0);
      return endpoint;
    }
    let answer: TokenAnswer = { kind: 'rejected', result: 'invalid_client' };
    for (const proof of proofs.candidates()) {
      answer = await tryProof(proof, endpoint, target);
      // Only this code says that the proof is the problem; any other would be the same with the next one.
      if (answer.kind === 'token' || answer.result !== 'invalid_client') break;
    }
    if (answer.kind === 'unavailable' || answer.kind === 'nonsense') options.onUnusable?.();
    return answer.kind === 'token' ? ((await options.verify?.(answer.authorization)) ?? answer) : answer;
  }

  return {
    name: options.name,
    // A source waits for its answer and has no other word for a mistake of ours.
    fetchToken: (target) => fetchToken(target).catch(() => ({ kind: 'unavailable', result: 'internal' })),
    accepted: proofs.accepted,
    secretsInUse: () =>
      proofs.all().map((proof) => ({
        name: proof.name,
        fingerprint: proof.fingerprint,
        inUse: proof === proofs.accepted(),
      })),
  };
}

async function sendOne(
  { parameters, deadlineMs }: CredentialOptions,
  { proof, endpoint, target }: { proof: Proof; endpoint: Endpoint; target: TokenTarget },
): Promise<TokenAnswer> {
  const form = grantForm(target, parameters);
  const headers: Record<string, string> = {};
  await proof.authenticate({ form, headers, audience: endpoint.audience });
  return sendTokenRequest({ dispatcher: endpoint.dispatcher, path: endpoint.path, form, headers, deadlineMs });
}

/** What is asked for (RFC 6749 §4.4.2), without the proof of who asks. */
export function grantForm(target: TokenTarget, parameters: Readonly<Record<string, string>> = {}): URLSearchParams {
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...parameters });
  for (const parameter of ['scope', 'audience', 'resource'] as const) {
    const value = target[parameter];
    if (value !== undefined) form.set(parameter, value);
  }
  return form;
}
