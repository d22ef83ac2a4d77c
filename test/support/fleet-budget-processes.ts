/** Sidecar processes that share one budget through a real store, under load, in front of an API that notes when it is called. */
import { randomBytes } from 'node:crypto';
import { Agent, createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { createFolder } from './folder.ts';
import { type RedisServer, startRedis } from './redis-server.ts';
import { type SidecarProcess, startSidecarProcess } from './sidecar-process.ts';
import { startTokenServer } from './token-server.ts';
import { until } from './until.ts';

export interface BudgetProcesses extends AsyncDisposable {
  readonly redis: RedisServer;
  readonly members: readonly SidecarProcess[];
  /** Sends requests to all members that live, `perSecond` to each, for so long. Counts responses by status. */
  load(perSecond: number, seconds: number): Promise<Map<number, number>>;
  /** The most requests that the API got in a window of 60 s. @param fromMs from `performance.now` */
  most(fromMs?: number): number;
  /** Requests that the API got, by member. */
  got(fromMs?: number): number[];
}

export interface BudgetProcessesOptions {
  readonly limit: number;
  /** False: each counts alone. */
  readonly isFleet: boolean;
}

const MEMBERS = 3;
const LIMIT_MS = 10_000;

/** Resolves when each member knows the others. */
export async function startBudgetProcesses({ limit, isFleet }: BudgetProcessesOptions): Promise<BudgetProcesses> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  const folder = stack.use(createFolder());
  const keys = [{ file: folder.write('fleet-key', randomBytes(32).toString('base64url')) }];
  // A fleet that has been there for a while: in the first minute of a store, each member keeps to its share.
  await redis.ask('set', 'aritma:{members}:since', String(Date.now() - 120_000), 'PX', '60000');
  const tokens = await startTokenServer();
  stack.defer(tokens.close);
  const api = await startNotingApi();
  stack.defer(api.close);
  const fleet = isFleet && { fleet: { url: `redis://127.0.0.1:${redis.port}`, keys } };
  const config = { callers: { limits: { requestsPerMinute: limit } }, ...fleet };
  const members: SidecarProcess[] = [];
  for (let count = 0; count < MEMBERS; count += 1)
    members.push(stack.use(await startSidecarProcess({ upstream: api.url, tokenEndpoint: tokens.url, config })));
  const knowsAll = async (member: SidecarProcess) => (await member.metric('aritma_sidecar_fleet_members')) === MEMBERS;
  if (isFleet)
    await until('each member knows the others', async () => (await Promise.all(members.map(knowsAll))).every(Boolean));
  const agent = new Agent({ keepAlive: true });
  stack.defer(() => agent.destroy());
  const ended = stack.move();
  return {
    ...{ redis, members, most: api.most },
    got: (fromMs = 0) =>
      members.map((_, index) => api.calls.filter(({ at, path }) => at >= fromMs && path.endsWith(`/m${index}`)).length),
    async load(perSecond, seconds) {
      const statuses = new Map<number, number>();
      const running: Promise<void>[] = [];
      for (const endMs = performance.now() + seconds * 1000; performance.now() < endMs; await pause(1000 / perSecond)) {
        for (const [index, { port, isAlive }] of members.entries()) {
          if (!isAlive()) continue;
          const one = ask(agent, `http://127.0.0.1:${port}/api/m${index}`);
          running.push(one.then((status) => void statuses.set(status, 1 + (statuses.get(status) ?? 0))));
        }
      }
      await Promise.all(running);
      return statuses;
    },
    [Symbol.asyncDispose]: () => ended.disposeAsync(),
  };
}

/** A status of 0 stands for no response. */
function ask(agent: Agent, url: string): Promise<number> {
  return new Promise((resolve) => {
    const request = get(url, { agent, timeout: LIMIT_MS }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(0));
  });
}

async function startNotingApi() {
  const calls: { readonly at: number; readonly path: string }[] = [];
  const server = createServer((req, res) => {
    calls.push({ at: performance.now(), path: req.url ?? '' });
    res.end('ok');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    calls,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    most(fromMs = 0) {
      const times = calls.map(({ at }) => at).filter((at) => at >= fromMs);
      let [most, first] = [0, 0];
      for (const [index, at] of times.entries()) {
        while ((times[first] ?? at) <= at - 60_000) first += 1;
        most = Math.max(most, index - first + 1);
      }
      return most;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
