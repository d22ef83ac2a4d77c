/** Mistakes in what the members of a fleet do together. */
import type { Mistake } from './mistakes.ts';

const SHARED = 'fleet/shared-token.ts';
const BUDGET = 'fleet/budget.ts';
const SLOT = 'fleet/token-slot.ts';
/** Of `fleet/scripts.ts`, whose Lua the simulated store does not run. */
const SCRIPTS = '../test/support/fleet-script-model.ts';

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
  'fleet-refused-taken-again': {
    needs: 'fleet',
    file: SLOT,
    from: 'return isOlder || memory.isRefused(authorization);',
    to: 'return isOlder;',
  },
  'fleet-older-than-own-taken': {
    needs: 'fleet',
    file: SLOT,
    from: 'return isOlder || memory.isRefused(authorization);',
    to: 'return memory.isRefused(authorization);',
  },
  'fleet-lock-too-short': {
    needs: 'fleet',
    file: SLOT,
    from: "void store.run('hold', [this.#key('lock')], [holder, String(lockMs)]);",
    to: '',
  },
  'fleet-lock-of-ended-token-kept': {
    needs: 'fleet',
    file: SCRIPTS,
    from: '    this.delete(lock);\n    const [stored = -1]',
    to: '    if (Number(ms) > 0) this.delete(lock);\n    const [stored = -1]',
  },
  'fleet-age-forgotten': {
    needs: 'fleet',
    file: SHARED,
    from: '    const leftS = leftMs / 1000;\n',
    to: '    const leftS = lifetimeS + 0 * leftMs;\n',
  },
  'fleet-token-in-clear': {
    needs: 'fleet',
    file: SLOT,
    from: 'await sealer.seal(place, contentOf(token))',
    to: 'JSON.stringify(contentOf(token))',
  },
  'fleet-forgets-at-new-settings': {
    needs: 'fleet',
    file: 'sidecar/fleet-link.ts',
    from: 'createFleet({ ...lasting, loaded, memory })',
    to: 'createFleet({ ...lasting, loaded, memory: new FleetMemory() })',
  },
  'fleet-refusal-not-told': {
    needs: 'fleet',
    file: 'sidecar/generation.ts',
    from: 'onRefused: (key, { authorization }) => origin(key).refuse(authorization),',
    to: '',
  },
  'budget-alone-without-share': {
    needs: 'fleet',
    file: BUDGET,
    from: 'if (this.#failed) return begun.secondsUntilBelow(this.#share);',
    to: 'if (this.#failed) return begun.secondsUntilBelow(this.#limit);',
  },
  'budget-lot-for-ever': {
    needs: 'fleet',
    file: BUDGET,
    from: 'return elapsedSince(this.#lotSince, now) < LOT_MS ? this.#lot : 0;',
    to: 'return elapsedSince(this.#lotSince, now) < LOT_MS * 1000 ? this.#lot : 0;',
  },
  'budget-begun-not-told': {
    needs: 'fleet',
    file: BUDGET,
    from: 'const begun = (this.#begun?.recent() ?? [])',
    to: 'const begun = (this.#begun?.recent().slice(-1) ?? [])',
  },
  'fleet-generation-forgotten': {
    needs: 'fleet',
    file: SHARED,
    from: '        this.#known = found.token.generation;\n        return isIt(',
    to: '        return isIt(',
  },
};
