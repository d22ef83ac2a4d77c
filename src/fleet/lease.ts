/** The right of one member to rotate a secret. It ends by itself when its holder is not heard of, so nobody has to clean up. */
import type { Clock } from '../core/clock.ts';
import { SidecarError } from '../core/errors.ts';

export interface LeaseOptions {
  readonly holder: string;
  readonly clock: Clock;
  /** Runs one of two scripts on the lease. @throws SidecarError ROTATION_STORE_FAILED */
  readonly run: (script: 'lease' | 'release', args: readonly string[]) => Promise<unknown>;
}

/** Without news of its holder, a lease ends after this. */
const LEASE_MS = 30_000;
const RENEW_MS = 10_000;

export class Lease {
  readonly holder: string;
  readonly #options: LeaseOptions;
  #renewing: Promise<unknown> = Promise.resolve();
  #cancel: () => void = () => undefined;
  #isOver = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.holder = options.holder;
  }

  /** @throws SidecarError ROTATION_LOCKED while somebody has it */
  async take(): Promise<void> {
    await this.#ask('take');
  }

  /** Makes sure that it is still this holder's. @returns epoch ms by the store @throws SidecarError ROTATION_LOCKED */
  confirm(): Promise<number> {
    return this.#ask('keep');
  }

  /** Keeps it until `release`. */
  keep(): void {
    if (this.#isOver) return;
    this.#cancel = this.#options.clock.startTimer(RENEW_MS, () => {
      this.#renewing = this.confirm().then(
        () => this.keep(),
        () => this.keep(),
      );
    });
  }

  /** Never throws: one that cannot be given back ends soon. */
  async release(): Promise<void> {
    this.#isOver = true;
    this.#cancel();
    await this.#renewing;
    await this.#options.run('release', [this.holder]).catch(() => undefined);
  }

  async #ask(mode: 'take' | 'keep'): Promise<number> {
    const [now, current] = (await this.#options.run('lease', [this.holder, String(LEASE_MS), mode])) as unknown[];
    if (current !== this.holder)
      throw new SidecarError('ROTATION_LOCKED', {
        fields: { holder: String(current) || 'nobody: the lease was over' },
      });
    return Number(now);
  }
}
