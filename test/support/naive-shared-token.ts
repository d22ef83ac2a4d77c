/** The control for fleets: a shared cache as written in an afternoon, without claim, fencing, seal or generations. */
import type { Clock } from '../../src/core/clock.ts';
import { Secret } from '../../src/core/secret.ts';
import type { ObtainedToken, Replaced } from '../../src/oauth/token.ts';
import type { TokenResponse } from '../../src/oauth/token-response.ts';
import type { ScriptModel } from './fleet-script-model.ts';

export class NaiveSharedToken {
  readonly name: string;
  readonly #model: ScriptModel;
  readonly #key: string;
  readonly #clock: Clock;
  #take: ((newer: ObtainedToken) => void) | undefined;

  constructor(model: ScriptModel, { prefix, name }: { prefix: string; name: string }, clock: Clock) {
    this.#model = model;
    this.name = name;
    this.#key = `${prefix}:{${name}}:token`;
    this.#clock = clock;
  }

  async fetch(own: () => Promise<TokenResponse>, _: () => Promise<void>, replaced?: Replaced): Promise<TokenResponse> {
    const found = this.#look();
    if (found && !replaced) return found;
    const response = await own();
    if (response.kind === 'token') {
      const until = this.#clock.now().wallMs + response.lifetimeS * 1000;
      const value = JSON.stringify({ token: response.authorization.reveal(), until });
      this.#model.set(this.#key, value, response.lifetimeS * 1000);
    }
    return response;
  }

  refuse(): void {
    // Remembers nothing.
  }

  subscribe(take: (newer: ObtainedToken) => void): void {
    this.#take = take;
  }

  onNews(): void {
    const found = this.#look();
    if (found) this.#take?.(found);
  }

  #look(): ObtainedToken | undefined {
    const value = this.#model.get(this.#key);
    if (typeof value !== 'string') return undefined;
    try {
      const { token, until } = JSON.parse(value) as { token: string; until: number };
      const lifetimeS = (until - this.#clock.now().wallMs) / 1000;
      return { kind: 'token', authorization: new Secret(token), lifetimeS, assumedLifetime: false };
    } catch {
      return undefined;
    }
  }
}
