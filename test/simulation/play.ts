/** Plays one history: the same data leads to the same trace, byte for byte. */
import { createHash } from 'node:crypto';
import type { History } from './history.ts';
import { type Violation, watchInvariants } from './invariants/invariants.ts';
import { lateRotation, msOf } from './invariants/rotation.ts';
import { usePlatform } from './platform/platform.ts';
import { currentProcess } from './platform/process.ts';
import { readable } from './readable.ts';
import { START } from './world/calendar.ts';
import type { Iam } from './world/iam/iam.ts';
import type { SidecarHost } from './world/sidecar-host.ts';
import { World } from './world/world.ts';

export interface Played {
  readonly violation: Violation | undefined;
  /** Of the whole trace. */
  readonly hash: string;
  /** Empty unless asked for. */
  readonly lines: readonly string[];
  readonly simulatedMs: number;
  readonly events: number;
  readonly calls: number;
  /** How often an excuse was needed, by its name. */
  readonly excuses: ReadonlyMap<string, number>;
}

export interface PlayOptions {
  readonly keepLines?: boolean;
  /** Ends after this, ms since the start. */
  readonly until?: number;
}

/** The longest that anything may take after the last fault: a `Retry-After` that counts for at most five minutes, and a try. */
const RECOVERY_MS = 330_000;
const STOP_MS = 60_000;
const SHARING_MS = 10_000;
/** Characters. */
const HASHED_AT_ONCE = 16_384;

/** Stops at the first violation. */
export async function play(
  history: History,
  { keepLines = false, until = Infinity }: PlayOptions = {},
): Promise<Played> {
  const hash = createHash('sha256');
  const lines: string[] = [];
  let unhashed = '';
  const trace = (who: string, what: string) => {
    const line = `${new Date(platform.time.nowMs).toISOString()} ${who}: ${what}`;
    unhashed += line;
    if (unhashed.length > HASHED_AT_ONCE) {
      hash.update(unhashed);
      unhashed = '';
    }
    if (keepLines) lines.push(readable(line));
  };
  const platform = usePlatform(history.seed, START, trace);
  const invariants = watchInvariants();
  const excuses = new Map<string, number>();
  const world = new World(platform, history, (observation) => {
    if (observation.kind === 'excused') excuses.set(observation.why, (excuses.get(observation.why) ?? 0) + 1);
    invariants.observe(observation);
  });
  invariants.begin(world);
  const stop = onCrash((error) => invariants.observe({ kind: 'crash', error }));
  try {
    await live(world, history, { until: START + until, check: invariants.stopIfViolated });
  } catch (error) {
    if (error !== invariants.violation && error !== OVER) throw error;
  } finally {
    stop();
    platform.end();
  }
  const { nowMs, ran } = platform.time;
  const { violation } = invariants;
  if (violation) trace('VIOLATED', `${violation.name}: ${violation.detail}`);
  return {
    violation,
    hash: hash.update(unhashed).digest('hex'),
    lines,
    simulatedMs: nowMs - START,
    events: ran,
    calls: world.erps.reduce((sum, { count }) => sum + count, 0),
    excuses,
  };
}

/** The time that was asked for. */
const OVER = Symbol('over');

interface Living {
  readonly until: number;
  readonly check: () => void;
}

async function live(world: World, history: History, { until, check }: Living): Promise<void> {
  const { time } = world.platform;
  const goTo = async (at: number) => {
    await time.runUntil(Math.min(START + at, until), check);
    // Whatever comes later must not happen now.
    if (time.nowMs >= until) throw OVER;
  };
  for (const { from, to, quiet, happenings } of history.stretches) {
    await wake(world, { from, quiet, goTo });
    for (const { at, kind, args } of happenings) {
      await goTo(at);
      world.apply(kind, args);
    }
    await goTo(to);
  }
  await finish(world, goTo);
  check();
}

type GoTo = (at: number) => Promise<void>;

