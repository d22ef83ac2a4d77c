/** The sidecar under the flags of Node that trade memory for time, one by one. */
import { sidecarWith } from './sidecar.ts';
import type { Subject } from './subject.ts';

/** MiB of one half of the nursery. */
const NURSERIES = [2, 4, 8, 16, 32];

const nursery = (mib: number) => `--max-semi-space-size=${mib}`;

export const FLAG_SETS: readonly Subject[] = [
  ...NURSERIES.map((mib) => sidecarWith({ name: `nursery ${mib}`, flags: [nursery(mib)] })),
  ...[4, 16].map((mib) => sidecarWith({ name: `nursery ${mib}, no Maglev`, flags: [nursery(mib), '--no-maglev'] })),
  sidecarWith({ name: 'nursery 16, all arenas', flags: [nursery(16)], env: { MALLOC_ARENA_MAX: '' } }),
];
