/** `node:os`: each simulated machine has a name of its own. */
// biome-ignore lint/performance/noBarrelFile: it takes the place of a module of Node
export * from 'node:os';

import { self } from '../platform.ts';

export function hostname(): string {
  return self().machine.hostname;
}
