/**
 * The network between processes: connections of two ends, which carry bytes in order and with latency. What is sent over a
 * blocked link waits, as TCP sends it again; whoever waits too long gives up by himself.
 */
import type { Chance } from '../../support/seeded.ts';
import type { Machine, SimulatedProcess } from './process.ts';
import type { VirtualTime } from './virtual-time.ts';

export type Segment = Buffer | 'end' | 'reset';

/** When something was sent, also by the clocks of the machine that sent it. */
export interface Stamp {
  readonly trueMs: number;
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** One end of a connection. `receive` is called in the process that owns it. */
export interface End {
  readonly owner: SimulatedProcess;
  receive(segment: Segment, sent: Stamp): void;
}

export interface Connected {
  /** The process at the other end, for observers: no process knows it. */
  readonly peer: SimulatedProcess | undefined;
  /** When the other end was closed, true ms; Infinity while it is open. */
  readonly peerClosedAt: number;
  /** Puts it on its way to the other end. @param onArrived for observers: it has reached an open end */
  send(segment: Segment, onArrived?: () => void): void;
  /** Nobody is at this end any more: bytes that still come are responded to with a reset. */
  close(): void;
}

export interface Listening {
  readonly owner: SimulatedProcess;
  /** Called in the owner's process; returns its end. */
  accept(connected: Connected): End;
}

/** Of the ways to one address. */
interface Link {
  latencyMs: number;
  isBlocked: boolean;
  /** Connections from before the last time that it forgot all carry nothing any more. */
  forgotten: number;
  /** It forgets a connection that was idle for longer. */
  idleMs: number;
  /** What waits for the link to work again, in order. */
  readonly waiting: (() => void)[];
}

const LATENCY_MS = 2;
const LOCAL_MS = 0.05;

export class Network {
  readonly #time: VirtualTime;
  readonly #chance: Chance;
  readonly #listening = new Map<string, Listening>();
  readonly #links = new Map<string, Link>();
  #nextPort = 49_152;

  constructor(time: VirtualTime, chance: Chance) {
    this.#time = time;
    this.#chance = chance;
  }

  /** @returns a function that ends it @throws Error EADDRINUSE */
  listen(address: string, listening: Listening): () => void {
    const place = placeOf(address, listening.owner);
    if (this.#listening.get(place)?.owner.isAlive) throw failure('EADDRINUSE', 'listen', address);
    this.#listening.set(place, listening);
    return () => {
      if (this.#listening.get(place) === listening) this.#listening.delete(place);
    };
  }

  freePort(): number {
    this.#nextPort += 1;
    return this.#nextPort;
  }

  /** The way to an address and back. */
  link(address: string): { latencyMs: number; readonly isBlocked: boolean } {
    return this.#link(address);
  }

  /** @param machine whose way to it is blocked; absent: that of all */
  block(address: string, machine?: Machine): void {
    this.#link(wayOf(address, machine)).isBlocked = true;
  }

  unblock(address: string, machine?: Machine): void {
    const link = this.#link(wayOf(address, machine));
    link.isBlocked = false;
    for (const go of link.waiting.splice(0)) go();
  }

  /** What is on the way to the address forgets its connections, and tells nobody: what is sent over them is lost. */
  forget(address: string): void {
    this.#link(address).forgotten += 1;
  }

  /** From now on it forgets those that were idle for longer. @param idleMs Infinity: none */
  dropIdle(address: string, idleMs: number): void {
    this.#link(address).idleMs = idleMs;
  }

  /**
   * Calls `done` in the caller's process: with the connection, or with an error. A blocked link answers nothing.
   * @param end of the caller
   */
  connect(address: string, end: End, done: (result: Connected | Error) => void): void {
    const { owner } = end;
    if (!owner.isAlive) return;
    const way = { address, machine: owner.machine };
    this.#travel(way, 0, () => {
      const listening = this.#listening.get(placeOf(address, owner));
      if (!listening?.owner.isAlive) {
        this.#arrive(way, owner, 0, () => done(failure('ECONNREFUSED', 'connect', address)));
        return;
      }
      this.#whenAwake(listening.owner, () => {
        const line = new Line(this.#link(address), this.#time);
        const pair = new Pair({ way, time: this.#time, end, line }, (...args) => this.#arrive(...args));
        const other = listening.accept(pair.far);
        pair.far.end = other;
        this.#arrive(way, owner, pair.near.arriveAt, () => done(pair.near));
      });
    });
  }

  /** Runs `run` in the owner's process after the way to it, not before `notBefore`. @returns the time of arrival */
  #arrive(way: Way, owner: SimulatedProcess, notBefore: number, run: () => void): number {
    return this.#travel(way, notBefore, () => this.#whenAwake(owner, run));
  }

