/**
 * Running subjects. Each is started once for each set-up, checked (does it inject its token?), warmed up and kept until the
 * bench ends. A lane is a subject in one set-up.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Generator } from './generator.ts';
import type { LoadJob } from './load/job.ts';
import type { Store } from './store.ts';
import { LOG_FILE, type Running, type Setup, type Subject } from './subjects/subject.ts';
import { startUpstream, type Upstream } from './upstream.ts';
import { SMALL_BYTES, type Variant } from './workloads/workload.ts';

export interface World {
  /** All files of the bench. */
  readonly folder: string;
  readonly upstream: Upstream;
  readonly generator: Generator;
  /** Of fleets; undefined when it is not installed, or no workload needs it. */
  readonly store?: Store | undefined;
  /** The sidecar's program file. */
  readonly main: string;
  /** Options of Node for the sidecar, in addition to the usual ones. */
  readonly nodeFlags: readonly string[];
  /** Warm-up of a new process. A count, not a time: in a slow minute the subject's code would stay uncompiled. */
  readonly warmRequests: number;
}

export interface Lane {
  readonly subject: Subject;
  readonly variant: Variant;
}

export interface Lanes {
  /** Returns a running, checked and warm subject; the same process each time. */
  get(lane: Lane): Promise<Running>;
  /** Returns a checked subject that has just started. The caller stops it. */
  fresh(lane: Lane): Promise<Running>;
  close(): Promise<void>;
}

/** Token lifetime: longer than any run. */
const LIFETIME_S = 7 * 3600;

/** @param onStarted gets each subject that has started, before it is warmed up */
export function createLanes(
  world: World,
  onStarted: (lane: Lane, started: Running) => Promise<void> = async () => undefined,
): Lanes {
  const running = new Map<string, Promise<Running>>();
  const start = async (lane: Lane) => {
    const subject = await open(world, lane);
    await onStarted(lane, subject);
    return subject;
  };
  const get = (lane: Lane) => {
    const key = `${lane.subject.name} ${lane.variant.name}`;
    const known = running.get(key) ?? start(lane).then((subject) => warm(world, subject));
    running.set(key, known);
    return known;
  };
  return {
    get,
    fresh: start,
    async close() {
      const all = await Promise.allSettled(running.values());
      await Promise.all(all.map((one) => one.status === 'fulfilled' && one.value.stop()));
    },
  };
}

/** Returns the set-up for a subject; also for workloads that start their own. */
export function setupFor(world: World, variant: Variant, identityPort = world.upstream.port): Setup {
  const { upstream, main, nodeFlags } = world;
  const tls = variant.name === 'tls';
  const port = tls ? upstream.tlsPort : upstream.port;
  if (port === undefined) throw new Error('no TLS without the openssl program');
  return {
    scheme: tls ? 'https' : 'http',
    upstreamPort: port,
    caFile: tls ? upstream.caFile : undefined,
    tokenEndpoint: `http://127.0.0.1:${identityPort}/connect/${variant.tokenLifetimeS ?? LIFETIME_S}`,
    folder: makeFolder(world),
    sidecar: {
      ...{ main, nodeFlags },
      ...(variant.config && { config: variant.config }),
      ...(variant.name === 'fleet' && { config: fleetConfig(world) }),
      ...(variant.sample !== undefined && { config: tracingConfig(world, variant.sample) }),
      ...(variant.anyCore && { anyCore: true }),
    },
  };
}

function fleetConfig({ store }: World): Readonly<Record<string, unknown>> {
  if (!store) throw new Error('no fleet without redis-server');
  return { fleet: { url: `redis://127.0.0.1:${store.port}`, keys: [{ file: store.keyFile }] } };
}

function tracingConfig({ upstream }: World, sample: number): Readonly<Record<string, unknown>> {
  return { tracing: { otlp: `http://127.0.0.1:${upstream.port}`, sample } };
}

function makeFolder({ folder }: World): string {
  mkdirSync(folder, { recursive: true });
  return mkdtempSync(join(folder, 'subject-'));
}

async function open(world: World, { subject, variant }: Lane): Promise<Running> {
  const identity = variant.identityEnds ? await startUpstream() : undefined;
  const setup = setupFor(world, variant, identity?.port);
  try {
    const started = await subject.start(setup);
    const stop = async () => {
      await started.stop();
      rmSync(setup.folder, { recursive: true, force: true });
    };
    await verify(started);
    return { ...started, stop };
  } catch (error) {
    const said = lastWords(join(setup.folder, LOG_FILE));
    throw new Error(`${subject.name} (${variant.name}): ${(error as Error).message}\n${said}`, { cause: error });
  } finally {
    await identity?.stop();
  }
}

/** Returns the end of a program's output. */
function lastWords(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8').slice(-1000) : '';
}

/** Asks the upstream what it has seen: a subject that adds no token, or a wrong one, is not measured. */
async function verify({ port, expects, authorization }: Running): Promise<void> {
  const headers = { Connection: 'close', ...(authorization !== undefined && { Authorization: authorization }) };
  const answer = await fetch(`http://127.0.0.1:${port}/api/seen`, { headers });
  const seen = await answer.text();
  if (!expects.test(seen)) throw new Error(`no token was added: status ${answer.status}, the upstream saw "${seen}"`);
}

async function warm({ generator, warmRequests }: World, subject: Running): Promise<Running> {
  const job: LoadJob = {
    ...{ port: subject.port, method: 'GET', path: '/api/small', sendBytes: 0, expectBytes: SMALL_BYTES },
    ...{ shape: 'closed', connections: 32, warmMs: 0, measureMs: 0, requests: warmRequests },
    ...{ pids: subject.pids, measuringPids: [] },
    ...(subject.authorization !== undefined && { authorization: subject.authorization }),
  };
  const { errors } = await generator.run(job);
  const wrong = Object.entries(errors);
  if (wrong.length > 0) process.stderr.write(`while warming up: ${JSON.stringify(errors)}\n`);
  return subject;
}
