/** Connections whose other end is gone, and nobody has said so: a NAT that forgets them, a firewall that drops idle ones. */
import { IAM } from './iam/iam-server.ts';
import { IDENTITY } from './identity-server.ts';
import { UPSTREAM } from './upstream.ts';
import type { Args, Kind } from './world.ts';

const MINUTE = 60_000;
const DAY = 86_400_000;
const ADDRESSES: Readonly<Record<string, string>> = { api: UPSTREAM, identity: IDENTITY, iam: IAM };

const addressOf = ({ to }: Args) => ADDRESSES[String(to)] ?? UPSTREAM;
const toSomebody = ['api', 'api', 'identity', 'iam'] as const;

/** Drawn by an addition. */
export const SILENT_KINDS: Readonly<Record<string, Kind>> = {
  'network.forgets': {
    ...{ weight: 3, isElsewhere: true },
    draw: (chance) => ({ to: chance.pick(toSomebody), calls: chance.between(0, 4) }),
    apply: ({ platform: { network }, erp }, args) => {
      network.forget(addressOf(args));
      erp.burst(Number(args['calls']), 700);
    },
  },
  'network.dropsIdle': {
    ...{ weight: 2, isElsewhere: true },
    draw: (chance) => ({
      ...{ to: chance.pick(toSomebody), idleMs: chance.pick([1500, 20_000, 2 * MINUTE]) },
      ms: chance.pick([5 * MINUTE, 10 * DAY]),
    }),
    apply: ({ platform: { network, time }, erp }, args) => {
      network.dropIdle(addressOf(args), Number(args['idleMs']));
      time.after(Number(args['ms']), time.kernel, () => network.dropIdle(addressOf(args), Number.POSITIVE_INFINITY));
      // Connections that wait, and then a call.
      erp.burst(3, 1);
      erp.burst(3, 2500);
    },
  },
};

/** Firewalls let idle connections be. */
export function endDrops(network: { dropIdle(address: string, idleMs: number): void }): void {
  for (const address of Object.values(ADDRESSES)) network.dropIdle(address, Number.POSITIVE_INFINITY);
}
