/** Runs the chosen workloads over the chosen subjects, one after the other. */
import { setTimeout as pause } from 'node:timers/promises';
import { createLanes, type Lane, type Lanes, type World } from './lanes.ts';
import type { FleetMode } from './load/fleet-job.ts';
import type { Options } from './options.ts';
import type { Findings } from './report/report.ts';
import { type Contest, type Pace, type Round, runRounds } from './rounds.ts';
import { startStore } from './store.ts';
import { SUBJECTS } from './subjects/all.ts';
import { DIRECT } from './subjects/direct.ts';
import { FLAG_SETS } from './subjects/flag-sets.ts';
import type { Subject } from './subjects/subject.ts';
import { type ColdResult, runCold } from './workloads/cold.ts';
import { countWarmCommands, type FleetResult, type FleetSize, runFleet, type WarmCommands } from './workloads/fleet.ts';
import { type IdleResult, measureIdle } from './workloads/idle.ts';
import { loads } from './workloads/load.ts';
import { type MemoryResult, watchMemory } from './workloads/memory.ts';
import { runSparse, type SparseOptions, type SparseResult } from './workloads/sparse.ts';
import { measurePackage, timeStarts } from './workloads/start.ts';
import { PLAIN, type Workload } from './workloads/workload.ts';

const MIB = 1024 * 1024;
const COLD_CALLERS = 10_000;
/** Memory is measured under load too, which takes long; for all other subjects only when idle. */
const WATCHED = ['sidecar', 'floor', 'nginx'];
/** The callers under which it is measured. */
const CALLERS = [32, 512];
/** Rounds of the long workloads. */
const FEW_ROUNDS = 3;
/** For a smoke run: every connection gets its turn, however slow the machine. */
const SMOKE = { connections: 8, requests: 40 };

/** Seconds between calls, and how many: in a row, as a busy ERP, as one at night. */
const SPARSE = [
  { pauseS: 0, count: 10 },
  { pauseS: 6, count: 5 },
  { pauseS: 90, count: 2 },
];
const APART_MS = 550;
/** For the garbage of the start, and whatever goes on for a while after a call. */
const IDLE_SETTLE_S = 15;
const SPARSE_SMOKE = [{ pauseS: 0.1, count: 1 }];

const FLEET_SIZE: FleetSize = {
  members: 1000,
  processes: 4,
  lifetimeS: 24,
  dead: { members: 50, callers: 200 },
};
const FLEET_SMOKE: FleetSize = { members: 8, processes: 1, lifetimeS: 4, dead: { members: 4, callers: 5 } };
const FLEET_MODES: readonly FleetMode[] = ['fleet', 'naive', 'alone'];
const WARM_REQUESTS = 20_000;

const APART = ['sparse', 'idle', 'cold', 'start', 'memory', 'package'];

/** What workloads need beside npm. */
export interface Installed {
  readonly tls: boolean;
  readonly store: boolean;
}

/** @throws Error that lists the known names, for an unknown one */
export function checkNames({ subjects = [], workloads = [] }: Options): void {
  const known = {
    subject: SUBJECTS.map(({ name }) => name),
    workload: [...loads(MIB).map(({ name }) => name), ...APART],
  };
  for (const [kind, names] of [['subject', subjects] as const, ['workload', workloads] as const]) {
    const unknown = names.filter((name) => !known[kind].includes(name));
    if (unknown.length > 0) throw new Error(`Unknown ${kind}: ${unknown.join(', ')}. Known: ${known[kind].join(', ')}`);
  }
}

export function planWorkloads({ smoke, workloads }: Options, { tls, store }: Installed): Workload[] {
  const all = loads(smoke ? 4 * MIB : 1024 * MIB);
  if (!tls) process.stderr.write('No openssl program: the workload tls is left out.\n');
  if (!store) process.stderr.write('No redis-server program: the workload fleet is left out.\n');
  return all
    .filter(({ name }) => (workloads?.includes(name) ?? true) && (tls || name !== 'tls') && (store || name !== 'fleet'))
    .map((workload) => (smoke ? tiny(workload) : workload));
}

function tiny(workload: Workload): Workload {
  const { connections, shape } = workload.job;
  const timed = shape === 'once' || shape === 'open';
  const job = { ...workload.job, connections: Math.min(connections, SMOKE.connections) };
  return { ...workload, fresh: false, job: timed ? job : { ...job, requests: SMOKE.requests } };
}

