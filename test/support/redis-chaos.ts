/**
 * Payments through three members of a fleet while members and their store are killed, the store is frozen, wiped and fails over
 * to its replica, tokens are revoked, and the fleet's key and the client's secret are changed. What callers were told is
 * compared with what the API has executed.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Agent, createServer, type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { newFleetKey } from './redis-member.ts';
import { type SentinelWorld, startSentinels } from './redis-worlds.ts';
import { haveOneSecret, haveSameSecret, tryToRotate, watchSecrets } from './rotation-chaos.ts';
import { type RotationIam, type RotationMember, startRotationIam } from './rotation-fleet.ts';
import { type Chance, chance } from './seeded.ts';
import { until } from './until.ts';

export interface ChaosMember extends AsyncDisposable {
  /** Where callers pay. */
  readonly url: string;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Resolves when it serves again. */
  restart(): Promise<void>;
}

/** One whose key and secret can be changed. */
export interface ChangingMember extends ChaosMember, RotationMember {
  /** Has it read its configuration again, with these keys. @param keys the first one seals */
  useKeys(keys: readonly string[]): void;
}

export interface ChaosPlaces {
  readonly aritma: string;
  /** Origin of the API, and the token endpoint. */
  readonly upstream: string;
  readonly tokenEndpoint: string;
  /** Value of `fleet` in the configuration of a member, without keys. */
  readonly fleet: Readonly<Record<string, unknown>>;
  readonly sentinelPorts: readonly number[];
  /** A key of the fleet. */
  readonly key: string;
}

export interface FleetChaosOptions {
  readonly seed: number;
  readonly seconds: number;
  /** @param at its number, from 0 */
  readonly start: (places: ChaosPlaces, at: number) => Promise<ChaosMember | ChangingMember>;
}

const STRIKES = [
  'kill a member',
  'kill the store',
  'wipe the store',
  'freeze the store',
  'fail the store over',
  'revoke all tokens',
  'change the fleet key',
] as const;
type Strike = (typeof STRIKES)[number];
type Event = Strike | 'rotate the secret';

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
  /** What was wrong with keys and secrets at any moment, or at the end. */
  readonly wrong: readonly string[];
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
/** Which stop the next rotation from beginning, and for how long they strike after one has begun. */
const UNSETTLING: readonly Strike[] = ['kill a member', 'kill the store', 'wipe the store'];
const UNSETTLED_MS = 12_000;
/** All members notice a changed configuration, even one that is just killed. */
const NOTICED_MS = 60_000;
/** The list of members is complete 30 s after the store was emptied; members look every 10 s, and seldom while it fails. */
const SETTLED_MS = 120_000;
/** A run that is no longer does not wait until the secret before the last one is deleted, which takes a minute. */
const SHORT_S = 60;
/** For what has not struck yet when the time is over. */
const MISSING_MS = 60_000;
const ROTATE_PAUSE_MS = 2000;
const LOOK_MS = 300;
/** Share of the programs that are killed after they have begun a rotation. */
const KILLED_ROTATIONS = 0.3;

export async function runFleetChaos({ seed, seconds, start }: FleetChaosOptions): Promise<FleetChaosTally> {
  await using store = await startSentinels(false);
  await using iam = await startRotationIam(LIFETIME_S);
  await using bank = await startBank(iam.aritma);
  const key = newFleetKey();
  const places = {
    ...{ aritma: iam.aritma, upstream: bank.origin, tokenEndpoint: `${bank.origin}/connect/token`, key },
    ...{ fleet: store.fleet, sentinelPorts: store.sentinels.map(({ port }) => port) },
  };
  await using fleet = await openSlots((at) => start(places, at));
  const tally = createTally(bank);
  const changes = startChanges({ members: fleet.slots.map(({ member }) => member), iam, key, seed });
  let goesOn = true;
  const callers = fleet.slots.flatMap((slot, member) =>
    Array.from({ length: CALLERS_EACH }, async (_, caller) => {
      for (let index = 0; goesOn; index += 1) {
        await tally.call(slot, `payment-${seed}-${member}-${caller}-${index}`);
        await pause(CALL_PAUSE_MS);
      }
    }),
  );
  const struck = await strikeAll({ seed, seconds, around: { store, bank, fleet, changes } });
  await Promise.all(fleet.slots.map((slot) => slot.url()));
  await pause(CALM_MS);
  await changes.settle(seconds > SHORT_S ? haveOneSecret : haveSameSecret);
  goesOn = false;
  await Promise.all(callers);
  const atTheEnd = await renewAtTheEnd(bank, fleet, tally);
  return { ...tally.result(), struck, wrong: await changes.wrong(), atTheEnd };
}

