/**
 * Reads client secrets again when the identity server has refused one: programs that print secrets run again, files and
 * variables are read again.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { LoadedSecret } from '../config/secret-files.ts';
import { type PrintedBy, type RunPrograms, runPrograms, withPrograms } from '../config/secret-programs.ts';
import { type Clock, elapsedSince, type Instant } from '../core/clock.ts';
import type { Log } from '../core/log.ts';

export type SecretReader = (credential: string) => readonly LoadedSecret[] | Promise<readonly LoadedSecret[]>;

/** A server that refuses every secret must not make the programs run all the time. */
const PAUSE_MS = 10_000;
/** A server that refuses all clients at once must not make all programs run at once; `runPrograms` has a limit for each reading. */
const READINGS_AT_ONCE = 2;

interface Run {
  readonly at: Instant;
  readonly printed: Promise<PrintedBy>;
}

/**
 * Returns a function that reads the secrets of one credential again and leaves out those that cannot be read, which it
 * logs. A program runs once for all who ask at the same time, whatever their credential, and again after ten seconds at the
 * earliest; until then, what it printed last counts.
 */
export function createSecretReader(
  { secretsNow }: Pick<LoadedConfig, 'secretsNow'>,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): SecretReader {
  const runs = new Map<string, Run>();
  const lanes: Promise<unknown>[] = Array.from({ length: READINGS_AT_ONCE }, () => Promise.resolve());
  const run: RunPrograms = (calls) => {
    const id = JSON.stringify(calls.map(({ command }) => command));
    const last = runs.get(id);
    if (last && elapsedSince(last.at, clock.now()) < PAUSE_MS) return last.printed;
    const printed = (lanes.shift() ?? Promise.resolve()).then(() => runPrograms(calls));
    lanes.push(printed.catch(() => undefined));
    runs.set(id, { at: clock.now(), printed });
    return printed;
  };
  return (credential) => {
    const read = (printed: PrintedBy) => {
      const problems: string[] = [];
      return { secrets: secretsNow(credential, printed, (_path, problem) => void problems.push(problem)), problems };
    };
    const done = withPrograms(read, run);
    if (!(done instanceof Promise)) return done.secrets;
    return done.then(({ secrets, problems }) => {
      for (const problem of problems)
        log.error('client secret could not be read again, the last one stays in use', { credential, problem });
      return secrets;
    });
  };
}
