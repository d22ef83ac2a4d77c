/**
 * Replaces the running generation by one from the current files. An invalid configuration changes nothing and is logged as
 * an error; a valid one is swapped in as a whole, and the old one finishes what it has begun.
 */
import { createHash } from 'node:crypto';
import type { LoadedConfig } from '../config/load.ts';
import { SidecarError } from '../core/errors.ts';
import type { FleetLink } from './fleet-link.ts';
import { createGeneration, type Generation, type GenerationOptions } from './generation.ts';
import { createGenerations, type Generations } from './generations.ts';

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
  /** Reads everything again. @param force rebuild even if nothing changed: an operator asked for it */
  reload(reason: string, force: boolean): ReloadResult;
  snapshot(): ReloadSnapshot;
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
  let snapshot: ReloadSnapshot = { generation: 1, lastReload: undefined };

  const note = (result: ReloadResult, problems: readonly string[] = []) => {
    snapshot = { ...snapshot, lastReload: { at: Date.now(), result, problems } };
    metrics.count('config_reloads_total', { result });
    return result;
  };

  const swap = (loaded: LoadedConfig) => {
    const previous = generations.current();
    options.fleet.use(loaded);
    const next = createGeneration({ ...options, loaded, previous });
    snapshot = { ...snapshot, generation: snapshot.generation + 1 };
    const failed = (error: unknown) =>
      log.error('the old configuration could not be closed', { reason: String((error as Error).name) });
    previous.usedUntil(use(next).catch(failed));
    generations.replace(next).catch(failed);
  };

  return {
    current: generations.current,
    destroy: generations.destroy,
    snapshot: () => snapshot,
    reload(reason, force) {
      const before = generations.current().loaded;
      try {
        const loaded = options.fleet.adopt(before.reload());
        if (!force && configFingerprint(loaded) === configFingerprint(before)) return note('unchanged');
        const news = loaded.warnings.filter((warning) => !before.warnings.includes(warning));
        for (const problem of [...restartNeeded(before, loaded), ...news]) log.warn('configuration', { problem });
        swap(loaded);
        log.info('configuration reloaded', { reason });
        log.setLevel(loaded.config.log.level);
        return note('ok');
      } catch (error) {
        if (!(error instanceof SidecarError)) throw error;
        const problems = (error.extras.problems ?? []).map(
          ({ where, path, message }) => `${where}: ${path} ${message}`,
        );
        for (const problem of problems)
          log.error('reload refused, the last good configuration stays', { reason, problem });
        return note('invalid', problems);
      }
    },
  };
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