interface Around {
  readonly store: SentinelWorld;
  readonly bank: Bank;
  readonly fleet: Slots;
  readonly changes: Changes;
}

interface StrikeOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly around: Around;
}

/** Goes on until everything has struck, but not for long. @returns how often each has */
async function strikeAll({ seed, seconds, around }: StrikeOptions): Promise<Record<Event, number>> {
  const { changes } = around;
  const luck = chance(seed, 'events');
  const struck = Object.fromEntries([...STRIKES, 'rotate the secret'].map((event) => [event, 0])) as Record<
    Event,
    number
  >;
  const isMissing = () => changes.areMeant && Object.values(struck).includes(0);
  const end = Date.now() + seconds * 1000;
  let left: readonly Strike[] = [];
  for (; Date.now() < end || (isMissing() && Date.now() < end + MISSING_MS); await pause(luck.between(200, 900))) {
    // Each once in a random order, and then again, but for those that have to wait.
    if (left.every(changes.putsOff)) left = STRIKES;
    const event = luck.pick(left.filter((one) => !changes.putsOff(one)) as [Strike, ...Strike[]]);
    left = left.filter((one) => one !== event);
    if (await strike(event, around, luck)) struck[event] += 1;
    struck['rotate the secret'] = changes.rotations();
  }
  return struck;
}

/** @returns whether it happened */
async function strike(event: Strike, { store, bank, fleet, changes }: Around, luck: Chance): Promise<boolean> {
  if (event === 'revoke all tokens') return bank.revoke();
  if (event === 'change the fleet key') return changes.changeKey();
  if (event === 'fail the store over') return store.failOver();
  if (event === 'kill a member') return killOne(fleet, luck);
  const primary = await store.primary();
  if (event === 'wipe the store') await primary.ask('FLUSHALL');
  if (event === 'kill the store') {
    await primary.kill();
    await pause(luck.between(0, 2000));
    await primary.restart();
  }
  if (event === 'freeze the store') {
    primary.freeze();
    await pause(luck.between(100, 2500));
    primary.thaw();
  }
  return true;
}

/** It starts again while others strike. @returns false while all are starting */
function killOne({ slots }: Slots, luck: Chance): boolean {
  const [first, ...others] = slots.filter((slot) => slot.isUp());
  if (!first) return false;
  void luck.pick([first, ...others]).replace();
  return true;
}

/** Changes of the fleet's key and of the client's secret, beside the other strikes. */
interface Changes {
  /** Whether the members can be changed. */
  readonly areMeant: boolean;
  /** Whether a strike has to wait, because no rotation could begin for 30 s after it: not all members would be known. */
  putsOff(strike: Strike): boolean;
  /** How many have begun. */
  rotations(): number;
  /** Begins to change the key on all members. @returns false while it is being changed */
  changeKey(): boolean;
  /** Begins no further ones. Resolves when that is so, and all members use the store. */
  settle(areSettled: typeof haveOneSecret): Promise<void>;
  /** What was wrong at any moment, or is now. */
  wrong(): Promise<readonly string[]>;
}

interface ChangesOptions {
  readonly members: readonly ChaosMember[];
  readonly iam: RotationIam;
  readonly key: string;
  readonly seed: number;
}

