/** Many members of a fleet in one process, each with a connection of its own. */
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createMetrics } from '../../../src/core/metrics.ts';
import { Secret } from '../../../src/core/secret.ts';
import type { TokenResponse } from '../../../src/oauth/token-response.ts';
import type { TokenSource } from '../../../src/oauth/token-source.ts';
import { OWN_BUDGETS } from '../../../src/proxy/rate-limits.ts';
import type { FleetLink } from '../../../src/sidecar/fleet-link.ts';
import { memberConfig, newFleetKey, openMember } from '../../support/redis-member.ts';
import { type FleetJob, type FleetOrder, type FleetServed, MEMBERS_READY } from './fleet-job.ts';

/** Longer than any wait of a member. */
const DEADLINE_MS = 60_000;
const POLL_MS = 10;
/** Members of one process share its processor: connecting them takes longer than the usual time limit of a command. */
const TIMEOUT = '5s';
const NAIVE_KEY = 'token';

let sources: TokenSource[] = [];
let open: () => Promise<void> = async () => undefined;
/** The token that each member had when it was last asked for. */
let held: string[] = [];

process.on('disconnect', () => process.exit());
process.on('message', (message: FleetJob | FleetOrder) => {
  if ('mode' in message) prepare(message);
  else void follow(message).then((served) => process.send?.(served));
});

/** Loads everything, but connects nothing: members that start cold connect and ask at once. */
function prepare(job: FleetJob): void {
  const { mode, members, tokenEndpoint, storePort, key } = job;
  const fleet = mode === 'fleet' ? { url: `redis://127.0.0.1:${storePort}`, timeout: TIMEOUT } : undefined;
  const loaded = memberConfig({ tokenEndpoint, fleet }, key || newFleetKey());
  const metrics = createMetrics('bench');
  open = async () => {
    const opened = await Promise.all(
      Array.from({ length: members }, () =>
        openMember({ loaded, metrics, ...(mode === 'naive' && { link: naiveLink(storePort) }) }),
      ),
    );
    sources = opened.map((member) => member.source());
  };
  process.send?.(MEMBERS_READY);
}

async function follow(order: FleetOrder): Promise<FleetServed> {
  if (order.kind === 'cold') {
    await open();
    return await served(sources.map((source) => async () => source.get()));
  }
  if (order.kind === 'refresh') return await untilOthers();
  const { callers } = order;
  return await served(sources.flatMap((source) => Array.from({ length: callers }, () => renewal(source))));
}

async function served(askers: readonly (() => Promise<unknown>)[]): Promise<FleetServed> {
  let lastAt = 0;
  let failed = 0;
  await Promise.all(
    askers.map(async (ask) => {
      await ask().catch(() => {
        failed += 1;
      });
      lastAt = Date.now();
    }),
  );
  return report(lastAt, failed);
}

/** A caller whose request was refused because of the token that the member has now. */
function renewal(source: TokenSource): () => Promise<void> {
  const stale = source.token;
  return async () => {
    if (!stale) throw new Error('there was no token');
    const renewed = await source.renew(stale);
    if (renewed.authorization.reveal() === stale.authorization.reveal()) throw new Error('the same token again');
  };
}

/** One timer for all: each with its own would need more of the processor than the members. */
async function untilOthers(): Promise<FleetServed> {
  const before = held;
  const missing = () => sources.filter((source, at) => tokenOf(source) === before[at]).length;
  for (const end = Date.now() + DEADLINE_MS; missing() > 0 && Date.now() < end; ) await pause(POLL_MS);
  return report(Date.now(), missing());
}

function report(lastAt: number, failed: number): FleetServed {
  held = sources.map(tokenOf);
  return { lastAt, failed };
}

function tokenOf(source: TokenSource): string {
  return source.token?.authorization.reveal() ?? '';
}

/**
 * The control: looks into the shared cache and fetches when there is nothing. An entry lives for half of the token's life, so
 * that a refresh finds none.
 */
function naiveLink(port: number): FleetLink {
  const redis = new Redis({ host: '127.0.0.1', port });
  return {
    token: () => ({
      source: undefined,
      async fetch(own) {
        const known = await redis.get(NAIVE_KEY);
        if (known !== null) return fromCache(known);
        const response = await own();
        if (response.kind === 'token') {
          const value = JSON.stringify({ token: response.authorization.reveal(), lifetimeS: response.lifetimeS });
          await redis.set(NAIVE_KEY, value, 'PX', response.lifetimeS * 500);
        }
        return response;
      },
      refuse: () => undefined,
      subscribe: () => () => undefined,
    }),
    budgets: OWN_BUDGETS,
    adopt: (loaded) => loaded,
    share: (_credential, local) => local,
    isLeft: () => false,
    use: () => undefined,
    snapshot: () => undefined,
    close: () => redis.disconnect(),
  };
}

function fromCache(text: string): TokenResponse {
  const { token, lifetimeS } = JSON.parse(text) as { token: string; lifetimeS: number };
  return { kind: 'token', authorization: new Secret(token), lifetimeS, assumedLifetime: false };
}
