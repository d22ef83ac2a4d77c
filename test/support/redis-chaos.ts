/**
 * Payments through three members of a fleet while members and their store are killed, the store is frozen and wiped, and
 * tokens are revoked. What callers were told is compared with what the API has executed.
 */
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { type RedisServer, startRedis } from './redis-server.ts';
import { type Chance, chance } from './seeded.ts';
import { until } from './until.ts';

export interface ChaosMember {
  readonly port: number;
  /** SIGKILL. */
  kill(): Promise<void>;
}

export interface ChaosPlaces {
  /** Origin of the API, and the token endpoint. */
  readonly upstream: string;
  readonly tokenEndpoint: string;
  readonly storePort: number;
}

export interface FleetChaosOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly start: (places: ChaosPlaces) => Promise<ChaosMember>;
}

const EVENTS = ['kill a member', 'kill the store', 'wipe the store', 'freeze the store', 'revoke all tokens'] as const;
type Event = (typeof EVENTS)[number];

export interface FleetChaosTally {
  readonly calls: number;
  readonly served: number;
  /** Calls on a member that was killed meanwhile, or during which tokens were revoked twice: no sidecar serves these. */
  readonly excused: number;
  /** Other calls without a 201: what the caller got, with the number of times. */
  readonly failed: Readonly<Record<string, number>>;
  /** Ids of payments. */
  readonly executedTwice: readonly string[];
  /** The caller got a 201, but it was not executed. */
  readonly lost: readonly string[];
  /** Requests with a token after its life. */
  readonly expired: number;
  readonly tokenRequests: number;
  readonly longestMs: number;
  readonly struck: Readonly<Record<Event, number>>;
  /** Token requests for the last revoked token, when everything runs again. */
  readonly atTheEnd: number;
}

const MEMBERS = 3;
const CALLERS_EACH = 2;
const CALL_PAUSE_MS = 20;
const DEADLINE_MS = 20_000;
const TOKEN_MS = 50;
const LIFETIME_S = 6;
/** A call has one more try: two revocations one after the other would prove nothing. */
const BETWEEN_REVOCATIONS_MS = 3000;
/** A token that is revoked before it arrives ends the one more try, too: a sidecar alone would fail the call as well. */
const ARRIVED_MS = 1000;
/** For members to find the store again: the longest pause of a connection is longer than it was away. */
const CALM_MS = 8000;

export async function runFleetChaos({ seed, seconds, start }: FleetChaosOptions): Promise<FleetChaosTally> {
  await using store = await startRedis();
  await using bank = await startBank();
  const places = { upstream: bank.origin, tokenEndpoint: `${bank.origin}/token`, storePort: store.port };
  await using fleet = await openSlots(() => start(places));
  const luck = chance(seed, 'events');
  const struck = Object.fromEntries(EVENTS.map((event) => [event, 0])) as Record<Event, number>;
  const tally = createTally(bank);
  let goesOn = true;
  const callers = fleet.slots.flatMap((slot, member) =>
    Array.from({ length: CALLERS_EACH }, async (_, caller) => {
      for (let index = 0; goesOn; index += 1) {
        await tally.call(slot, `payment-${seed}-${member}-${caller}-${index}`);
        await pause(CALL_PAUSE_MS);
      }
    }),
  );
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await pause(luck.between(200, 900))) {
    const event = luck.pick(EVENTS);
    if (await strike(event, { store, bank, fleet, luck })) struck[event] += 1;
  }
  goesOn = false;
  await Promise.all(callers);
  return { ...tally.result(), struck, atTheEnd: await renewAtTheEnd(bank, fleet, tally) };
}

interface Struck {
  readonly store: RedisServer;
  readonly bank: Bank;
  readonly fleet: Slots;
  readonly luck: Chance;
}

/** @returns whether it happened */
async function strike(event: Event, { store, bank, fleet, luck }: Struck): Promise<boolean> {
  if (event === 'revoke all tokens') return bank.revoke();
  if (event === 'kill a member') await luck.pick(fleet.slots as [Slot, ...Slot[]]).replace();
  if (event === 'wipe the store') await store.ask('FLUSHALL');
  if (event === 'kill the store') {
    await store.kill();
    await pause(luck.between(0, 2000));
    await store.restart();
  }
  if (event === 'freeze the store') {
    store.freeze();
    await pause(luck.between(100, 2500));
    store.thaw();
  }
  return true;
}

/** Every member is called at once with a revoked token that it shares with the others. */
async function renewAtTheEnd(bank: Bank, fleet: Slots, tally: ReturnType<typeof createTally>): Promise<number> {
  await pause(CALM_MS);
  await until('the last token has arrived', () => bank.revoke());
  await Promise.all(fleet.slots.map((slot, at) => tally.call(slot, `before-the-end-${at}`)));
  await until('the last token has arrived', () => bank.revoke());
  const before = bank.tokenRequests();
  await Promise.all(fleet.slots.map((slot, at) => tally.call(slot, `the-end-${at}`)));
  return bank.tokenRequests() - before;
}