/** Rotates the secret again and again, as a timer would. Does nothing when the members cannot be changed. */
function startChanges({ members: all, iam, key, seed }: ChangesOptions): Changes {
  const members = all.filter((member): member is ChangingMember => 'useKeys' in member);
  const wrong = new Set<string>();
  const luck = chance(seed, 'changes');
  const secrets = { ...iam, members };
  const watch = watchSecrets(secrets, wrong);
  let [goesOn, rotations, current, unsettledUntil] = [members.length > 0, 0, key, 0];
  let keyChanges = 0;
  let changing: Promise<void> | undefined;
  const rotate = async () => {
    for (; goesOn; await pause(ROTATE_PAUSE_MS)) {
      await tryToRotate(luck.pick(members as [ChangingMember, ...ChangingMember[]]), async (kill) => {
        rotations += 1;
        unsettledUntil = Date.now() + UNSETTLED_MS;
        if (!luck.happens(KILLED_ROTATIONS)) return;
        await pause(luck.between(0, 2000));
        kill();
      });
    }
  };
  const change = async () => {
    const next = newFleetKey();
    const [before] = await keysOf(members);
    const haveNext = async () => {
      await pause(LOOK_MS);
      const [shown, ...others] = await keysOf(members);
      return others.length === 0 && shown !== undefined && shown !== before;
    };
    for (const keys of [[next, current], [next]]) {
      for (const member of members) {
        member.useKeys(keys);
        await pause(luck.between(0, 1000));
      }
      await until('all members have the new key', haveNext, NOTICED_MS);
      await pause(luck.between(0, 5000));
    }
    current = next;
  };
  const rotating = rotate();
  return {
    areMeant: members.length > 0,
    rotations: () => rotations,
    putsOff(one) {
      if (one === 'change the fleet key') return rotations === keyChanges;
      return members.length > 0 && UNSETTLING.includes(one) && Date.now() > unsettledUntil;
    },
    changeKey() {
      if (changing !== undefined) return false;
      keyChanges += 1;
      changing = change()
        .catch((error: unknown) => void wrong.add(String(error)))
        .finally(() => {
          changing = undefined;
        });
      return true;
    },
    async settle(areSettled) {
      goesOn = false;
      await Promise.all([rotating, changing]);
      if (members.length === 0) return;
      const isOver = async () => {
        await pause(LOOK_MS);
        const views = await Promise.all(members.map((member) => member.view()));
        return views.every(({ isUp }) => isUp) && (await areSettled(secrets));
      };
      await until('all have one secret', isOver, SETTLED_MS).catch((error) => void wrong.add(String(error)));
    },
    async wrong() {
      watch.stop();
      const shown = await Promise.all(members.map((member) => member.view()));
      const different = new Set(shown.map((one) => JSON.stringify(one)));
      if (different.size > 1) wrong.add(`members differ: ${[...different].join(' ')}`);
      if (wrong.size > 0) keepLogs(members);
      return [...wrong];
    },
  };
}

/** Into the folder of FLEET_CHAOS_LOGS, to see why; what they logged since their last starts. */
function keepLogs(members: readonly RotationMember[]): void {
  const folder = process.env['FLEET_CHAOS_LOGS'];
  if (folder === undefined) return;
  for (const [at, member] of members.entries()) writeFileSync(join(folder, `member-${at}.log`), member.log());
}

/** Different ones of the members' first keys, by fingerprint; undefined for one that does not respond just now. */
async function keysOf(members: readonly ChangingMember[]): Promise<Set<string | undefined>> {
  const shown = await Promise.allSettled(members.map((member) => member.view()));
  return new Set(shown.map((one) => (one.status === 'fulfilled' ? one.value.key : undefined)));
}

