/**
 * Verifies that a secret gets a token. Each server may cache a client for 15 minutes, so one refusal is not final and
 * one success is not enough.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';

/** `unavailable`: the identity server gave no verdict. */
export type Verdict = 'accepted' | 'refused' | 'unavailable';

/** Sends one real token request with only this secret. Never throws. */
export type TrySecret = (secret: Secret) => Promise<Verdict>;

export interface VerificationOptions {
  readonly trySecret: TrySecret;
  /** ms after which it gives up. */
  readonly forMs: number;
  readonly clock: RotationClock;
  /** Called after each try that was not accepted. */
  readonly onRefusal?: (verdict: Verdict, remainingMs: number) => void;
}

export interface RotationClock {
  /** Epoch ms. */
  now(): number;
  sleep(ms: number): Promise<void>;
}

/** Accepted tries in a row that are required: several servers may share one address. */
const IN_A_ROW = 3;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/**
 * Returns true when the secret works, false when the last try within the time was refused.
 * @throws SidecarError TOKEN_UNAVAILABLE when the last try got no verdict
 */
export async function verify(secret: Secret, options: VerificationOptions): Promise<boolean> {
  const { trySecret, forMs, clock, onRefusal } = options;
  const giveUpAt = clock.now() + forMs;
  let pauseMs = FIRST_PAUSE_MS;
  let waitedMs = 0;
  let accepted = 0;
  for (;;) {
    const verdict = await trySecret(secret);
    accepted = verdict === 'accepted' ? accepted + 1 : 0;
    if (accepted >= IN_A_ROW) return true;
    // Somebody may have set the clock back.
    const remainingMs = Math.min(giveUpAt - clock.now(), forMs - waitedMs);
    // One that is accepted late gets its other tries: the machine may have slept during a pause.
    if (remainingMs <= 0 && verdict === 'unavailable') throw new SidecarError('TOKEN_UNAVAILABLE');
    if (remainingMs <= 0 && verdict === 'refused') return false;
    if (verdict !== 'accepted') onRefusal?.(verdict, remainingMs);
    pauseMs = verdict === 'accepted' ? FIRST_PAUSE_MS : Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS);
    const sleepMs = Math.min(pauseMs, Math.max(remainingMs, FIRST_PAUSE_MS));
    await clock.sleep(sleepMs);
    waitedMs += sleepMs;
  }
}