  #travel({ address, machine }: Way, notBefore: number, run: () => void): number {
    const link = this.#link(address);
    const own = this.#link(wayOf(address, machine));
    const jitter = this.#chance.next() * link.latencyMs * 0.5;
    const at = Math.max(notBefore, this.#time.nowMs + link.latencyMs + jitter);
    const go = () => {
      const blocked = [link, own].find(({ isBlocked }) => isBlocked);
      if (blocked) blocked.waiting.push(() => void this.#time.after(link.latencyMs, this.#time.kernel, go));
      else run();
    };
    this.#time.after(at - this.#time.nowMs, this.#time.kernel, go);
    return at;
  }

  #whenAwake(owner: SimulatedProcess, run: () => void): void {
    const waitMs = owner.machine.asleepUntil - this.#time.nowMs;
    if (waitMs > 0) this.#time.after(waitMs, this.#time.kernel, () => this.#whenAwake(owner, run));
    else if (owner.isAlive) owner.run(run);
  }

  #link(address: string): Link {
    const known = this.#links.get(address);
    if (known) return known;
    const latencyMs = address.startsWith('127.') ? LOCAL_MS : LATENCY_MS;
    const link: Link = { latencyMs, isBlocked: false, forgotten: 0, idleMs: Number.POSITIVE_INFINITY, waiting: [] };
    this.#links.set(address, link);
    return link;
  }
}

/** Each machine has a loopback of its own. */
function placeOf(address: string, { machine }: SimulatedProcess): string {
  return address.startsWith('127.') ? `${machine.name} ${address}` : address;
}

/** Between a machine and an address. */
interface Way {
  readonly address: string;
  readonly machine: Machine;
}

function wayOf(address: string, machine: Machine | undefined): string {
  return machine ? `${address} from ${machine.name}` : address;
}

type Arrive = (way: Way, owner: SimulatedProcess, notBefore: number, run: () => void) => number;

/** Whether what is on the way still knows a connection. */
class Line {
  readonly #link: Link;
  readonly #time: VirtualTime;
  readonly #forgotten: number;
  #usedAt: number;

  constructor(link: Link, time: VirtualTime) {
    this.#link = link;
    this.#time = time;
    this.#forgotten = link.forgotten;
    this.#usedAt = time.nowMs;
  }

  /** Notes that it is used now. @returns whether it carries anything */
  use(): boolean {
    const { nowMs } = this.#time;
    if (nowMs - this.#usedAt > this.#link.idleMs) this.#usedAt = Number.NEGATIVE_INFINITY;
    const isKnown = this.#forgotten === this.#link.forgotten && this.#usedAt !== Number.NEGATIVE_INFINITY;
    if (isKnown) this.#usedAt = nowMs;
    return isKnown;
  }
}

/** Both ends of a connection. */
class Pair {
  readonly near: Half;
  readonly far: Half;

  constructor({ end, ...over }: Over & { end: End }, arrive: Arrive) {
    this.near = new Half(over, arrive);
    this.far = new Half(over, arrive);
    this.near.end = end;
    this.near.other = this.far;
    this.far.other = this.near;
  }
}

interface Over {
  readonly way: Way;
  readonly time: VirtualTime;
  readonly line: Line;
}

class Half implements Connected {
  readonly #way: Way;
  readonly #line: Line;
  readonly #time: VirtualTime;
  readonly #arrive: Arrive;
  closedAt = Number.POSITIVE_INFINITY;
  /** When the last thing sent to this end arrives: nothing overtakes it. */
  arriveAt = 0;
  end: End | undefined;
  other: Half | undefined;

  constructor({ way, time, line }: Over, arrive: Arrive) {
    this.#way = way;
    this.#line = line;
    this.#time = time;
    this.#arrive = arrive;
  }

  get peer(): SimulatedProcess | undefined {
    return this.other?.end?.owner;
  }

  get peerClosedAt(): number {
    return this.other?.closedAt ?? Number.POSITIVE_INFINITY;
  }

  send(segment: Segment, onArrived?: () => void): void {
    const { other, end } = this;
    const to = other?.end;
    if (!other || !to || !this.#line.use()) return;
    const sent = stampOf(this.#time, end?.owner ?? this.#time.kernel);
    other.arriveAt = this.#arrive(this.#way, to.owner, other.arriveAt, () => {
      if (other.closedAt === Number.POSITIVE_INFINITY) onArrived?.();
      other.#deliver(to, segment, sent);
    });
  }

  close(): void {
    this.closedAt = Math.min(this.closedAt, this.#time.nowMs);
  }

  #deliver(end: End, segment: Segment, sent: Stamp): void {
    if (this.closedAt === Number.POSITIVE_INFINITY) end.receive(segment, sent);
    else if (segment instanceof Buffer) this.send('reset');
    if (segment === 'reset') this.close();
  }
}

/** Now, by all clocks. */
export function stampOf({ nowMs, startedAt }: VirtualTime, { machine }: Pick<SimulatedProcess, 'machine'>): Stamp {
  return { trueMs: nowMs, wallMs: machine.wallMs(nowMs), monotonicMs: machine.monotonicMs(nowMs, startedAt) };
}

export function failure(code: string, syscall: string, address: string): NodeJS.ErrnoException {
  const [host = '', port = ''] = address.split(/:(?=\d+$)/);
  return Object.assign(new Error(`${syscall} ${code} ${address}`), {
    code,
    errno: -1,
    syscall,
    address: host,
    port: Number(port),
  });
}
