/**
 * Programs that print a secret, around a loader that reads and waits for nothing: first it is asked which programs it needs,
 * then they run, and then it reads again with what they printed. Without such programs it reads once.
 */
import type { Printed, ProgramCall } from './run-program.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Returns what a program printed; undefined when it has not run. */
export type PrintedBy = (call: ProgramCall) => Printed | undefined;

/** Runs programs; never rejects. */
export type RunPrograms = (calls: readonly ProgramCall[]) => Promise<PrintedBy>;

/** A command line of a cloud can need 100 MB. */
const AT_ONCE = 4;

/**
 * Calls `read` once when it asks for no program, else twice: the second time with what the programs printed.
 * @param run how to run them; default: each once, some at the same time
 * @returns what `read` returns, as a promise only when a program had to run
 * @throws what `read` throws, also as a rejection
 * @example
 * const loaded = await withPrograms((printed) => loadConfig({ printed }));
 */
export function withPrograms<T>(read: (printed: PrintedBy) => T, run: RunPrograms = runPrograms): T | Promise<T> {
  const wanted = new Map<string, ProgramCall>();
  const ask: PrintedBy = (call) => {
    wanted.set(idOf(call), call);
    return undefined;
  };
  try {
    const first = read(ask);
    if (wanted.size === 0) return first;
  } catch (error) {
    if (wanted.size === 0) throw error;
  }
  return run([...wanted.values()]).then(read);
}

/** Runs each program once, some at the same time. Loads the code for it only now. */
export async function runPrograms(calls: readonly ProgramCall[]): Promise<PrintedBy> {
  const { runProgram } = await import('./run-program.ts');
  const printed = new Map<string, Printed>();
  const left = [...calls];
  const ending = abortedBySignals();
  const work = async () => {
    for (let call = left.shift(); call; call = left.shift()) printed.set(idOf(call), await runProgram(call, ending));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  ending.release();
  return (call) => printed.get(idOf(call));
}

const FATAL = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Programs have their own process group, and a signal that nobody listens to ends this process without an `exit` event: they
 * would stay behind. So they are killed first, and then the signal takes effect. Where somebody listens, it is theirs.
 */
function abortedBySignals() {
  const ending = new AbortController();
  const unheard = FATAL.filter((signal) => process.listenerCount(signal) === 0);
  const end = (signal: NodeJS.Signals) => {
    release();
    ending.abort();
    process.kill(process.pid, signal);
  };
  const release = () => {
    for (const signal of unheard) process.off(signal, end);
  };
  for (const signal of unheard) process.on(signal, end);
  return { signal: ending.signal, release };
}

function idOf({ command }: ProgramCall): string {
  return JSON.stringify(command);
}

/** What systemd tells this process alone, and options of Node that are meant for this program. */
const OWN = /^(?:ARITMA_|NOTIFY_SOCKET$|WATCHDOG_|LISTEN_(?:FDS|PID|FDNAMES)|NODE_OPTIONS$)/i;

/**
 * Returns the environment of a program: that of this process without its secrets. An allow-list would hide from the
 * command lines of clouds and vaults what they need, and protect nothing: they run as the same user.
 * @param secret names of variables with secrets
 */
export function programEnvironment(env: Env, secret: ReadonlySet<string>): Env {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !OWN.test(name) && !secret.has(name)));
}
