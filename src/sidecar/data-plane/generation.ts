/**
 * One generation of the configuration in a worker: its routes with connections of their own, and copies of the tokens.
 */

import type { Clock } from '../../core/clock.ts';
import { SidecarError } from '../../core/errors.ts';
import type { Question, Reply, WorkerSettings } from '../workers/protocol.ts';
import type { Outbox } from '../workers/report-buffer.ts';
import { RemoteTokens } from '../workers/token-mirror.ts';
import { countReferences } from './ref-count.ts';
import { createRoutes, type Routes } from './routes.ts';
import { revive } from './settings.ts';

export interface WorkerGeneration extends Pick<Routes, 'upstreams'> {
  readonly number: number;
  readonly loaded: ReturnType<typeof revive>;
  readonly routes: Routes['list'];
  /** By position. */
  readonly tokens: readonly RemoteTokens[];
  hold(): () => void;
  /** Resolves when no request is left in it and its connections are closed. */
  retire(): Promise<void>;
}

export interface WorkerGenerationOptions {
  readonly ask: (question: Question) => Promise<Reply>;
  readonly metrics: Outbox['metrics'];
  readonly clock: Clock;
}

export function createWorkerGeneration(
  settings: WorkerSettings,
  { ask, metrics, clock }: WorkerGenerationOptions,
): WorkerGeneration {
  const { generation, tokenWaitMs: waitMs } = settings;
  const loaded = revive(settings);
  const tokens = settings.tokens.map(({ key, token }, source) => {
    const lookups = countLookups(metrics, key.credential);
    return new RemoteTokens({
      ...{ key, token, waitMs, clock },
      ask: (refused) => ask({ about: 'token', generation, source, refused }),
      onLookup: (result) => lookups[result](),
    });
  });
  const references = countReferences();
  const routes = createRoutes(settings.config.routes, {
    loaded,
    metrics,
    tokensFor({ source }) {
      const found = tokens[source];
      if (!found) throw new SidecarError('SIDECAR_INTERNAL');
      return found;
    },
  });
  return {
    number: generation,
    loaded,
    tokens,
    routes: routes.list,
    upstreams: routes.upstreams,
    hold: references.hold,
    async retire() {
      await references.gone();
      await routes.end('close');
    },
  };
}

function countLookups(metrics: Outbox['metrics'], credential: string) {
  const counter = (result: string) => metrics.counter('token_lookups_total', { credential, result });
  return { hit: counter('hit'), early: counter('early'), join: counter('join'), miss: counter('miss') };
}

export interface WorkerGenerationsOptions {
  readonly build: (settings: WorkerSettings) => WorkerGeneration;
  /** Told when no request of a replaced one is left. */
  readonly onRetired: (generation: number) => void;
}

/** The current one, and those that still finish. */
export function createWorkerGenerations(first: WorkerSettings, { build, onRetired }: WorkerGenerationsOptions) {
  let current = build(first);
  const alive = new Map([[current.number, current]]);
  return {
    current: () => current,
    find: (generation: number) => alive.get(generation),
    replace(settings: WorkerSettings) {
      const previous = current;
      current = build(settings);
      alive.set(current.number, current);
      const over = () => {
        alive.delete(previous.number);
        onRetired(previous.number);
      };
      // What cannot be closed is not used any more either.
      previous.retire().then(over, over);
    },
  };
}
