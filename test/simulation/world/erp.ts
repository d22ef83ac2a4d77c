/**
 * The ERP system on the machine of the sidecar: pays every minute on weekdays, and much at once at times, some at the turn of a month. It believes what it is
 * told: only a payment that cannot have been executed is sent again.
 */
import { type Segment, type Stamp, stampOf } from '../platform/network.ts';
import type { SimulatedProcess } from '../platform/process.ts';
import { Socket } from '../platform/socket.ts';
import { isMonthEndBurst, isWorkingDay } from './calendar.ts';
import { type Message, Reader } from './http.ts';
import type { Told } from './observation.ts';
import type { SidecarHost } from './sidecar-host.ts';
import type { Kind, World } from './world.ts';

const MINUTE_MS = 60_000;
/** At the turn of a month. */
const BATCH_EVERY_MINUTES = 3;
const PATIENCE_MS = 120_000;
const RETRY_MS = 5000;
const MOST_ATTEMPTS = 4;
const LARGE_BYTES = 70_000;

export class Erp {
  readonly #world: World;
  readonly #host: SidecarHost;
  /** Of the ids of its payments: no other has them. */
  readonly #letter: string;
  readonly #process: SimulatedProcess;
  readonly #calls = new Map<string, Stamp>();
  /** Additional bytes of large payments. */
  readonly #large = new Map<string, number>();
  #count = 0;
  #open = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(world: World, host: SidecarHost) {
    this.#world = world;
    this.#host = host;
    const isFirst = host === world.sidecar;
    this.#letter = isFirst ? 'p' : `p${host.name}-`;
    this.#process = world.process(isFirst ? 'erp' : `erp ${host.name}`, host.machine);
  }

  get count(): number {
    return this.#count;
  }

  /** Payments whose outcome it still waits for. */
  get open(): number {
    return this.#open;
  }

  /** Pays every minute until `rest`. */
  work(): void {
    this.#process.run(() => {
      this.#timer ??= setInterval(() => {
        for (let left = this.#dueAt(Date.now()); left > 0; left -= 1) this.pay();
      }, MINUTE_MS);
    });
  }

  /** Payments of this minute. */
  #dueAt(nowMs: number): number {
    const { monthEnd } = this.#world;
    const isBatch = Math.floor(nowMs / MINUTE_MS) % BATCH_EVERY_MINUTES === 0;
    if (monthEnd && isBatch && isMonthEndBurst(nowMs)) return monthEnd.atOnce;
    return isWorkingDay(nowMs) ? 1 : 0;
  }

  rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  burst(count: number, everyMs: number, bytes = 0): void {
    this.#process.run(() => {
      for (let index = 0; index < count; index += 1) setTimeout(() => this.pay(bytes), index * everyMs);
    });
  }

  /** @param bytes more in the body */
  pay(bytes = 0): void {
    if (!this.#host.isHere) return;
    this.#count += 1;
    this.#open += 1;
    const id = `${this.#letter}${this.#count}`;
    if (bytes > 0) this.#large.set(id, bytes);
    this.#send(id, 1);
  }

  /** The sidecar keeps too little of it to send it again. */
  isLarge(id: string): boolean {
    return this.#large.has(id);
  }

  /** When an attempt was sent. */
  calledAt(id: string, attempt: string): Stamp | undefined {
    return this.#calls.get(`${id} ${attempt}`);
  }

  #send(id: string, attempt: number): void {
    this.#calls.set(`${id} ${attempt}`, stampOf(this.#world.platform.time, this.#process));
    this.#process.run(() => {
      const call = new Call({ id, attempt, bytes: this.#large.get(id) ?? 0 }, (message) =>
        this.#learn({ id, attempt }, message),
      );
      call.start();
    });
  }

  #learn({ id, attempt }: { id: string; attempt: number }, message: Message | undefined): void {
    const told = toldBy(message);
    const { process, machine } = this.#host;
    const said = told.code ? `${told.code}, mayHaveExecuted: ${told.mayHaveExecuted}` : '';
    this.#world.trace(this.#process.name, `payment ${id}: ${told.status ?? 'no response'} ${said}`.trimEnd());
    this.#world.observe({ kind: 'told', told: { ...told, id, attempt, sidecar: process, machine } });
    if (told.mayHaveExecuted === false && attempt < MOST_ATTEMPTS)
      this.#process.run(() => setTimeout(() => this.#send(id, attempt + 1), RETRY_MS));
    else this.#open -= 1;
  }
}

