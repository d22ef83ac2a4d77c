/**
 * Machines and the processes on them. A process is an async context: whatever it starts (a timer, a socket, a file operation)
 * belongs to it, and is gone when it is killed. Every machine has clocks of its own.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

/** True time is that of the simulation, epoch ms; nobody inside can read it. */
export class Machine {
  readonly name: string;
  /** As its processes are told. */
  hostname: string;
  /** Wall clock minus true time. */
  offsetMs = 0;
  /** The wall clock runs by this share too fast. */
  drift = 0;
  #driftSince = 0;
  /** How long it was suspended so far: its monotonic clock stood still. */
  sleptMs = 0;
  /** When the wall clock was last set forward, true ms. */
  leaptAt = Number.NEGATIVE_INFINITY;
  /** Suspended until this true time. */
  asleepUntil = 0;
  /** The processes on it by number; numbers are used again when all have been used. */
  readonly processes = new Map<number, SimulatedProcess>();
  #lastPid = 100;
  /** Processes so far: five digits, so that no file is longer for a later one. */
  started = 10_000;

  constructor(name: string) {
    this.name = name;
    this.hostname = name.replaceAll(' ', '-');
  }

  /** Gives a new process its number. */
  enter(process: SimulatedProcess): number {
    do this.#lastPid = this.#lastPid >= LAST_PID ? FIRST_PID : this.#lastPid + 1;
    while (this.processes.get(this.#lastPid)?.isAlive);
    this.processes.set(this.#lastPid, process);
    this.started += 1;
    return this.#lastPid;
  }

  /** Sets the wall clock forward, or back. */
  step(trueMs: number, ms: number): void {
    this.offsetMs += ms;
    if (ms > 0) this.leaptAt = trueMs;
  }

  wallMs(trueMs: number): number {
    return Math.floor(trueMs + this.offsetMs + (trueMs - this.#driftSince) * this.drift);
  }

  monotonicMs(trueMs: number, startedAt: number): number {
    return trueMs - startedAt - this.sleptMs;
  }

  /** From now on the wall clock gains `drift` of each ms; what it has gained stays. */
  setDrift(trueMs: number, drift: number): void {
    this.offsetMs = this.wallMs(trueMs) - trueMs;
    this.#driftSince = trueMs;
    this.drift = drift;
  }
}

const FIRST_PID = 100;
const LAST_PID = 999;

export class SimulatedProcess {
  readonly name: string;
  readonly machine: Machine;
  readonly pid: number;
  /** Tells it from others that have had its number. */
  readonly startedAt: string;
  #isAlive = true;
  #turnsLeft = Number.POSITIVE_INFINITY;
  #onLastTurn: () => void = () => undefined;
  #filesLeft = Number.POSITIVE_INFINITY;
  #onLastFile: () => void = () => undefined;
  readonly #onKill = new Set<() => void>();
  readonly #enter: Enter;

  constructor(name: string, machine: Machine) {
    this.name = name;
    this.machine = machine;
    this.pid = machine.enter(this);
    this.startedAt = String(machine.started);
    this.#enter = OUTSIDE(() => CONTEXT.run(this, () => AsyncLocalStorage.snapshot()));
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** What its system would close if it was killed: connections, listeners, watchers of files. */
  get handles(): number {
    return this.#onKill.size;
  }

  run<Result>(work: () => Result): Result {
    if (this.#turnsLeft <= 0 && this.#isAlive) this.#onLastTurn();
    this.#turnsLeft -= 1;
    return this.#isAlive ? this.#enter(work) : (undefined as Result);
  }

  /** Calls `kill` instead of its turn with that number from now: each await of I/O or of a timer ends with a turn. */
  killAfter(turns: number, kill: () => void): void {
    this.#turnsLeft = turns;
    this.#onLastTurn = () => {
      this.#turnsLeft = Number.POSITIVE_INFINITY;
      kill();
    };
  }

  /** Calls `kill` instead of its file operation with that number from now, also of one in the middle of a turn. */
  killAtFile(operations: number, kill: () => void): void {
    this.#filesLeft = operations;
    this.#onLastFile = kill;
  }

  /** Before each of its file operations. @returns whether it lives, and the operation happens */
  reachFile(): boolean {
    this.#filesLeft -= 1;
    if (this.#filesLeft === 0 && this.#isAlive) this.#onLastFile();
    return this.#isAlive;
  }

  /** No kill is planned any more. */
  spare(): void {
    this.#turnsLeft = Number.POSITIVE_INFINITY;
    this.#filesLeft = Number.POSITIVE_INFINITY;
  }

  /** Calls `undo` when the process is killed, unless the returned function is called before. */
  onKill(undo: () => void): () => void {
    // The rest of the turn in which it was killed: nothing that it still opens may stay.
    if (!this.#isAlive) undo();
    this.#onKill.add(undo);
    return () => void this.#onKill.delete(undo);
  }

  /** As SIGKILL: no timer fires any more, its sockets are reset, no promise settles. Its turn runs on, without an effect. */
  kill(): void {
    this.#isAlive = false;
    for (const undo of [...this.#onKill]) undo();
    this.#onKill.clear();
  }
}

/** Runs something in an async context that is there already: `AsyncLocalStorage.run` would make a new one for each turn. */
type Enter = <Result>(work: () => Result) => Result;

const CONTEXT = new AsyncLocalStorage<SimulatedProcess>();
const OUTSIDE: Enter = AsyncLocalStorage.snapshot();

/** The process of the running code; undefined outside of all. */
export function currentProcess(): SimulatedProcess | undefined {
  return CONTEXT.getStore();
}
