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
  /** The one the server accepted last, unless it has refused it since. */
  accepted(): ClientSecret | undefined;
  all(): readonly ClientSecret[];
}

/** How long a refused secret is not tried while another one works: servers lock out clients that keep failing. */
const PROBE_AFTER_MS = 600_000;

export function createSecretFailover({
  clientSecrets,
  replaced,
  clock,
  onVerdict,
}: SecretFailoverOptions): SecretFailover {
  let accepted = replaced && { ...replaced, name: 'replaced' };
  let all = accepted ? [...clientSecrets, accepted] : clientSecrets;
  const refusedAt = new Map<ClientSecret, Instant>();
  const isWorthTrying = (clientSecret: ClientSecret) => {
    const refused = refusedAt.get(clientSecret);
    return refused === undefined || elapsedSince(refused, clock.now()) >= PROBE_AFTER_MS;
  };
  return {
    candidates() {
      const { promising = [], refused = [] } = Object.groupBy(all, (clientSecret) =>
        isWorthTrying(clientSecret) ? 'promising' : 'refused',
      );
      return [...promising, ...refused];
    },
    accept(clientSecret) {
      if (accepted !== clientSecret) onVerdict?.(clientSecret.name, 'accepted');
      accepted = clientSecret;
      refusedAt.delete(clientSecret);
      if (clientSecrets.includes(clientSecret)) all = clientSecrets;
    },
    refuse(clientSecret) {
      if (!refusedAt.has(clientSecret)) onVerdict?.(clientSecret.name, 'refused');
      refusedAt.set(clientSecret, clock.now());
      if (accepted === clientSecret) accepted = undefined;
    },
    accepted: () => accepted,
    all: () => all,
  };
}
