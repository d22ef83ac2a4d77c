/** Processes that end in place of one of their file operations: also between two that no await is between. */
import { losePower } from './storage-kinds.ts';
import type { Kind } from './world.ts';

const MOST_OF_SIDECAR = 120;
const MOST_OF_RUN = 60;

const operations = (most: number): Kind['draw'] => {
  return (chance) => ({ operations: chance.between(1, most) });
};

/** Drawn by an addition, for worlds in which the sidecar writes files. */
export const FILE_KINDS: Readonly<Record<string, Kind>> = {
  'process.killAtFile': {
    ...{ weight: 3, draw: operations(MOST_OF_SIDECAR) },
    apply: ({ sidecar }, args) => sidecar.process?.killAtFile(Number(args['operations']), () => sidecar.kill()),
  },
  'machine.powerLossAtFile': {
    ...{ weight: 3, draw: operations(MOST_OF_SIDECAR) },
    apply: (world, args) => world.sidecar.process?.killAtFile(Number(args['operations']), () => losePower(world)),
  },
  'iam.rotateKilledAtFile': {
    ...{ weight: 3, draw: operations(MOST_OF_RUN) },
    apply: ({ iam }, args) => iam?.runs.rotate({ killAtFile: Number(args['operations']) }),
  },
  'iam.provisionKilledAtFile': {
    ...{ weight: 2, draw: operations(MOST_OF_RUN) },
    apply: ({ iam }, args) => {
      if (iam?.part.isProvisioning) iam.runs.provision({ killAtFile: Number(args['operations']) });
    },
  },
};
