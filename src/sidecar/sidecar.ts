/**
 * Composition root: builds the running objects from a loaded configuration and stops them. Commands, the demo and tests all
 * start a sidecar here, and get its addresses and one way to stop it.
 */
import { createHistory } from '../admin/history.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { watchFiles } from '../config/watch.ts';
import { type Clock, sleep, systemClock } from '../core/clock.ts';
import type { Log } from '../core/log.ts';
import { createMetrics, type Metrics } from '../core/metrics.ts';
import type { Tracing } from '../core/tracing.ts';
import { VERSION } from '../core/version.ts';
import {
  createRotationScheduler,
  type RotationScheduler,
  type RotationSchedulerOptions,
} from '../iam/rotation/scheduler.ts';
import { within } from '../net/bounded-request.ts';
import type { Bound, Listener } from '../net/listen.ts';
import type { Auditor } from './audit/auditor.ts';
import { createDataPlane, type DataPlane } from './data-plane/data-plane.ts';
import { openFleetLink } from './fleet-link.ts';
import type { Generation } from './generation.ts';
import { closeAll, openAll } from './listeners.ts';
import { requirePreconditions } from './preconditions.ts';
import { createReloader, type Reloader } from './reload.ts';
import { describe } from './snapshot.ts';
import { createSupport, type Doctor } from './support.ts';

export interface SidecarOptions {
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Heap in use as a share of its limit; default: V8's own. */
  readonly heapShare?: () => number;
  /** For the support file. */
  readonly doctor?: Doctor;
  /** Called on `POST /shutdown`. */
  readonly onShutdownRequest?: () => void;
}

export interface Sidecar {
  readonly proxy: readonly Bound[];
  readonly admin: readonly Bound[];
  /** Resolves when every route has its first token. @throws SidecarError of the first failure */
  firstTokens(): Promise<void>;
  /** Reads configuration and secrets again, and uses them if they are valid. Resolves when that is done. */
  reload(reason: string): Promise<void>;
  /** Drains and stops. Resolves with true when every running request finished within `drain.limit`. */
  stop(): Promise<boolean>;
}

/** Time for callers to read the error response of a request that was cut off at the drain limit. */
const LAST_RESPONSES_MS = 200;

/**
 * Starts everything and listens.
 * @throws SidecarError SIDECAR_LISTEN_FAILED | SIDECAR_AUDIT_FAILED
 * @example
 * const sidecar = await startSidecar({ loaded: loadConfig(), log });
 * await sidecar.stop();
 */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const { loaded, log, clock = systemClock, random = Math.random } = options;
  const metrics = createMetrics(VERSION);
  const { auditor, tracing, end } = await requirePreconditions(loaded, log).then(() => openOptional(options, metrics));
  const parts = { loaded, log, metrics, tracing, clock, random };
  const fleet = await openFleetLink({ ...parts, reload: (reason) => void reloader.reload(reason, false) });
  const reloader = createReloader({ ...parts, fleet, use: (next) => plane.use(next) });
  const state = { listening: false, listen: [] as readonly string[], draining: false, startedAt: Date.now() };
  const [hosts, adminHosts] = [new Set<string>(loaded.config.callers.hosts), new Set<string>()];
  const history = createHistory({ monotonicMs: performance.now.bind(performance), wallMs: Date.now });
  const link = { log, metrics, onFinished: history.record, auditor, tracing, budgets: fleet.budgets };
  const plane = createDataPlane({ first: reloader.current(), link, hosts, clock, heapShare: options.heapShare });
  const abandon = () => Promise.all([plane.close(), reloader.destroy()]);
  const scheduler = scheduleRotations(reloader, { log, metrics, fleet });
  const close = () => Promise.all([abandon(), scheduler.close(), fleet.close()]).then(end);
  const snapshot = () => ({ ...state, ...describe({ reloader, history, scheduler, plane, auditor, log, fleet }) });
  // The token requests are on their way: what callers do not wait for is loaded meanwhile.
  const admin = (await import('../admin/server.ts')).createAdmin({
    ...{ snapshot, metrics, hosts: adminHosts },
    support: createSupport({ ...parts, reloader, snapshot, doctor: options.doctor }),
    refreshTokens: (credential) => refreshTokens(reloader.current(), credential),
    shutdown: options.onShutdownRequest ?? (() => undefined),
  });
  const opening = { loaded, log, plane, admin, hosts, adminHosts };
  const { proxies, admins } = await openAll(opening).catch((error: unknown) =>
    close().then(() => Promise.reject(error)),
  );
  Object.assign(state, { listening: true, listen: proxies.map(({ bound }) => bound.text) });
  announce({ admins, proxies }, options);
  const stopWatching = watch(reloader, log);
  const stop = async () => {
    state.draining = true;
    admin.drain();
    stopWatching();
    const drained = await drain(loaded.config, { proxies, plane, abandon });
    closeAll([...admins, ...proxies]);
    return close().then(() => drained);
  };
  return {
    ...{ proxy: proxies.map(({ bound }) => bound), admin: admins.map(({ bound }) => bound), stop },
    firstTokens: () => firstTokens(reloader.current()),
    async reload(reason) {
      auditor?.reopen();
      await reloader.reload(reason, true);
    },
  };
}

