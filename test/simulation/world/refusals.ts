/** Refusals that say nothing of the token, or blame one that is valid. */
import type { Kind } from './world.ts';

/** `scope`: the token lacks one · `bare`: after the payment was executed, and without a challenge · `all`: whatever the token is. */
export type Refusal = 'scope' | 'bare' | 'all';

export class Refusals {
  readonly #left: Record<Refusal, number> = { scope: 0, bare: 0, all: 0 };

  next(kind: Refusal, times: number): void {
    this.#left[kind] = times;
  }

  /** Whether this kind is due; counts it. */
  take(kind: Refusal): boolean {
    if (this.#left[kind] === 0) return false;
    this.#left[kind] -= 1;
    return true;
  }

  end(): void {
    Object.assign(this.#left, { scope: 0, bare: 0, all: 0 });
  }
}

export const REFUSAL_KINDS: Readonly<Record<string, Kind>> = {
  'upstream.refuse': {
    weight: 2,
    draw: (chance) => ({ what: chance.pick(['scope', 'bare', 'all'] as const), times: chance.between(1, 8) }),
    apply: ({ upstream }, { what, times }) => upstream.refusals.next(what as Refusal, Number(times)),
  },
};
