/**
 * The network between processes: connections of two ends, which carry bytes in order and with latency. What is sent over a
 * blocked link waits, as TCP sends it again; whoever waits too long gives up by himself.
 */
import type { Chance } from '../../support/seeded.ts';
import type { SimulatedProcess } from './process.ts';
import type { VirtualTime } from './virtual-time.ts';

export type Segment = Buffer | 'end' | 'reset';

/** One end of a connection. `receive` is called in the process that owns it. */
export interface End {
  readonly owner: SimulatedProcess;
  receive(segment: Segment): void;
}

export interface Connected {
  /** Puts it on its way to the other end. */
  send(segment: Segment): void;
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

  block(address: string): void {
    this.#link(address).isBlocked = true;
  }

  unblock(address: string): void {
    const link = this.#link(address);
    link.isBlocked = false;
    for (const go of link.waiting.splice(0)) go();
  }

  /**
   * Calls `done` in the caller's process: with the connection, or with an error. A blocked link answers nothing.
   * @param end of the caller
   */
  connect(address: string, end: End, done: (result: Connected | Error) => void): void {
    const { owner } = end;
    this.#travel(address, 0, () => {
      const listening = this.#listening.get(placeOf(address, owner));
      if (!listening?.owner.isAlive)
        return this.#arrive(address, owner, 0, () => done(failure('ECONNREFUSED', 'connect', address)));
      this.#whenAwake(listening.owner, () => {
        const pair = new Pair(address, (...args) => this.#arrive(...args), end);
        const other = listening.accept(pair.far);
        pair.far.end = other;
        this.#arrive(address, owner, pair.near.arriveAt, () => done(pair.near));
      });
    });
  }

  /** Runs `run` in the owner's process after the way to it, not before `notBefore`. @returns the time of arrival */
  #arrive(address: string, owner: SimulatedProcess, notBefore: number, run: () => void): number {
    return this.#travel(address, notBefore, () => this.#whenAwake(owner, run));
  }

  #travel(address: string, notBefore: number, run: () => void): number {
    const link = this.#link(address);
    const jitter = this.#chance.next() * link.latencyMs * 0.5;
    const at = Math.max(notBefore, this.#time.nowMs + link.latencyMs + jitter);
    const go = () => {
      if (link.isBlocked) link.waiting.push(() => void this.#time.after(link.latencyMs, this.#time.kernel, go));
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
    const link: Link = { latencyMs, isBlocked: false, waiting: [] };
    this.#links.set(address, link);
    return link;
  }
}

/** Each machine has a loopback of its own. */
function placeOf(address: string, { machine }: SimulatedProcess): string {
  return address.startsWith('127.') ? `${machine.name} ${address}` : address;
}

type Arrive = (address: string, owner: SimulatedProcess, notBefore: number, run: () => void) => number;

/** Both ends of a connection. */
class Pair {
  readonly near: Half;
  readonly far: Half;

  constructor(address: string, arrive: Arrive, end: End) {
    this.near = new Half(address, arrive);
    this.far = new Half(address, arrive);
    this.near.end = end;
    this.near.other = this.far;
    this.far.other = this.near;
  }
}

class Half implements Connected {
  readonly #address: string;
  readonly #arrive: Arrive;
  #isClosed = false;
  /** When the last thing sent to this end arrives: nothing overtakes it. */
  arriveAt = 0;
  end: End | undefined;
  other: Half | undefined;

  constructor(address: string, arrive: Arrive) {
    this.#address = address;
    this.#arrive = arrive;
  }

  send(segment: Segment): void {
    const { other } = this;
    const to = other?.end;
    if (!other || !to) return;
    other.arriveAt = this.#arrive(this.#address, to.owner, other.arriveAt, () => other.#deliver(to, segment));
  }

  close(): void {
    this.#isClosed = true;
  }

  #deliver(end: End, segment: Segment): void {
    if (!this.#isClosed) end.receive(segment);
    else if (segment instanceof Buffer) this.send('reset');
    if (segment === 'reset') this.#isClosed = true;
  }
}

export function failure(code: string, syscall: string, address: string): NodeJS.ErrnoException {
  const [host = '', port = ''] = address.split(/:(?=\d+$)/);
  return Object.assign(new Error(`${syscall} ${code} ${address}`), { code, errno: -1, syscall, address: host, port: Number(port) });
}