export async function runWorkloads(world: World, workloads: readonly Workload[], options: Options): Promise<Findings> {
  const lanes = createLanes(world);
  const installed = SUBJECTS.filter(({ name }) => options.subjects?.includes(name) ?? true).filter(
    (subject) => subject.version() !== undefined,
  );
  const subjects = [...installed, ...(options.flags ? FLAG_SETS : [])];
  const wanted = (name: string) => options.workloads?.includes(name) ?? true;
  const withSidecar = subjects.some(({ name }) => name === 'sidecar');
  const fewRounds = Math.min(FEW_ROUNDS, options.rounds);
  const rounds: Round[] = [];
  const few = options.smoke ? subjects.filter(({ name }) => WATCHED.includes(name)) : subjects;
  const contests = workloads.map((workload) => ({
    workload,
    lanes: lanesOf(workload, workload.variants ? few : subjects),
  }));
  // All at once: one after the other takes longer than the smoke run itself.
  if (options.smoke) await Promise.allSettled(contests.flatMap((contest) => contest.lanes).map(lanes.get));
  for (const contest of contests) {
    say(contest.workload.title);
    rounds.push(...(await runRounds(world, lanes, contest, paceOf(options, contest))));
  }
  const cold: ColdResult[] = [];
  if (wanted('cold') && withSidecar) {
    say('callers before there is a token');
    for (let round = 0; round < fewRounds; round += 1)
      cold.push(await runCold(world, options.smoke ? 300 : COLD_CALLERS));
  }
  const sparse =
    wanted('sparse') && world.upstream.tlsPort !== undefined ? await runAllSparse(world, subjects, options) : [];
  const idle = wanted('idle') && world.upstream.tlsPort !== undefined ? await idleAll(world, subjects, options) : [];
  const fleet = world.store && wanted('fleet') ? await runFleets(world, lanes, options) : undefined;
  const starts = wanted('start') && withSidecar ? await timeStarts(world, options.rounds) : [];
  const memory = wanted('memory') ? await watchAll(world, lanes, subjects, options) : [];
  const size = wanted('package') && options.from === 'dist' ? await measurePackage() : undefined;
  await lanes.close();
  return { rounds, sparse, idle, cold, ...(fleet && { fleet }), memory, starts, package: size };
}

function lanesOf({ variants = [PLAIN], sidecarOnly, direct }: Workload, subjects: readonly Subject[]): Lane[] {
  const chosen = sidecarOnly ? subjects.filter(({ name }) => name === 'sidecar') : subjects;
  const all = direct ? [DIRECT, ...chosen] : chosen;
  return all.flatMap((subject) => variants.map((variant) => ({ subject, variant })));
}

function paceOf({ smoke, rounds, seconds }: Options, { workload }: Contest): Pace {
  return {
    rounds: workload.fresh ? Math.min(FEW_ROUNDS, rounds) : rounds,
    warmMs: smoke ? 20 : 300,
    measureMs: seconds * 1000,
  };
}

/** All at once, each with a way of its own: next to nothing goes on, and one after the other would take an hour. */
async function runAllSparse(world: World, subjects: readonly Subject[], { smoke }: Options): Promise<SparseResult[]> {
  say('calls with pauses between them');
  const calls = smoke ? SPARSE_SMOKE : SPARSE;
  const takers: SparseOptions[] = subjects
    .filter(({ name }) => !smoke || name === 'sidecar')
    .flatMap((subject) => [
      { subject, calls },
      ...(subject.name === 'sidecar' ? [{ subject, calls, warm: true }] : []),
    ]);
  const apartMs = smoke ? 0 : APART_MS;
  // Not in the same moment, or each waits for the others' handshakes.
  const runs = takers.map((taker, index) => pause(index * apartMs).then(() => runSparse(world, taker)));
  return (await Promise.all(runs)).flat();
}

/** All at once: they do nothing. */
async function idleAll(world: World, subjects: readonly Subject[], options: Options): Promise<IdleResult[]> {
  say('nobody calls');
  const measured = subjects.filter(({ name }) => !options.smoke || name === 'sidecar');
  const settleS = options.smoke ? 0 : IDLE_SETTLE_S;
  const seconds = options.idleSeconds;
  return await Promise.all(measured.map((subject) => measureIdle(world, { subject, settleS, seconds })));
}

export interface FleetFindings {
  readonly results: readonly FleetResult[];
  readonly warm: WarmCommands | undefined;
}

async function runFleets(world: World, lanes: Lanes, { smoke, rounds }: Options): Promise<FleetFindings> {
  say('members of a fleet');
  const warm = await countWarmCommands(world, lanes, smoke ? 40 : WARM_REQUESTS);
  const results: FleetResult[] = [];
  const store = await startStore(world.folder);
  if (!store) return { results, warm };
  for (let round = 0; round < Math.min(FEW_ROUNDS, rounds); round += 1) {
    for (const mode of smoke ? FLEET_MODES.slice(0, 1) : FLEET_MODES)
      results.push(await runFleet(store, mode, smoke ? FLEET_SMOKE : FLEET_SIZE));
  }
  await store.stop();
  return { results, warm };
}

async function watchAll(
  world: World,
  lanes: Lanes,
  subjects: readonly Subject[],
  { requests, smoke }: Options,
): Promise<MemoryResult[]> {
  const results: MemoryResult[] = [];
  for (const subject of subjects.filter(({ name }) => !smoke || name === 'sidecar')) {
    const loaded = WATCHED.includes(subject.name) || FLAG_SETS.includes(subject);
    for (const connections of loaded && !smoke ? CALLERS : CALLERS.slice(0, 1)) {
      say(`memory of ${subject.name}, ${connections} callers`);
      results.push(await watchMemory(world, lanes, { subject, connections, requests: loaded ? requests : 0 }));
    }
  }
  return results;
}

function say(what: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${what}\n`);
}