function toldBy(
  message: Message | undefined,
): Pick<Told, 'status' | 'requestId' | 'code' | 'cause' | 'mayHaveExecuted' | 'retryAfterS'> {
  const requestId = message?.headers.get('x-request-id') ?? '';
  const none = { requestId, code: undefined, cause: undefined, mayHaveExecuted: undefined, retryAfterS: undefined };
  if (!message) return { ...none, status: undefined };
  const status = Number(message.words[1]);
  const code = message.headers.get('x-sidecar-error');
  if (code === undefined) return { ...none, status };
  const { cause, mayHaveExecuted } = JSON.parse(message.body) as Partial<Pick<Told, 'cause' | 'mayHaveExecuted'>>;
  const wait = message.headers.get('retry-after');
  return {
    status,
    requestId,
    code,
    cause,
    mayHaveExecuted,
    retryAfterS: wait === undefined ? undefined : Number(wait),
  };
}

interface Payment {
  readonly id: string;
  readonly attempt: number;
  readonly bytes: number;
}

/** One request on a connection of its own. */
class Call {
  readonly #payment: Payment;
  readonly #done: (message: Message | undefined) => void;
  readonly #reader = new Reader();
  #isOver = false;

  constructor(payment: Payment, done: (message: Message | undefined) => void) {
    this.#payment = payment;
    this.#done = done;
  }

  start(): void {
    const socket = new CallerSocket(
      (segment, sent) => {
        if (!(segment instanceof Buffer)) return this.#end(socket, undefined);
        const [message] = this.#reader.add(segment, sent);
        if (message) this.#end(socket, message);
      },
      () => this.#end(socket, undefined),
    );
    const { id, attempt, bytes } = this.#payment;
    const body = JSON.stringify(bytes > 0 ? { id, note: 'x'.repeat(bytes) } : { id });
    const lines = [
      ...['POST /api/payments HTTP/1.1', 'Host: 127.0.0.1:7080', 'Content-Type: application/json'],
      ...[`X-Attempt: ${attempt}`, `Content-Length: ${body.length}`],
    ];
    socket.connectTo('127.0.0.1:7080', '127.0.0.1', 7080);
    socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
    setTimeout(() => this.#end(socket, undefined), PATIENCE_MS);
  }

  #end(socket: Socket, message: Message | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    socket.destroy();
    this.#done(message);
  }
}

/** Sees the segments with their stamps. */
class CallerSocket extends Socket {
  readonly #onSegment: (segment: Segment, sent: Stamp) => void;

  constructor(onSegment: (segment: Segment, sent: Stamp) => void, onError: () => void) {
    super();
    this.#onSegment = onSegment;
    this.on('error', onError);
  }

  override receive(segment: Segment, sent: Stamp): void {
    this.#onSegment(segment, sent);
  }
}

export const ERP_KINDS: Readonly<Record<string, Kind>> = {
  'erp.burst': {
    weight: 6,
    draw: (chance) => ({ count: chance.between(2, 8), everyMs: chance.pick([1, 100, 1500, 9000]) }),
    apply: (world, { count, everyMs, host }) => world.erpOf(host).burst(Number(count), Number(everyMs)),
  },
  /** Larger than what the sidecar keeps to send it again. */
  'erp.large': {
    weight: 2,
    draw: (chance) => ({ count: chance.between(1, 3), everyMs: chance.pick([1, 1500]) }),
    apply: (world, { count, everyMs, host }) => world.erpOf(host).burst(Number(count), Number(everyMs), LARGE_BYTES),
  },
};
