/**
 * Members of a fleet that start at once, refresh, and find out at once that their token is dead: what the identity server and
 * the store are asked for. Beside them: members with a shared cache that nobody claims, and members that share nothing.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { COMPILED } from '../../support/compiled.ts';
import { newFleetKey } from '../../support/redis-member.ts';
import { type Child, messageFrom, startNode } from '../children.ts';
import type { Lanes, World } from '../lanes.ts';
import type { FleetJob, FleetMode, FleetOrder, FleetServed } from '../load/fleet-job.ts';
import type { Store } from '../store.ts';
import { SIDECAR } from '../subjects/sidecar.ts';
import { FLEET, SMALL_BYTES } from './workload.ts';

/** What one event has cost. */
export interface FleetPhase {
  readonly tokenRequests: number;
  /** From the identity server's first response until the last member has the token. */
  readonly servedMs: number;
  /** Commands that clients sent to the store, each member; of them heartbeats. */
  readonly commands: number;
  readonly beats: number;
  /** Members, or callers, without a token. */
  readonly failed: number;
}

export interface FleetResult {
  readonly mode: FleetMode;
  readonly members: number;
  readonly cold: FleetPhase;
  readonly refresh: FleetPhase;
  /** Of all entries in the store. */
  readonly storeBytes: number;
  /** Fewer members, each with many callers whose token is refused. */
  readonly dead: FleetPhase & { readonly members: number; readonly callers: number };
}

export interface FleetSize {
  readonly members: number;
  readonly processes: number;
  /** Life of a token; the refresh comes after half of it. */
  readonly lifetimeS: number;
  readonly dead: { readonly members: number; readonly callers: number };
}

export interface WarmCommands {
  readonly requests: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly commands: number;
  /** Not among the commands. */
  readonly beats: number;
}

const MEMBERS = join(import.meta.dirname, '../load/fleet-members.ts');
/** What the identity server needs for a response. */
const TOKEN_MS = 300;
/** The store counts a command when it is done; the last ones of a phase are not waited for by any member. */
const SETTLE_MS = 300;

/** @param store that only this uses: its content is removed */
export async function runFleet(store: Store, mode: FleetMode, size: FleetSize): Promise<FleetResult> {
  const { members, processes } = size;
  const herd = await openHerd({ store, mode, members, processes, lifetimeS: size.lifetimeS });
  let first: Pick<FleetResult, 'cold' | 'refresh' | 'storeBytes'>;
  try {
    const cold = await herd.run({ kind: 'cold' });
    const storeBytes = await bytesIn(store);
    first = { cold, refresh: await herd.run({ kind: 'refresh' }), storeBytes };
  } finally {
    await herd.close();
  }
  const few = await openHerd({
    store,
    mode,
    members: size.dead.members,
    processes: Math.min(2, processes),
    lifetimeS: 3600,
  });
  try {
    await few.run({ kind: 'cold' });
    const dead = await few.run({ kind: 'renew', callers: size.dead.callers });
    return { mode, members, ...first, dead: { ...dead, ...size.dead } };
  } finally {
    await few.close();
  }
}

/** Returns the commands of the store for each request of a sidecar that has its token, heartbeats aside. */
export async function countWarmCommands(
  { generator, store }: World,
  lanes: Lanes,
  requests: number,
): Promise<WarmCommands | undefined> {
  if (!store) return undefined;
  const { port, pids } = await lanes.get({ subject: SIDECAR, variant: FLEET });
  const before = await store.counts();
  const { errors } = await generator.run({
    ...{ port, method: 'GET', path: '/api/small', sendBytes: 0, expectBytes: SMALL_BYTES, shape: 'closed' },
    ...{ connections: 32, warmMs: 0, measureMs: 0, requests, pids, measuringPids: [] },
  });
  const after = await store.counts();
  const beats = after.beats - before.beats;
  return { requests, errors, beats, commands: after.commands - before.commands - beats };
}

interface HerdOptions {
  readonly store: Store;
  readonly mode: FleetMode;
  readonly members: number;
  readonly processes: number;
  readonly lifetimeS: number;
}

interface Herd {
  run(order: FleetOrder): Promise<FleetPhase>;
  close(): Promise<void>;
}

async function openHerd(options: HerdOptions): Promise<Herd> {
  const { store, mode, members, processes } = options;
  await store.ask('FLUSHALL');
  const identity = await startIdentity(options.lifetimeS);
  const children = Array.from({ length: processes }, () => startNode(MEMBERS, [], { env: COMPILED }));
  const job = { mode, storePort: store.port, members: Math.ceil(members / processes), tokenEndpoint: identity.url };
  const key = newFleetKey();
  await Promise.all(children.map((child) => ask(child, { ...job, key })));
  const counts = () => store.counts(mode === 'fleet');
  // A phase begins where the one before ends: a refresh does not wait until it is asked for.
  let [requests, counted] = [0, await counts()];
  return {
    async run(order) {
      const replies = await Promise.all(children.map((child) => ask<FleetServed>(child, order)));
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      const now = await counts();
      const lastAt = Math.max(...replies.map((reply) => reply.lastAt));
      const phase: FleetPhase = {
        tokenRequests: identity.requests() - requests,
        servedMs: lastAt - identity.firstResponseAt(),
        commands: (now.commands - counted.commands) / members,
        beats: (now.beats - counted.beats) / members,
        failed: replies.reduce((sum, reply) => sum + reply.failed, 0),
      };
      [requests, counted] = [identity.requests(), now];
      identity.begin();
      return phase;
    },
    async close() {
      await Promise.all(children.map((child) => child.stop()));
      await identity.close();
    },
  };
}

async function ask<Reply>(child: Child, message: FleetJob | FleetOrder): Promise<Reply> {
  const reply = messageFrom<Reply>(child);
  child.process.send(message);
  return await reply;
}

async function bytesIn(store: Store): Promise<number> {
  const keys = (await store.ask('KEYS', '*')).split('\n').filter(Boolean);
  const sizes = await Promise.all(keys.map((key) => store.ask('MEMORY', 'USAGE', key, 'SAMPLES', '0')));
  return sizes.reduce((sum, text) => sum + Number(/\d+/.exec(text)?.[0] ?? 0), 0);
}

interface Identity {
  readonly url: string;
  requests(): number;
  /** Begins a phase. */
  begin(): void;
  /** Epoch ms, of this phase. */
  firstResponseAt(): number;
  close(): Promise<void>;
}

async function startIdentity(lifetimeS: number): Promise<Identity> {
  let requests = 0;
  let firstAt: number | undefined;
  const server = createServer((req, res) => {
    requests += 1;
    const token = { access_token: `token-${requests}`, token_type: 'Bearer', expires_in: lifetimeS, scope: 'api' };
    req.resume();
    setTimeout(() => {
      firstAt ??= Date.now();
      res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(token));
    }, TOKEN_MS);
  });
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/connect/token`,
    requests: () => requests,
    begin() {
      firstAt = undefined;
    },
    firstResponseAt: () => firstAt ?? Number.NaN,
    async close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
