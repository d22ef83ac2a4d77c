/** `node:os`: each simulated machine has a name of its own. */
export * from 'node:os';

import { self } from '../platform.ts';

export function hostname(): string {
  return self().machine.name.replaceAll(' ', '-');
}