/** The code of each is loaded only where it is configured. */
async function openOptional(options: SidecarOptions, metrics: Metrics) {
  const [auditor, tracing] = await Promise.all([openAudit(options, metrics), openTracing(options)]);
  return { auditor, tracing, end: () => Promise.all([auditor?.close(), tracing?.close()]) };
}

async function openTracing({ loaded, log, random = Math.random }: SidecarOptions): Promise<Tracing | undefined> {
  const settings = loaded.config.tracing;
  if (!settings) return undefined;
  const { createTracing } = await import('./tracing/tracing.ts');
  return createTracing({ loaded, settings, log, random });
}

async function openAudit({ loaded: { config }, log }: SidecarOptions, metrics: Metrics): Promise<Auditor | undefined> {
  if (!config.audit) return undefined;
  const { openAuditor } = await import('./audit/auditor.ts');
  return openAuditor(config, log, metrics);
}

function watch(reloader: Reloader, log: Log): () => void {
  const onChange = () => void reloader.reload('file change', false);
  const onNoEvents = (errno: string) => log.debug('files are checked twice a second: no events of changes', { errno });
  return watchFiles(() => reloader.current().loaded.files, onChange, { onNoEvents });
}

function scheduleRotations(
  reloader: Reloader,
  rest: Pick<RotationSchedulerOptions, 'log' | 'metrics' | 'fleet'>,
): RotationScheduler {
  const every = (ms: number, run: () => void) => {
    const timer = setInterval(run, ms).unref();
    return () => clearInterval(timer);
  };
  const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());
  const current = () => reloader.current().loaded;
  const readAgain = () => void reloader.reload('new client secret stored', false);
  return createRotationScheduler({ ...rest, current, readAgain, clock: { now: Date.now, sleep: pause }, every });
}

interface Draining {
  readonly proxies: readonly Listener[];
  readonly plane: DataPlane;
  /** Aborts the token, connection or response that requests wait for; each gets an error response. */
  readonly abandon: () => Promise<unknown>;
}

/** Resolves with true when every running request finished in time. */
async function drain({ drain: { minimum, limit } }: Config, { proxies, plane, abandon }: Draining): Promise<boolean> {
  await sleep(minimum);
  for (const { server } of proxies) server.close();
  const inTime = (ms: number) =>
    within(
      ms,
      plane.drain().then(() => true),
      () => false,
    );
  const drained = await inTime(limit);
  if (!drained) await abandon().then(() => inTime(LAST_RESPONSES_MS));
  plane.destroyConnections();
  return drained;
}

function announce(
  { admins, proxies }: { admins: readonly Listener[]; proxies: readonly Listener[] },
  { log, loaded }: SidecarOptions,
): void {
  for (const { bound } of admins) log.info('listening for operators', { address: bound.text });
  for (const { bound } of proxies) log.info('listening for callers', { address: bound.text });
  for (const warning of loaded.warnings) log.warn('configuration', { problem: warning });
}

async function firstTokens({ tokens }: Generation): Promise<void> {
  await Promise.all(tokens.sources().map((source) => source.getOnce()));
}

function refreshTokens({ tokens }: Generation, credential: string | undefined): Promise<void> | undefined {
  const sources = tokens.sources(credential);
  const refreshed = Promise.all(sources.map((source) => source.refresh())).then(() => undefined);
  return sources.length === 0 ? undefined : refreshed;
}
