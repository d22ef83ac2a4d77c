/**
 * Does a secret get a token? Servers may keep what they know of a client for a quarter of an hour, each of them by itself,
 * so one "no" is not the last word and one "yes" not enough.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';

/** `unavailable`: nobody has said yes or no. */
export type Verdict = 'accepted' | 'refused' | 'unavailable';

/** One real token request with the secret and nothing else. Never throws. */
export type TrySecret = (secret: Secret) => Promise<Verdict>;

export interface VerificationOptions {
  readonly trySecret: TrySecret;
  /** Give up after this long. */
  readonly forMs: number;
  readonly clock: RotationClock;
  /** Told of every try that was not accepted. */
  readonly onRefusal?: (verdict: Verdict, remainingMs: number) => void;
}

export interface RotationClock {
  /** Epoch ms. */
  now(): number;
  sleep(ms: number): Promise<void>;
}

/** Behind one address there may be several servers; this many in a row must agree. */
const IN_A_ROW = 3;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/**
 * True when the secret works, false when it was still refused at the end of the time.
 * @throws SidecarError TOKEN_UNAVAILABLE when at the end nobody could be asked
 */
export async function verify(secret: Secret, options: VerificationOptions): Promise<boolean> {
  const { trySecret, forMs, clock, onRefusal } = options;
  const giveUpAt = clock.now() + forMs;
  let pauseMs = FIRST_PAUSE_MS;
  let accepted = 0;
  for (;;) {
    const verdict = await trySecret(secret);
    accepted = verdict === 'accepted' ? accepted + 1 : 0;
    if (accepted >= IN_A_ROW) return true;
    const remainingMs = giveUpAt - clock.now();
    if (remainingMs <= 0) {
      if (verdict === 'unavailable') throw new SidecarError('TOKEN_UNAVAILABLE');
      return false;
    }
    if (verdict !== 'accepted') onRefusal?.(verdict, remainingMs);
    pauseMs = verdict === 'accepted' ? FIRST_PAUSE_MS : Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS);
    await clock.sleep(Math.min(pauseMs, Math.max(remainingMs, FIRST_PAUSE_MS)));
  }
}
