/**
 * One generation of the data plane: routes with connections of their own, and the gate in front of them. Built whole, used
 * whole, closed whole: a request keeps the one it came in through.
 */
import type { Retirable } from '../generations.ts';
import { createGate, type GateOptions } from './gate.ts';
import { createRoutes, type Routes, type Serving } from './routes.ts';

export interface DataGeneration extends Retirable, Pick<Routes, 'upstreams'> {
  readonly gate: ReturnType<typeof createGate>;
}

/** Connects nowhere yet. */
export function createDataGeneration(serving: Serving, rest: Omit<GateOptions, 'settings' | 'routes'>): DataGeneration {
  const routes = createRoutes(serving, rest.link.metrics);
  const gate = createGate({ ...rest, settings: serving.settings, routes: routes.list });
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
