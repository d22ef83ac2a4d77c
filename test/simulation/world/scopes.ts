/** Scopes: which ones the client may have, which ones the API wants, and which ones the configuration asks for. */
import type { SidecarHost } from './sidecar-host.ts';
import type { Kind, World } from './world.ts';

const PAYMENTS = 'payments';
const WRITE = 'payments.write';
const READ = 'payments.read';
const MINUTE = 60_000;

export class Scopes {
  readonly #world: World;
  /** Of the client, at the identity server. */
  readonly #granted = new Set([PAYMENTS]);
  #isWriteWanted = false;
  /** `scope` of the route; undefined: that of the credential. */
  ofRoute: string | undefined;
  #repairs = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** `scope` of the credential. */
  ofCredential(host: SidecarHost): string {
    return this.#world.members.hasDifferent('scope', host) ? `${PAYMENTS} ${READ}` : PAYMENTS;
  }

  /** What the configuration of a host asks for. */
  wantedBy(host: SidecarHost): string {
    return this.ofRoute ?? this.ofCredential(host);
  }

  /** The client may have another one, which nobody needs. */
  grantOther(): void {
    this.#granted.add(READ);
  }

  /** Whether the client may have all that it asks for. */
  allows(asked: string): boolean {
    return asked.split(' ').every((scope) => this.#granted.has(scope));
  }

  /** Whether the API takes a payment with a token for these. */
  suffices(scope: string): boolean {
    return !this.#isWriteWanted || scope.split(' ').includes(WRITE);
  }

  /** The administrator takes the client's scope away, and gives it back. */
  remove(ms: number): void {
    this.#granted.delete(PAYMENTS);
    this.#after(ms, () => this.#grant(PAYMENTS));
  }

  /** The API wants one more: the administrator grants it, and the operator has the route ask for it, in some order. */
  want(grantInMs: number, editInMs: number): void {
    this.#isWriteWanted = true;
    this.#after(grantInMs, () => this.#grant(WRITE));
    this.#after(editInMs, () => this.#edit());
  }

  repair(): void {
    this.#repairs += 1;
    this.#granted.add(PAYMENTS);
    if (!this.#isWriteWanted) return;
    this.#granted.add(WRITE);
    this.#edit();
  }

  #grant(scope: string): void {
    this.#world.trace('administrator', `grants ${scope}`);
    this.#granted.add(scope);
  }

  #edit(): void {
    this.ofRoute = `${PAYMENTS} ${WRITE}`;
    for (const host of this.#world.hosts) this.#world.operator.write(host);
  }

  /** Unless everything is repaired before. */
  #after(ms: number, then: () => void): void {
    const repairs = this.#repairs;
    const { time } = this.#world.platform;
    time.after(ms, time.kernel, () => {
      if (repairs === this.#repairs) then();
    });
  }
}

/** Drawn by an addition. */
export const SCOPE_KINDS: Readonly<Record<string, Kind>> = {
  'scope.remove': {
    ...{ weight: 1, isElsewhere: true },
    draw: (chance) => ({
      ms: chance.pick([5000, 40_000, 3 * MINUTE, 30 * MINUTE]),
      isRevoked: chance.between(0, 1),
    }),
    apply: ({ scopes, identity, erp }, { ms, isRevoked }) => {
      scopes.remove(Number(ms));
      if (isRevoked === 1) identity.revokeAll();
      erp.burst(3, 1500);
    },
  },
  'scope.want': {
    ...{ weight: 1 },
    draw: (chance) => ({
      grantInMs: chance.pick([0, 2000, 2 * MINUTE]),
      editInMs: chance.pick([1000, 2000, 2 * MINUTE]),
    }),
    apply: ({ scopes, erp }, { grantInMs, editInMs }) => {
      scopes.want(Number(grantInMs), Number(editInMs));
      erp.burst(8, 1500);
    },
  },
};
