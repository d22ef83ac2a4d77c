/** Random numbers of the seed; everything else is Node's. */
// biome-ignore lint/performance/noBarrelFile: it takes the place of a module of Node
export * from 'node:crypto';

import { fillRandom, randomBelow, randomUuid } from '../globals.ts';

export function randomBytes(size: number): Buffer {
  return fillRandom(Buffer.alloc(size));
}

export function randomInt(low: number, high?: number): number {
  return high === undefined ? randomBelow(low) : low + randomBelow(high - low);
}

export { randomUuid as randomUUID };
