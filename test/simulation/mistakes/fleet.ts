/** Mistakes in what the members of a fleet do together. */
import type { Mistake } from './mistakes.ts';

const SHARED = 'fleet/shared-token.ts';

export const FLEET_MISTAKES: Readonly<Record<string, Mistake>> = {
  'fleet-lock-ignored': {
    needs: 'fleet',
    file: SHARED,
    from: 'if (leftMs <= 0) return isBusy && seen.size > 1',
    to: 'if (leftMs <= 0 || isBusy) return isBusy && seen.size > 1',
  },
  'fleet-older-generation-taken': {
    needs: 'fleet',
    file: SHARED,
    from: 'await this.#slot.acquire(this.#known, newHolder(), secrets());',
    to: 'await this.#slot.acquire(0, newHolder(), secrets());',
  },
  'fleet-store-fault-fails-call': {
    needs: 'fleet',
    file: SHARED,
    from: '(await this.#spread(ask.untilAwaited)) ? undefined : this.#alone(ask);',
    to: "this.#failed('unavailable', 'timeout');",
  },
};
