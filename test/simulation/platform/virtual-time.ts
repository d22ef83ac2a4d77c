/**
 * The only order of events: by time, then by when they were asked for. Between two events everything that is ready runs until
 * nothing is left, so a history never depends on how fast the real machine is.
 */
import { Machine, SimulatedProcess } from './process.ts';
import { settled } from './real-work.ts';

export interface Event {
  at: number;
  readonly order: number;
  readonly owner: SimulatedProcess;
  run: (() => void) | undefined;
}

export class VirtualTime {
  readonly startedAt: number;
  /** True time, epoch ms. */
  nowMs: number;
  /** Owner of what belongs to no process: the network, the disk. */
  readonly kernel = new SimulatedProcess('kernel', new Machine('world'));
  #events: Event[] = [];
  #order = 0;
  #ran = 0;

  constructor(startedAt: number) {
    this.startedAt = startedAt;
    this.nowMs = startedAt;
  }

  /** Events so far. */
  get ran(): number {
    return this.#ran;
  }

  /** Events that may still happen. */
  get waiting(): number {
    return this.#events.filter(({ run, owner }) => run && owner.isAlive).length;
  }

  after(delayMs: number, owner: SimulatedProcess, run: () => void): Event {
    // A suspended machine counts from when it wakes.
    const event: Event = {
      at: Math.max(this.nowMs, owner.machine.asleepUntil) + delayMs,
      order: this.#order++,
      owner,
      run,
    };
    this.#push(event);
    return event;
  }

  /** The event never happens. */
  cancel(event: Event): void {
    event.run = undefined;
  }

  /** Suspends a machine, or suspends it for longer: its timers stand still, and nothing reaches it. */
  suspend(machine: Machine, ms: number): void {
    machine.sleptMs += ms;
    machine.asleepUntil = Math.max(this.nowMs, machine.asleepUntil) + ms;
    const events = this.#events.filter(({ run, owner }) => run && owner.isAlive);
    for (const event of events) if (event.owner.machine === machine) event.at += ms;
    this.#events = [];
    for (const event of events) this.#push(event);
  }

  /** Lets everything happen that is due until then. @param check runs after each event */
  async runUntil(trueMs: number, check: () => void): Promise<void> {
    await settled();
    for (let next = this.#events[0]; next && next.at <= trueMs; next = this.#events[0]) {
      this.#pop();
      const { run, owner, at } = next;
      if (run === undefined || !owner.isAlive) continue;
      this.nowMs = Math.max(this.nowMs, at);
      next.run = undefined;
      this.#ran += 1;
      owner.run(run);
      await settled();
      check();
    }
    this.nowMs = Math.max(this.nowMs, trueMs);
  }

  #push(event: Event): void {
    const heap = this.#events;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above] as Event;
      if (isBefore(parent, event)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1] as Event, heap[below] as Event)) below += 1;
      if (isBefore(last, heap[below] as Event)) break;
      heap[at] = heap[below] as Event;
      at = below;
    }
    heap[at] = last;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