interface Bank extends AsyncDisposable {
  readonly origin: string;
  readonly executed: ReadonlyMap<string, number>;
  tokenRequests(): number;
  expired(): number;
  revocations(): number;
  /** Returns false when the last time, or the last token, is not long enough ago. */
  revoke(): boolean;
}

/** Token endpoint and API in one. */
async function startBank(): Promise<Bank> {
  const executed = new Map<string, number>();
  /** Epoch ms of their expiry. */
  const valid = new Map<string, number>();
  const counts = { tokenRequests: 0, expired: 0, revocations: 0, revokedAt: 0, issuedAt: 0 };
  const server = createServer(async (req, res) => {
    for await (const _ of req);
    if (req.url === '/token') {
      counts.tokenRequests += 1;
      const token = `token-${counts.tokenRequests}`;
      await pause(TOKEN_MS);
      counts.issuedAt = Date.now();
      valid.set(`Bearer ${token}`, counts.issuedAt + LIFETIME_S * 1000);
      const body = { access_token: token, token_type: 'Bearer', expires_in: LIFETIME_S, scope: 'api' };
      res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
      return;
    }
    const expiresAt = valid.get(req.headers.authorization ?? '') ?? 0;
    const isExpired = expiresAt > 0 && expiresAt < Date.now();
    if (isExpired) counts.expired += 1;
    if (expiresAt === 0 || isExpired) {
      res.writeHead(401, { 'WWW-Authenticate': 'Bearer error="invalid_token"' }).end();
      return;
    }
    const id = String(req.headers['x-payment']);
    executed.set(id, (executed.get(id) ?? 0) + 1);
    res.writeHead(201).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    executed,
    tokenRequests: () => counts.tokenRequests,
    expired: () => counts.expired,
    revocations: () => counts.revocations,
    revoke() {
      const now = Date.now();
      if (now - counts.revokedAt < BETWEEN_REVOCATIONS_MS || now - counts.issuedAt < ARRIVED_MS) return false;
      counts.revokedAt = now;
      counts.revocations += 1;
      valid.clear();
      return true;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

interface Slot {
  /** Waits for the next one while there is none. */
  member(): Promise<ChaosMember>;
  /** How many have been killed. */
  kills(): number;
  /** Kills the member and starts another one in its place; resolves when it is there. */
  replace(): Promise<void>;
}

interface Slots extends AsyncDisposable {
  readonly slots: readonly Slot[];
}

async function openSlots(start: () => Promise<ChaosMember>): Promise<Slots> {
  const running = new Set<ChaosMember>();
  const startOne = async () => {
    const member = await start();
    running.add(member);
    return member;
  };
  const open = async (): Promise<Slot> => {
    let current = Promise.resolve(await startOne());
    let kills = 0;
    return {
      member: () => current,
      kills: () => kills,
      async replace() {
        const old = await current;
        kills += 1;
        current = old.kill().then(startOne);
        running.delete(old);
        await current;
      },
    };
  };
  const killAll = () => Promise.all([...running].map((member) => member.kill()));
  try {
    const slots = await Promise.all(Array.from({ length: MEMBERS }, open));
    return { slots, [Symbol.asyncDispose]: async () => void (await killAll()) };
  } catch (error) {
    await killAll();
    throw error;
  }
}

function createTally(bank: Bank) {
  const told = new Map<string, string>();
  const failed: Record<string, number> = {};
  let [excused, longestMs] = [0, 0];
  return {
    async call(slot: Slot, id: string): Promise<void> {
      const { port } = await slot.member();
      const before = [slot.kills(), bank.revocations()] as const;
      const startedAt = Date.now();
      const outcome = await pay(port, id);
      longestMs = Math.max(longestMs, Date.now() - startedAt);
      told.set(id, outcome);
      const isExcused = slot.kills() > before[0] || bank.revocations() > before[1] + 1;
      if (outcome === '201') return;
      if (isExcused) excused += 1;
      else failed[outcome] = (failed[outcome] ?? 0) + 1;
    },
    result() {
      const done = [...told].filter(([, outcome]) => outcome === '201').map(([id]) => id);
      return {
        ...{ calls: told.size, served: done.length, excused, failed, longestMs },
        executedTwice: [...bank.executed].filter(([, times]) => times > 1).map(([id]) => id),
        lost: done.filter((id) => bank.executed.get(id) !== 1),
        expired: bank.expired(),
        tokenRequests: bank.tokenRequests(),
      };
    },
  };
}

/** Resolves with the status and the sidecar's error code, or the error of the connection. */
function pay(port: number, id: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const headers = { 'x-payment': id, 'content-type': 'application/json' };
  const options = { host: '127.0.0.1', port, path: '/api/payments', method: 'POST', headers };
  const agent = new Agent();
  const req = request({ ...options, agent, timeout: DEADLINE_MS }, (res) => {
    const code = res.headers['x-sidecar-error'];
    res.resume().on('end', () => resolve(code === undefined ? String(res.statusCode) : `${res.statusCode} ${code}`));
    res.on('error', (error) => resolve(error.message));
  });
  req.on('timeout', () => req.destroy(new Error('no response in time')));
  req.on('error', (error: Error & { code?: string }) => resolve(error.code ?? error.message));
  req.end(JSON.stringify({ id }));
  return promise.finally(() => agent.destroy());
}
