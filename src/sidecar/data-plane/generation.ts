/**
 * One generation of the data plane: routes with connections of their own, and the gate in front of them. Built whole, used
 * whole, closed whole: a request keeps the one it came in through.
 */
import type { RouteTokens } from '../../proxy/route.ts';
import type { Retirable } from '../generations.ts';
import { createGate, type GateOptions } from './gate.ts';
import { createRoutes, type Routes } from './routes.ts';
import type { DataPlaneSettings, Share } from './settings.ts';

export interface DataGeneration extends Retirable, Pick<Routes, 'upstreams'> {
  readonly gate: ReturnType<typeof createGate>;
}

/** What a generation is made of. */
export interface Serving {
  /** All of it, or the part of one worker. */
  settings(share?: Share): DataPlaneSettings;
  /** Of tokens, by `RouteSettings.source`. */
  readonly sources: readonly RouteTokens[];
}

/** Connects nowhere yet. */
export function createDataGeneration(serving: Serving, rest: Omit<GateOptions, 'settings' | 'routes'>): DataGeneration {
  const settings = serving.settings();
  const routes = createRoutes({ settings, tokens: serving.sources, metrics: rest.link.metrics });
  const gate = createGate({ ...rest, settings, routes: routes.list });
  return {
    gate,
    upstreams: routes.upstreams,
    async retire() {
      await gate.empty();
      await routes.end('close');
    },
    destroy: () => routes.end('destroy'),
  };
}
