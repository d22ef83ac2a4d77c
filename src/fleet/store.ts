/**
 * The store as the fleet uses it: each command ends within `fleet.timeout`, and after a failure nothing is asked until a
 * heartbeat has succeeded again. So a store that is down, slow or frozen costs one caller that time, once.
 */
import type { Clock } from '../core/clock.ts';
import type { ScriptName } from './scripts.ts';
import { faultOf, type StoreCause, type StoreFault, StoreTimeout } from './store-fault.ts';

/** A connection to the store that reconnects by itself. */
export interface StoreClient {
  /** Runs a script; waits for the first try to connect, later rejects at once while there is no connection. */
  run(script: ScriptName, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  close(): void;
}

export interface ClientEvents {
  /** A message on the channel. */
  readonly onNews: (message: string) => void;
  /** The subscription is there, for the first time or again: messages may have been missed. */
  readonly onSubscribed: () => void;
  /** The connection failed, or has no subscription; both are tried again. */
  readonly onError: (error: unknown) => void;
  /** One node of a cluster failed; the others may do. */
  readonly onNodeError: (error: unknown) => void;
}

export interface StoreOptions {
  readonly connect: (events: ClientEvents) => StoreClient;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly onNews: (message: string) => void;
  readonly onSubscribed: () => void;
  /** Says that this member lives; throws like `run` of the client. */
  readonly beat: (run: StoreClient['run']) => Promise<void>;
  readonly onOperation: (operation: ScriptName, result: StoreCause | 'ok', seconds: number) => void;
  /** Called when the store becomes usable, or unusable for another reason than before. */
  readonly onChange: (fault: StoreFault | undefined) => void;
}

export interface Store {
  /** Runs a script. Resolves with undefined when the store cannot be used now; never rejects. */
  run(script: ScriptName, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  /** Undefined: it is usable. */
  fault(): StoreFault | undefined;
  /** Says now that this member lives, instead of at the next heartbeat. */
  beat(): void;
  close(): void;
}

const BEAT_MS = 10_000;
/** Limit for the first heartbeat, which also connects: a thousand members may start at once. Callers do not wait for it. */
const FIRST_BEAT_MS = 2000;
const FIRST_PAUSE_MS = 1000;
/** Of heartbeats and of connections, ms; well below what makes a member count as gone: one that can reach the store is heard of in time. */
export const LONGEST_PAUSE_MS = 10_000;

/** Connects; the first heartbeat decides whether the store is usable, and `run` waits for it. */
export function createStore(options: StoreOptions): Store {
  return new BrokenOrNot(options);
}

type Command = Parameters<StoreClient['run']>;

class BrokenOrNot implements Store {
  readonly #options: StoreOptions;
  readonly #client: StoreClient;
  #fault: StoreFault | undefined;
  /** What the connection said last; a command only knows that there is none. */
  #connectionFault: StoreFault | undefined;
  #pauseMs = FIRST_PAUSE_MS;
  #closed = false;
  #cancelBeat: () => void = () => undefined;
  /** Counts heartbeats: only the last one decides. */
  #beats = 0;
  /** Until the first heartbeat is over. */
  #starting: Promise<void> | undefined;
  /** Give up the running commands. */
  readonly #running = new Set<() => void>();

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#client = options.connect({
      onNews: options.onNews,
      onSubscribed: () => this.#subscribed(),
      onError: (error) => this.#disconnected(error),
      onNodeError: (error) => {
        this.#connectionFault = faultOf(error);
      },
    });
    this.#starting = this.#beat().finally(() => {
      this.#starting = undefined;
    });
  }

  fault(): StoreFault | undefined {
    return this.#fault;
  }

  beat(): void {
    if (this.#fault === undefined && this.#starting === undefined && !this.#closed) void this.#beat();
  }

  async run(script: ScriptName, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    if (!(await this.#hasStarted()) || this.#fault || this.#closed) return undefined;
    try {
      return await this.#inTime(script, keys, args, this.#options.timeoutMs);
    } catch (error) {
      // Commands that fail together are one failure: each of them would double the pause.
      if (!this.#fault) this.#fail(error);
      return undefined;
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancelBeat();
    this.#client.close();
    for (const giveUp of this.#running) giveUp();
  }

  #subscribed(): void {
    if (this.#closed) return;
    this.#connectionFault = undefined;
    // Sooner than the pause says.
    if (this.#fault && this.#starting === undefined) void this.#beat();
    this.#options.onSubscribed();
  }

  #disconnected(error: unknown): void {
    this.#connectionFault = faultOf(error);
    if (this.#closed || this.#starting !== undefined) return;
    // The connection is tried again by itself: that does not put off the next heartbeat.
    if (this.#fault) this.#break(this.#connectionFault);
    else this.#fail(error);
  }

  /** Waits for the first heartbeat, but not longer than for a command. */
  async #hasStarted(): Promise<boolean> {
    const { clock, timeoutMs } = this.#options;
    if (this.#starting === undefined) return true;
    const late = Promise.withResolvers<boolean>();
    const cancel = clock.startTimer(timeoutMs, () => late.resolve(false));
    return Promise.race([this.#starting.then(() => true), late.promise]).finally(cancel);
  }

  async #beat(): Promise<void> {
    const { timeoutMs } = this.#options;
    const limitMs = this.#beats === 0 ? Math.max(FIRST_BEAT_MS, timeoutMs) : timeoutMs;
    this.#cancelBeat();
    this.#beats += 1;
    const mine = this.#beats;
    try {
      await this.#options.beat((script, keys, args) => this.#inTime(script, keys, args, limitMs));
      if (mine === this.#beats) this.#succeed();
    } catch (error) {
      if (mine === this.#beats) this.#fail(error);
    }
  }

  #succeed(): void {
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#connectionFault = undefined;
    const isNews = this.#fault !== undefined || this.#starting !== undefined;
    this.#fault = undefined;
    this.#beatIn(BEAT_MS);
    if (isNews && !this.#closed) this.#options.onChange(undefined);
  }

  #fail(error: unknown): void {
    this.#break(this.#faultOf(error));
    this.#beatIn(this.#pauseMs * (1 - this.#options.random() / 4));
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs);
  }

  #faultOf(error: unknown): StoreFault {
    const fault = faultOf(error);
    return fault.cause === 'unreachable' ? (this.#connectionFault ?? fault) : fault;
  }

  #break(fault: StoreFault): void {
    const isNews = fault.cause !== this.#fault?.cause;
    this.#fault = fault;
    if (isNews && !this.#closed) this.#options.onChange(fault);
  }

  #beatIn(ms: number): void {
    this.#cancelBeat();
    if (!this.#closed) this.#cancelBeat = this.#options.clock.startTimer(ms, () => void this.#beat());
  }

  /** @throws StoreTimeout, or what the client throws */
  async #inTime(...[script, keys, args, limitMs]: [...Command, number]): Promise<unknown> {
    const { clock, onOperation } = this.#options;
    const startedAt = clock.now().monotonicMs;
    const late = Promise.withResolvers<never>();
    const giveUp = () => late.reject(new StoreTimeout());
    // A reply that has arrived while this process was busy is read first.
    const cancel = clock.startTimer(limitMs, () => setImmediate(giveUp));
    this.#running.add(giveUp);
    let result: StoreCause | 'ok' = 'ok';
    try {
      return await Promise.race([this.#client.run(script, keys, args), late.promise]);
    } catch (error) {
      result = this.#faultOf(error).cause;
      throw error;
    } finally {
      cancel();
      this.#running.delete(giveUp);
      onOperation(script, result, (clock.now().monotonicMs - startedAt) / 1000);
    }
  }
}