async function wake(world: World, { from, quiet, goTo }: { from: number; quiet: string; goTo: GoTo }): Promise<void> {
  const { time } = world.platform;
  const leftOf = ({ machine }: SidecarHost) => START + from - Math.max(time.nowMs, machine.asleepUntil);
  const leftMs = leftOf(world.sidecar);
  if (leftMs > 0 && quiet === 'asleep') {
    world.trace('machine', `sleeps ${Math.round(leftMs / 1000)} s`);
    for (const host of world.hosts) if (leftOf(host) > 0) time.suspend(host.machine, leftOf(host));
  } else if (leftMs > 0) {
    for (const erp of world.erps) erp.rest();
    for (const host of world.hosts.filter((host) => leftOf(host) > 0)) {
      host.isWanted = false;
      host.stop(() => undefined);
    }
  }
  await goTo(from);
  for (const host of world.hosts) {
    host.isWanted = true;
    host.start();
  }
  for (const erp of world.erps) erp.work();
}

/** The last fault is over: everything has to be well soon, and then to end well. */
async function finish(world: World, goTo: GoTo): Promise<void> {
  const since = () => world.platform.time.nowMs - START;
  const asleepMs = () =>
    Math.max(...world.everyHost.map(({ machine }) => machine.asleepUntil)) - world.platform.time.nowMs;
  // What waited for a machine to wake up may let it sleep again; that of one that has left may be of others.
  while (asleepMs() > 0) await goTo(since() + asleepMs() + 1);
  world.trace('history', 'everything is repaired');
  world.repair();
  await goTo(since() + RECOVERY_MS);
  world.observe({ kind: 'recovered' });
  if (world.fleet) await share(world, goTo);
  for (const erp of world.erps) erp.rest();
  if (world.iam) await settle(world, world.iam, goTo);
  for (const erp of world.erps) erp.pay();
  await goTo(since() + STOP_MS);
  for (const host of world.hosts) host.stop((drained) => world.observe({ kind: 'stopped', drained }));
  await goTo(since() + STOP_MS);
  world.observe({ kind: 'end' });
}

/** A rotation that failed is tried again within an hour; then its overlap begins. A last one cleans up. */
async function settle(world: World, { part, runs, administrator }: Iam, goTo: GoTo): Promise<void> {
  const since = () => world.platform.time.nowMs - START;
  administrator.unify();
  const settleBy = since() + msOf('1h') + msOf(part.overlap) + msOf('10m');
  while (lateRotation(world) !== undefined && since() < settleBy) {
    await goTo(since() + msOf('1m'));
    administrator.putRight();
  }
  administrator.putRight();
  world.observe({ kind: 'settled' });
  // Another run may hold the lock: then again.
  const often = async (start: (onEnd: (isDone: boolean) => void) => void) => {
    for (let tries = 0; tries < 4; tries += 1) {
      if (await ended(world, goTo, start)) return true;
      administrator.leaveOne();
    }
    return false;
  };
  world.observe({ kind: 'rotatedLast', hasRotated: await often((onEnd) => runs.rotate({ onEnd })) });
  if (!part.isProvisioning) return;
  world.observe({ kind: 'provisionedLast', isDone: await often((onEnd) => runs.provision({ onEnd })) });
}

/** Starts a command and waits for its end, for at most a day. */
async function ended(world: World, goTo: GoTo, start: (onEnd: (isDone: boolean) => void) => void): Promise<boolean> {
  const since = () => world.platform.time.nowMs - START;
  let outcome: boolean | undefined;
  start((isDone) => {
    outcome = isDone;
  });
  const endBy = since() + msOf('1d');
  while (outcome === undefined && since() < endBy) await goTo(since() + msOf('1m'));
  return outcome === true;
}

/** All members lose their token at the same time. */
async function share(world: World, goTo: GoTo): Promise<void> {
  world.trace('history', 'all tokens are revoked');
  world.identity.revokeAll();
  for (const erp of world.erps) erp.pay();
  world.observe({ kind: 'sharing' });
  await goTo(world.platform.time.nowMs - START + SHARING_MS);
}

/** Calls `report` for what would end a process. */
function onCrash(report: (error: unknown) => void): () => void {
  // The rest of the turn of a killed process has no effect.
  const reportLive = (error: unknown) => {
    if (currentProcess()?.isAlive !== false) report(error);
  };
  process.on('unhandledRejection', reportLive);
  process.on('uncaughtException', reportLive);
  return () => {
    process.off('unhandledRejection', reportLive);
    process.off('uncaughtException', reportLive);
  };
}