/** Every member is called at once with a revoked token that it shares with the others. */
async function renewAtTheEnd(bank: Bank, fleet: Slots, tally: ReturnType<typeof createTally>): Promise<number> {
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

/** An API, and its identity server in front of an emulator. */
async function startBank(aritma: string): Promise<Bank> {
  const executed = new Map<string, number>();
  /** Epoch ms of their expiry. */
  const valid = new Map<string, number>();
  const counts = { tokenRequests: 0, openTokenRequests: 0, expired: 0, revocations: 0, revokedAt: 0, issuedAt: 0 };
  const server = createServer(async (req, res) => {
    const body = Buffer.concat(await req.toArray());
    if (req.url === '/connect/token') {
      counts.tokenRequests += 1;
      counts.openTokenRequests += 1;
      const { status, text } = await requestToken(aritma, req.headers, body);
      await pause(TOKEN_MS);
      counts.openTokenRequests -= 1;
      counts.issuedAt = Date.now();
      const token: unknown = (JSON.parse(text) as Record<string, unknown>)['access_token'];
      if (token !== undefined) valid.set(`Bearer ${token}`, counts.issuedAt + LIFETIME_S * 1000);
      res.writeHead(status, { 'Content-Type': 'application/json' }).end(text);
      return;
    }
    const expiresAt = valid.get(req.headers.authorization ?? '') ?? 0;
    const isExpired = expiresAt > 0 && expiresAt < Date.now();
    if (isExpired) counts.expired += 1;
    if (expiresAt === 0 || isExpired) {
      res.writeHead(401, { 'WWW-Authenticate': 'Bearer error="invalid_token"' }).end();
      return;
    }
    if (req.method === 'GET') return void res.writeHead(200).end('{}');
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
      // Its token would replace the revoked one without a request.
      if (counts.openTokenRequests > 0) return false;
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

async function requestToken(
  aritma: string,
  { authorization, 'content-type': type = '' }: IncomingHttpHeaders,
  body: Buffer,
) {
  const headers = { 'content-type': type, ...(authorization !== undefined && { authorization }) };
  const response = await fetch(`${aritma}/connect/token`, { method: 'POST', headers, body });
  return { status: response.status, text: await response.text() };
}

interface Slot {
  readonly member: ChaosMember;
  /** Resolves with the place for payments, when it has been started again. */
  url(): Promise<string>;
  /** How often it has been killed. */
  kills(): number;
  isUp(): boolean;
  /** Kills it and starts it again; resolves when it is there. */
  replace(): Promise<void>;
}

interface Slots extends AsyncDisposable {
  readonly slots: readonly Slot[];
}

async function openSlots(start: (at: number) => Promise<ChaosMember>): Promise<Slots> {
  await using stack = new AsyncDisposableStack();
  const open = async (at: number): Promise<Slot> => {
    const member = stack.use(await start(at));
    let running = Promise.resolve();
    let kills = 0;
    let isUp = true;
    return {
      member,
      isUp: () => isUp,
      url: () => running.then(() => member.url),
      kills: () => kills,
      replace() {
        kills += 1;
        isUp = false;
        const restart = async () => {
          await member.kill();
          await member.restart();
          isUp = true;
        };
        running = restart();
        return running;
      },
    };
  };
  const slots = await Promise.all(Array.from({ length: MEMBERS }, (_, at) => open(at)));
  const ended = stack.move();
  return { slots, [Symbol.asyncDispose]: () => ended.disposeAsync() };
}

function createTally(bank: Bank) {
  const told = new Map<string, string>();
  const failed: Record<string, number> = {};
  let [excused, longestMs] = [0, 0];
  return {
    async call(slot: Slot, id: string): Promise<void> {
      const url = await slot.url();
      const before = [slot.kills(), bank.revocations()] as const;
      const startedAt = Date.now();
      const outcome = await pay(url, id);
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
function pay(url: string, id: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const headers = { 'x-payment': id, 'content-type': 'application/json' };
  const agent = new Agent();
  const req = request(url, { method: 'POST', headers, agent, timeout: DEADLINE_MS }, (res) => {
    const code = res.headers['x-sidecar-error'];
    res.resume().on('end', () => resolve(code === undefined ? String(res.statusCode) : `${res.statusCode} ${code}`));
    res.on('error', (error) => resolve(error.message));
  });
  req.on('timeout', () => req.destroy(new Error('no response in time')));
  req.on('error', (error: Error & { code?: string }) => resolve(error.code ?? error.message));
  req.end(JSON.stringify({ id }));
  return promise.finally(() => agent.destroy());
}
