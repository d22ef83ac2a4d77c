/** Stores of several servers: a primary with a replica and three sentinels, and a cluster of three nodes. */
import { execFile } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe } from 'vitest';
import { createAuthority } from './certificates.ts';
import { createFolder } from './folder.ts';
import { freePort } from './free-port.ts';
import { missingRedis, type RedisOptions, type RedisServer, type RedisTls, startRedis } from './redis-server.ts';
import { until } from './until.ts';

/** Skips by name when redis-server is missing; on CI it must be there. */
export const describeWithRedis = describe.skipIf(!process.env['CI'] && missingRedis().length > 0);

export interface StoreWorld extends AsyncDisposable {
  /** Value of `fleet` in the configuration of a member, without keys. */
  readonly fleet: Readonly<Record<string, unknown>>;
  /** Primary and replica, or all nodes of a cluster. */
  readonly servers: readonly [RedisServer, ...RedisServer[]];
}

export interface SentinelWorld extends StoreWorld {
  readonly servers: readonly [RedisServer, RedisServer];
  readonly sentinels: readonly RedisServer[];
  /** The server that the sentinels send members to. */
  primary(): Promise<RedisServer>;
  /** Has the replica promoted. @returns whether it was, while the sentinels may find that no replica is fit for it */
  failOver(): Promise<boolean>;
}

/** A server that does not respond for so long counts as gone. */
const DOWN_MS = 1000;
const CREATE_MS = 30_000;
/** For which the sentinels try one failover, and some. */
const FAILOVER_MS = 10_000;
const LOOK_MS = 50;

/** Resolves when the sentinels agree on the primary and know its replica. */
export async function startSentinels(secure: boolean): Promise<SentinelWorld> {
  await using stack = new AsyncDisposableStack();
  const { tls, fleet } = certificatesIn(stack, secure);
  const start = async (options: RedisOptions) => stack.use(await startRedis({ ...options, tls }));
  // In files, in which they note who is whose replica, also for their next start.
  const folder = stack.use(createFolder());
  const args = ['--repl-diskless-sync-delay', '0'];
  const primary = await start({ args, configFile: folder.write('first', '') });
  const replicaOf = `replicaof 127.0.0.1 ${primary.port}\n`;
  const replica = await start({ args, configFile: folder.write('second', replicaOf) });
  const lines = [
    `sentinel monitor main 127.0.0.1 ${primary.port} 2`,
    `sentinel down-after-milliseconds main ${DOWN_MS}`,
    'sentinel failover-timeout main 6000',
  ];
  const sentinels = await Promise.all([1, 2, 3].map(() => start({ sentinel: lines })));
  await until('the replica follows', async () => (await replica.ask('INFO', 'replication')).includes('link_status:up'));
  for (const sentinel of sentinels) {
    await until('the sentinels know each other and the replica', async () => {
      const about = await sentinel.ask('SENTINEL', 'MASTER', 'main');
      return /\bnum-slaves\s+1\b/.test(about) && /\bnum-other-sentinels\s+2\b/.test(about);
    });
  }
  const ended = stack.move();
  const [sentinel] = sentinels as [RedisServer, ...RedisServer[]];
  const current = async () => {
    const [, port] = (await sentinel.ask('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'main')).split('\n');
    return Number(port) === primary.port ? primary : replica;
  };
  return {
    fleet: { ...fleet, sentinel: { name: 'main', nodes: sentinels.map(addressOf) } },
    ...{ servers: [primary, replica], sentinels, primary: current },
    async failOver() {
      const before = await current();
      if ((await sentinel.ask('SENTINEL', 'FAILOVER', 'main')) !== 'OK') return false;
      const isOver = () => pause(LOOK_MS).then(async () => (await current()) !== before);
      return until('the replica is promoted', isOver, FAILOVER_MS).then(
        () => true,
        () => false,
      );
    },
    [Symbol.asyncDispose]: () => ended.disposeAsync(),
  };
}

/**
 * Three nodes without replicas. Resolves when every node knows that all slots are served.
 * @param further arguments of each node; they win
 */
export async function startCluster(secure: boolean, further: readonly string[] = []): Promise<StoreWorld> {
  await using stack = new AsyncDisposableStack();
  const { tls, fleet } = certificatesIn(stack, secure);
  const start = async () => {
    const bus = await freePort();
    const own = ['--cluster-port', String(bus), '--cluster-config-file', 'nodes.conf'];
    const args = ['--cluster-enabled', 'yes', ...own, '--cluster-node-timeout', String(DOWN_MS), ...further];
    return { bus, node: stack.use(await startRedis({ args, tls })) };
  };
  const [first, ...others] = [await start(), await start(), await start()] as const;
  const servers = [first.node, ...others.map(({ node }) => node)] as const;
  const places = [first, ...others].map(({ node, bus }) => `${addressOf(node)}@${bus}`);
  const secured = tls ? ['--tls', '--cacert', tls.caFile] : [];
  const create = ['--cluster', 'create', ...places, '--cluster-replicas', '0', '--cluster-yes'];
  await promisify(execFile)('redis-cli', [...secured, ...create], { timeout: CREATE_MS });
  await Promise.all(servers.map(untilWhole));
  const ended = stack.move();
  return {
    fleet: { ...fleet, nodes: servers.map(addressOf) },
    servers,
    [Symbol.asyncDispose]: () => ended.disposeAsync(),
  };
}

/** Resolves when a node of a cluster serves, and knows that all others do. */
export async function untilWhole(node: RedisServer): Promise<void> {
  await until('the cluster is whole', async () => {
    const info = await node.ask('CLUSTER', 'INFO');
    return ['cluster_state:ok', 'cluster_slots_ok:16384'].every((line) => info.includes(line));
  });
}

function addressOf({ port }: RedisServer): string {
  return `127.0.0.1:${port}`;
}

function certificatesIn(stack: AsyncDisposableStack, secure: boolean): { tls: RedisTls | undefined; fleet: object } {
  if (!secure) return { tls: undefined, fleet: {} };
  const folder = stack.use(createFolder());
  const authority = createAuthority(folder);
  const issued = authority.issue('store', 'IP:127.0.0.1');
  return { tls: { ...issued, caFile: authority.caFile }, fleet: { tls: { ca: authority.caFile } } };
}
