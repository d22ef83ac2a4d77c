/**
 * Which configuration each worker has: a generation stays whole here, its credentials included, until the last worker has
 * finished the last request that came in through it.
 */
import type { LoadedConfig } from '../../config/load.ts';
import type { TokenSource } from '../../oauth/token-source.ts';
import { plainSettings } from '../data-plane/settings.ts';
import type { Worker } from './process-pool.ts';
import type { WorkerSettings } from './protocol.ts';
import type { TokenDesk } from './token-broker.ts';

export interface Edition {
  readonly loaded: LoadedConfig;
  readonly tokens: { sources(): TokenSource[] };
  /** In the order of the configuration. */
  readonly routes: readonly { readonly tokens: unknown }[];
  hold(): () => void;
}

export interface EditionsOptions {
  /** @returns the generation in force and its number */
  readonly current: () => { readonly number: number; readonly edition: Edition };
  /** Of workers. */
  readonly count: number;
  readonly desk: Pick<TokenDesk, 'open' | 'tokens' | 'forget'>;
}

export interface Editions {
  /** What this worker needs to serve by the generation in force, which is kept for it. */
  settingsFor(worker: Worker): WorkerSettings;
  /** One that some worker still has. */
  find(generation: number): Edition | undefined;
  /** This worker has no request of it left. */
  retired(worker: Worker, generation: number): void;
  gone(worker: Worker): void;
}

interface Held {
  readonly edition: Edition;
  readonly by: Map<Worker, () => void>;
}

export function createEditions({ current, count, desk }: EditionsOptions): Editions {
  const all = new Map<number, Held>();

  const release = (worker: Worker, generation: number) => {
    const held = all.get(generation);
    held?.by.get(worker)?.();
    held?.by.delete(worker);
    if (held?.by.size !== 0 || generation === current().number) return;
    all.delete(generation);
    desk.forget(generation);
  };
  const inForce = () => {
    const { number, edition } = current();
    const held = all.get(number) ?? { edition, by: new Map() };
    if (!all.has(number)) desk.open(number, edition.tokens.sources());
    all.set(number, held);
    return { number, held };
  };
  return {
    settingsFor(worker) {
      const { number, held } = inForce();
      const { loaded, tokens, routes, hold } = held.edition;
      held.by.set(worker, held.by.get(worker) ?? hold());
      const sources = tokens.sources();
      const positions = new Map(
        loaded.config.routes.map((route, index) => [route, sources.indexOf(routes[index]?.tokens as TokenSource)]),
      );
      const now = desk.tokens(number);
      return {
        ...plainSettings(loaded, { index: worker.index, count }, (route) => positions.get(route) ?? -1),
        generation: number,
        tokens: sources.map(({ key }, index) => ({ key, token: now[index] })),
      };
    },
    find: (generation) => all.get(generation)?.edition,
    retired: release,
    gone(worker) {
      for (const generation of [...all.keys()]) release(worker, generation);
    },
  };
}
