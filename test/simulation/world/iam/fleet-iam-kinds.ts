/** What can happen to a fleet that rotates its secret: to IAM, to the commands of its administrator, and to a member at any await. */
import type { Kind } from '../world.ts';
import { IAM_KINDS } from './iam.ts';

const MINUTE = 60_000;

const { 'iam.provisionKilled': _ofOne, ...OF_IAM } = IAM_KINDS;

export const FLEET_IAM_KINDS: Readonly<Record<string, Kind>> = {
  ...OF_IAM,
  'iam.replaceOne': {
    weight: 1,
    draw: (chance) => ({ graceMs: chance.pick([5000, MINUTE, 10 * MINUTE]) }),
    apply: (world, { graceMs, host }) => world.iam?.administrator.replace(Number(graceMs), [world.hostOf(host)]),
  },
  'member.killSoon': {
    weight: 10,
    draw: (chance) => ({ turns: chance.between(1, 1500) }),
    apply: (world, { turns, host }) => {
      const member = world.hostOf(host);
      member.process?.killAfter(Number(turns), () => member.kill());
    },
  },
};
