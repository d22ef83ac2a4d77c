/**
 * The client secrets (or keys) of one client id in order, and the server's verdict on each: which one to try first, which
 * one to skip, and which one to use while the server does not accept its replacement yet.
 */
import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';
import type { ClientAuth } from './client-auth.ts';

/** One client secret or key, ready to authenticate with. */
export interface ClientSecret {
  /** Metric label from a bounded set: the position in the configuration, or `replaced`. */
  readonly name: string;
  readonly fingerprint: string;
  readonly authenticate: ClientAuth;
  /** Expiry of an assertion from a file, epoch ms; absent for secrets and keys. */
  readonly expiresAt?: () => number | undefined;
}

export interface SecretFailoverOptions {
  readonly clientSecrets: readonly ClientSecret[];
  /** The secret that worked before a reload; used until the server accepts one of `clientSecrets`. */
  readonly replaced?: ClientSecret | undefined;
  /** Others that the server was not asked with, those of the newest configuration first. They do not count as accepted. */
  readonly untried?: readonly ClientSecret[] | undefined;
  /** One of `clientSecrets` that worked before a reload: a later reload may replace it before the server is asked. */
  readonly inherited?: ClientSecret | undefined;
  readonly clock: Clock;
  /** Called when the server accepts a client secret instead of another one, or begins to refuse it. */
  readonly onVerdict?: (clientSecret: string, verdict: 'accepted' | 'refused') => void;
}

export interface SecretFailover {
  /** Returns the secrets in the order to try them; recently refused ones come last. */
  candidates(): ClientSecret[];
  accept(clientSecret: ClientSecret): void;
  refuse(clientSecret: ClientSecret): void;
  /** Replaces the list by what the sources hold now; verdicts on unchanged secrets stay. */
  replace(next: readonly ClientSecret[]): void;
  /** The one the server accepted last, unless it has refused it since. */
  accepted(): ClientSecret | undefined;
  /** Whether it is that one; a replaced one only after the server has refused a newer one, which is asked with first. */
  isInUse(clientSecret: ClientSecret): boolean;
  /** Those that the server has not refused, also ones that it was never asked with; those of older configurations last. */
  unrefused(): ClientSecret[];
  all(): readonly ClientSecret[];
}

/** A refused secret is not tried for this long while another one works: servers lock out clients that keep failing. */
const PROBE_AFTER_MS = 600_000;

/**
 * Creates the failover of one client id.
 * @example
 * const [first] = failover.candidates(); // then `accept(first)` or `refuse(first)`, as the server decides
 */
export function createSecretFailover(options: SecretFailoverOptions): SecretFailover {
  const { replaced, clock, onVerdict } = options;
  let { clientSecrets, inherited } = options;
  let accepted = replaced && { ...replaced, name: 'replaced' };
  let untried = (options.untried ?? []).map((one) => ({ ...one, name: 'replaced' }));
  /** By fingerprint. */
  const refusedAt = new Map<string, Instant>();
  const isRefused = ({ fingerprint }: ClientSecret) => refusedAt.has(fingerprint);
  const isWorthTrying = ({ fingerprint }: ClientSecret) => {
    const refused = refusedAt.get(fingerprint);
    return refused === undefined || elapsedSince(refused, clock.now()) >= PROBE_AFTER_MS;
  };
  const withOlder = (next: readonly ClientSecret[]) => {
    const older = accepted ? [...untried, accepted] : untried;
    return [...next, ...older.filter((one) => !sameIn(next, one))];
  };
  let all: readonly ClientSecret[] = withOlder(clientSecrets);
  const latest = () => accepted ?? inherited;
  return {
    candidates: () => all.toSorted((one, other) => Number(isWorthTrying(other)) - Number(isWorthTrying(one))),
    accept(clientSecret) {
      if (accepted?.fingerprint !== clientSecret.fingerprint) onVerdict?.(clientSecret.name, 'accepted');
      accepted = clientSecret;
      inherited = undefined;
      untried = [];
      refusedAt.delete(clientSecret.fingerprint);
      all = withOlder(clientSecrets);
    },
    refuse(clientSecret) {
      const { name, fingerprint } = clientSecret;
      // A secret that its source no longer holds is not worth a message.
      const isHeld = sameIn(all, clientSecret)?.name === name;
      if (isHeld && !refusedAt.has(fingerprint)) onVerdict?.(name, 'refused');
      refusedAt.set(fingerprint, clock.now());
      if (accepted?.fingerprint === fingerprint) accepted = undefined;
      if (inherited?.fingerprint === fingerprint) inherited = undefined;
    },
    replace(next) {
      clientSecrets = next;
      if (accepted) accepted = sameIn(next, accepted) ?? { ...accepted, name: 'replaced' };
      all = withOlder(next);
    },
    accepted: latest,
    isInUse: (clientSecret) =>
      latest()?.fingerprint === clientSecret.fingerprint &&
      (sameIn(clientSecrets, clientSecret) ?? clientSecrets.find(isRefused)) !== undefined,
    unrefused: () => [...clientSecrets, ...untried].filter((one) => !isRefused(one)),
    all: () => all,
  };
}

function sameIn(list: readonly ClientSecret[], { fingerprint }: ClientSecret): ClientSecret | undefined {
  return list.find((one) => one.fingerprint === fingerprint);
}
