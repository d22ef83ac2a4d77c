/**
 * Replaces the running generation by one from the current files. An invalid configuration changes nothing and is logged as
 * an error; a valid one is swapped in as a whole, and the old one finishes what it has begun.
 */
import { createHash } from 'node:crypto';
import type { LoadedConfig } from '../config/load.ts';
import { withPrograms } from '../config/secret-programs.ts';
import type { LoadedSecrets } from '../config/support-section.ts';
import { SidecarError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import type { FleetLink } from './fleet-link.ts';
import { createGeneration, type Generation, type GenerationOptions } from './generation.ts';
import { createGenerations, type Generations } from './generations.ts';
import { createReloadQueue, type ReloadWish } from './reload-queue.ts';

export interface ReloadSnapshot {
  /** Counts from 1. */
  readonly generation: number;
  readonly lastReload:
    | { readonly at: number; readonly result: ReloadResult; readonly problems: readonly string[] }
    | undefined;
}

/** `unchanged`: files were touched, but not changed. `invalid`: the last good configuration stays in use. */
export type ReloadResult = 'ok' | 'unchanged' | 'invalid';

export interface Reloader extends Pick<Generations<Generation>, 'current' | 'destroy'> {
  /**
   * Reads everything again; a promise where programs must print secrets first. @param force rebuild even if nothing changed: an
   * operator asked for it
   */
  reload(reason: string, force: boolean): ReloadResult | Promise<ReloadResult>;
  snapshot(): ReloadSnapshot;
  /** Secrets of the last generations that were replaced: old log lines may still quote them. */
  replaced(): readonly LoadedSecrets[];
}

export interface ReloaderOptions extends Omit<GenerationOptions, 'previous'> {
  readonly fleet: Pick<FleetLink, 'token' | 'use' | 'adopt'>;
  /** Serves new requests with this generation. Resolves when no request of the previous one is left. */
  readonly use: (next: Generation) => Promise<void>;
}

/**
 * Builds the first generation.
 * @example
 * const reloader = createReloader({ loaded, log, metrics, clock, random, use: (next) => plane.use(next) });
 * reloader.reload('SIGHUP', true); // 'ok' | 'unchanged' | 'invalid'
 */
export function createReloader({ use, ...options }: ReloaderOptions): Reloader {
  const { log, metrics } = options;
  const generations = createGenerations(createGeneration(options));
  const { note, countGeneration, snapshot, replaced } = createNotes(metrics);
  let closed = false;

  const swap = (loaded: LoadedConfig) => {
    const previous = generations.current();
    options.fleet.use(loaded);
    const next = createGeneration({ ...options, loaded, previous });
    countGeneration(previous.loaded);
    const failed = logNotClosed(log);
    previous.usedUntil(use(next).catch(failed));
    generations.replace(next).catch(failed);
  };

  const take = (read: LoadedConfig, { reason, force }: ReloadWish) => {
    const before = generations.current().loaded;
    const loaded = options.fleet.adopt(read);
    if (!force && configFingerprint(loaded) === configFingerprint(before)) return note('unchanged');
    for (const problem of newWarnings(before, loaded)) log.warn('configuration', { problem });
    swap(loaded);
    log.info('configuration reloaded', { reason });
    log.setLevel(loaded.config.log.level);
    return note('ok');
  };

  const refuse = (error: unknown, { reason }: ReloadWish) => {
    const problems = problemsOf(error);
    for (const problem of problems) log.error('reload refused, the last good configuration stays', { reason, problem });
    return note('invalid', problems);
  };

  const reload = createReloadQueue((wish) =>
    settle(
      () => withPrograms((printed) => generations.current().loaded.reload(printed)),
      // The sidecar may have stopped while the programs ran.
      (loaded) => (closed ? 'unchanged' : take(loaded, wish)),
      (error) => refuse(error, wish),
    ),
  );

  return {
    current: generations.current,
    destroy() {
      closed = true;
      return generations.destroy();
    },
    ...{ snapshot, replaced },
    reload: (reason, force) => reload({ reason, force }),
  };
}

/** More replacements than fit into the end of the log. */
const MAX_REPLACED = 20;

function createNotes(metrics: Metrics) {
  let replaced: readonly LoadedSecrets[] = [];
  let snapshot: ReloadSnapshot = { generation: 1, lastReload: undefined };
  return {
    snapshot: () => snapshot,
    replaced: () => replaced,
    countGeneration({ secrets, callerKeys, fleetSecrets, proxy }: LoadedConfig) {
      // Not the whole of it: a configuration can have hundreds of routes.
      replaced = [...replaced, { secrets, callerKeys, fleetSecrets, proxy }].slice(-MAX_REPLACED);
      snapshot = { ...snapshot, generation: snapshot.generation + 1 };
    },
    note(result: ReloadResult, problems: readonly string[] = []) {
      snapshot = { ...snapshot, lastReload: { at: Date.now(), result, problems } };
      metrics.count('config_reloads_total', { result });
      return result;
    },
  };
}

function logNotClosed(log: Log): (error: unknown) => void {
  return (error) => log.error('the old configuration could not be closed', { reason: String((error as Error).name) });
}

/** Calls `use` or `refuse` with what comes of `read`: at once, or when its promise is settled. */
function settle<Value, Result>(
  read: () => Value | Promise<Value>,
  use: (value: Value) => Result,
  refuse: (error: unknown) => Result,
): Result | Promise<Result> {
  try {
    const value = read();
    return value instanceof Promise ? value.then(use).catch(refuse) : use(value);
  } catch (error) {
    return refuse(error);
  }
}

/** @throws any other error */
function problemsOf(error: unknown): string[] {
  if (!(error instanceof SidecarError)) throw error;
  return (error.extras.problems ?? []).map(({ where, path, message }) => `${where}: ${path} ${message}`);
}

function newWarnings(before: LoadedConfig, loaded: LoadedConfig): string[] {
  const news = loaded.warnings.filter((warning) => !before.warnings.includes(warning));
  return [...restartNeeded(before, loaded), ...news];
}

/** Hashes everything that affects behaviour; secrets by their fingerprint. */
function configFingerprint({ document, secrets, callerKeys, fleetSecrets, tls }: LoadedConfig): string {
  const hash = createHash('sha256').update(JSON.stringify(document));
  for (const { value, kid, alg } of [...secrets.values()].flat())
    hash.update(JSON.stringify([value.fingerprint(), kid, alg]));
  for (const key of [...callerKeys.values()].flat()) hash.update(key.digest());
  for (const key of fleetSecrets ? [...fleetSecrets.keys, fleetSecrets.password] : []) hash.update(key?.digest() ?? '');
  for (const files of tls.values()) for (const file of Object.values(files)) hash.update(file);
  return hash.digest('hex');
}

/** Returns a warning for each changed option that is read only at the start. */
function restartNeeded(before: LoadedConfig, after: LoadedConfig): string[] {
  const fixed = ({
    config: { listen, admin, log, audit, tracing, adminActions, drain, callers, limits },
  }: LoadedConfig) => ({
    ...{ listen, admin, audit, tracing, adminActions, drain },
    'log.format': log.format,
    'limits.connections': limits.connections,
    'limits.heapShare': limits.heapShare,
    'callers.hosts': callers.hosts,
    'callers.tls': [callers.tls !== undefined, callers.tls?.ca !== undefined],
  });
  const now = Object.entries(fixed(after));
  const then = Object.values(fixed(before));
  const changed = now.filter(([, value], index) => JSON.stringify(value) !== JSON.stringify(then[index]));
  return changed.map(([option]) => `${option} has changed; that takes effect at the next start`);
}
