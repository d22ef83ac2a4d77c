/** One row of the token fault matrix, played by either subject; collects complaints, so that the control's can be compared. */

import type { Fault } from './fault-server.ts';
import {
  type FaultWorld,
  type FaultWorldOptions,
  openFaultWorld,
  type SubjectName,
  whileTimePasses,
} from './fault-world.ts';

export interface FaultRow {
  readonly id: string;
  /** The fault and its outcome, in the present tense. */
  readonly name: string;
  /** How the control fails, as one of the complaints; or that it passes; or why it does not play the row. */
  readonly control: { readonly fails: string } | 'passes' | { readonly leftOut: string };
  /** A known fault of the sidecar; the row must then fail because of it. */
  readonly defect?: string;
  /** Keeps this process so busy that parallel rows would only wait. */
  readonly crowd?: true;
  readonly play: (stage: Stage) => Promise<void>;
}

export interface Stage {
  readonly subject: SubjectName;
  open(options?: Omit<FaultWorldOptions, 'subject'>): Promise<FaultWorld>;
  check(complaint: string, fine: boolean): void;
}

export const HAMMERS = 'the token endpoint is asked again and again';
export const NOT_PASSED_ON = 'the API’s answer does not reach the caller';
export const READS_ON = 'an endless body is read on and on';
export const NOT_503 = 'a caller without a token does not get 503 in time';
export const NOT_KEPT = 'the kept token does not go on serving';
export const MORE_THAN_ONE = 'one event costs more than one token request';
export const NOT_BACK = 'no recovery after the fault';
export const LEAKS = 'a secret or token is in the log';
export const MISUSE = 'the API saw a request without a token in force';

/** Time limit for a control that is known not to respond to its callers. */
const SHORT_PATIENCE_MS = 1000;

/** Plays a row and returns each complaint once. */
export async function playRow(row: FaultRow, subject: SubjectName): Promise<string[]> {
  const complaints = new Set<string>();
  const worlds: FaultWorld[] = [];
  const fails = typeof row.control === 'object' && 'fails' in row.control ? row.control.fails : undefined;
  const leaves = subject === 'naive' && [NOT_503, NOT_PASSED_ON, READS_ON].some((silence) => silence === fails);
  const check: Stage['check'] = (complaint, fine) => void (fine || complaints.add(complaint));
  try {
    await row.play({
      subject,
      check,
      async open(options = {}) {
        const world = await openFaultWorld({
          subject,
          ...(leaves && { patienceMs: SHORT_PATIENCE_MS }),
          ...options,
        });
        worlds.push(world);
        return world;
      },
    });
  } finally {
    for (const world of worlds) {
      check(MISUSE, world.misuse().length === 0);
      check(LEAKS, !world.leaks());
      await world[Symbol.asyncDispose]();
    }
  }
  return [...complaints];
}

/** With a valid token and a refresh due, then with the token expired, then without the fault. */
export interface OutageOptions {
  readonly code?: 'TOKEN_UNAVAILABLE' | 'CREDENTIALS_REJECTED';
  readonly begin: (world: FaultWorld) => void | Promise<void>;
  readonly end?: (world: FaultWorld) => void | Promise<void>;
}

/** When the refresh of a token of one hour is due, whatever the jitter. */
export const REFRESH_DUE_MS = 3_440_000;

/** Longer than every back-off, except one that the server asks for. */
const BACK_OFF_MS = 100_000;

export async function keptThenExpired(stage: Stage, options: OutageOptions): Promise<void> {
  const world = await stage.open();
  await world.settled('obtained', 1);
  const first = await world.ask();
  stage.check('the first token does not serve', first.status === 200);
  await options.begin(world);
  await world.clock.advance(REFRESH_DUE_MS);
  await world.settled('failed', 1);
  await expectServing(stage, world);
  await world.clock.advance(BACK_OFF_MS);
  await world.settled('failed', 2);
  await expectServing(stage, world);
  await world.clock.advance(BACK_OFF_MS + 1);
  await world.settled('failed', 3);
  await expectRefused(stage, world, options.code);
  await (options.end ?? (({ identity, grant }) => identity.behave(grant())))(world);
  await world.clock.advance(BACK_OFF_MS);
  await world.settled('obtained', 2);
  stage.check(NOT_BACK, (await world.ask()).status === 200);
}

async function expectServing(stage: Stage, world: FaultWorld): Promise<void> {
  for (const { status } of await world.askMany(3)) stage.check(NOT_KEPT, status === 200);
}

/** Ten callers, five at once: all get 503 in time, and together cost at most two token requests. */
export async function expectRefused(stage: Stage, world: FaultWorld, code = 'TOKEN_UNAVAILABLE'): Promise<void> {
  const before = world.identity.connections + world.identity.requests.length;
  const forwarded = world.upstream.requests.length;
  // A try that failed early has used up a part of its back-off: a caller may wait for what is left of it.
  const seen = await whileTimePasses(world, world.askMany(5));
  for (let index = 0; index < 5 && seen.at(-1)?.status !== 0; index += 1)
    seen.push(await whileTimePasses(world, world.ask()));
  for (const answer of seen) {
    stage.check(NOT_503, answer.status === 503);
    const told = answer.retryAfterS >= 1 && answer.retryAfterS <= 300;
    stage.check('a 503 does not say when to come back', answer.status !== 503 || told);
    if (stage.subject === 'sidecar') stage.check(`a 503 is not ${code} but ${answer.code}`, answer.code === code);
  }
  stage.check(MISUSE, world.upstream.requests.length === forwarded);
  stage.check(HAMMERS, world.identity.connections + world.identity.requests.length - before <= 4);
}

/** With the fault from the start, then without it. */
export async function coldThenBack(stage: Stage, fault: Fault, code?: OutageOptions['code']): Promise<FaultWorld> {
  const world = await stage.open({ fault });
  await expectRefused(stage, world, code);
  await world.settled('failed', 1);
  world.identity.behave(world.grant());
  await world.clock.advance(BACK_OFF_MS);
  await world.settled('obtained', 1);
  stage.check(NOT_BACK, (await world.ask()).status === 200);
  return world;
}

/** Both halves of a row whose fault is a response. */
export async function bothHalves(stage: Stage, fault: Fault, code?: OutageOptions['code']): Promise<void> {
  await keptThenExpired(stage, { begin: ({ identity }) => identity.behave(fault), ...(code && { code }) });
  await coldThenBack(stage, fault, code);
}
