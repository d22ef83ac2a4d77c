/**
 * The client secrets (or keys) of one client id, in order, and the server's verdict on each: which one to try first,
 * which to leave alone, and which one to fall back to while a replacement is not accepted yet.
 */

import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';
import type { ClientAuth } from './client-auth.ts';

/** One way to authenticate as the client. */
export interface ClientSecret {
  /** A bounded name for metrics: the position in the configuration, or `replaced`. */
  readonly name: string;
  readonly fingerprint: string;
  readonly authenticate: ClientAuth;
}

export interface SecretFailoverOptions {
  readonly clientSecrets: readonly ClientSecret[];
  /** What the server accepted before `clientSecrets` replaced it: used until it accepts one of those. */
  readonly replaced?: ClientSecret | undefined;
  readonly clock: Clock;
  /** Told the name of a client secret when the server accepts it instead of another or begins to refuse it. */
  readonly onVerdict?: (clientSecret: string, verdict: 'accepted' | 'refused') => void;
}

export interface SecretFailover {
  /** In the order to try them, those refused a short while ago last. */
  candidates(): ClientSecret[];
  accept(clientSecret: ClientSecret): void;
  refuse(clientSecret: ClientSecret): void;
  /** What the sources hold now; verdicts stay with the secrets they were about. */
  replace(next: readonly ClientSecret[]): void;
  /** The one the server accepted last, unless it has refused it since. */
  accepted(): ClientSecret | undefined;
  all(): readonly ClientSecret[];
}

/** How long a refused secret is not tried while another one works: servers lock out clients that keep failing. */
const PROBE_AFTER_MS = 600_000;

export function createSecretFailover(options: SecretFailoverOptions): SecretFailover {
  const { replaced, clock, onVerdict } = options;
  let { clientSecrets } = options;
  let accepted = replaced && { ...replaced, name: 'replaced' };
  let all = accepted ? [...clientSecrets, accepted] : clientSecrets;
  /** By fingerprint. */
  const refusedAt = new Map<string, Instant>();
  const isWorthTrying = ({ fingerprint }: ClientSecret) => {
    const refused = refusedAt.get(fingerprint);
    return refused === undefined || elapsedSince(refused, clock.now()) >= PROBE_AFTER_MS;
  };
  const sameIn = (list: readonly ClientSecret[], { fingerprint }: ClientSecret) =>
    list.find((one) => one.fingerprint === fingerprint);
  return {
    candidates() {
      const { promising = [], refused = [] } = Object.groupBy(all, (clientSecret) =>
        isWorthTrying(clientSecret) ? 'promising' : 'refused',
      );
      return [...promising, ...refused];
    },
    accept(clientSecret) {
      if (accepted?.fingerprint !== clientSecret.fingerprint) onVerdict?.(clientSecret.name, 'accepted');
      accepted = clientSecret;
      refusedAt.delete(clientSecret.fingerprint);
      if (sameIn(clientSecrets, clientSecret)) all = clientSecrets;
    },
    refuse(clientSecret) {
      const { name, fingerprint } = clientSecret;
      // Of one that its source no longer holds nobody needs to hear.
      const isHeld = sameIn(all, clientSecret)?.name === name;
      if (isHeld && !refusedAt.has(fingerprint)) onVerdict?.(name, 'refused');
      refusedAt.set(fingerprint, clock.now());
      if (accepted?.fingerprint === fingerprint) accepted = undefined;
    },
    replace(next) {
      clientSecrets = next;
      if (accepted) accepted = sameIn(next, accepted) ?? { ...accepted, name: 'replaced' };
      all = accepted && !sameIn(next, accepted) ? [...next, accepted] : next;
    },
    accepted: () => accepted,
    all: () => all,
  };
}
