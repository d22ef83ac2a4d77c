/**
 * The proofs (secrets or keys) of one client id, in order, and what the server thinks of each: which one to try first,
 * which to leave alone, and which one to fall back to while a replacement is not accepted yet.
 */

import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';
import type { ClientAuth } from './client-auth.ts';

/** One way to authenticate as the client. */
export interface Proof {
  /** A bounded name for metrics: the position in the configuration, or `replaced`. */
  readonly name: string;
  readonly fingerprint: string;
  readonly authenticate: ClientAuth;
}

export interface ProofOptions {
  readonly proofs: readonly Proof[];
  /** What the server accepted before `proofs` took its place: used while it accepts none of them, then forgotten. */
  readonly replaced?: Proof | undefined;
  readonly clock: Clock;
  /** Told of a proof, by its name, when the server accepts it instead of another or begins to refuse it. */
  readonly onVerdict?: (proof: string, verdict: 'accepted' | 'refused') => void;
}

export interface Proofs {
  /** In the order to try them, those refused a short while ago last. */
  candidates(): Proof[];
  accept(proof: Proof): void;
  refuse(proof: Proof): void;
  /** The one the server accepted last, unless it has refused it since. */
  accepted(): Proof | undefined;
  all(): readonly Proof[];
}

/** A refused proof is left alone this long while another one works: servers lock clients out that keep failing. */
const PROBE_AFTER_MS = 600_000;

export function createProofs({ proofs, replaced, clock, onVerdict }: ProofOptions): Proofs {
  let accepted = replaced && { ...replaced, name: 'replaced' };
  let all = accepted ? [...proofs, accepted] : proofs;
  const refusedAt = new Map<Proof, Instant>();
  const isWorthTrying = (proof: Proof) => {
    const refused = refusedAt.get(proof);
    return refused === undefined || elapsedSince(refused, clock.now()) >= PROBE_AFTER_MS;
  };
  return {
    candidates() {
      const { promising = [], refused = [] } = Object.groupBy(all, (proof) =>
        isWorthTrying(proof) ? 'promising' : 'refused',
      );
      return [...promising, ...refused];
    },
    accept(proof) {
      if (accepted !== proof) onVerdict?.(proof.name, 'accepted');
      accepted = proof;
      refusedAt.delete(proof);
      if (proofs.includes(proof)) all = proofs;
    },
    refuse(proof) {
      if (!refusedAt.has(proof)) onVerdict?.(proof.name, 'refused');
      refusedAt.set(proof, clock.now());
      if (accepted === proof) accepted = undefined;
    },
    accepted: () => accepted,
    all: () => all,
  };
}
