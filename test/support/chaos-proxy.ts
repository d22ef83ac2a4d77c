/** A bad network: forwards bytes between two ports and breaks each connection in a way that depends only on the seed. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { chance } from './seeded.ts';

const FAULTS = [
  'none',
  'latency',
  'drip',
  'reset in the request',
  'reset in the answer',
  'half-close in the answer',
  'half-close after an answer',
  'blackhole for requests',
  'blackhole for answers',
  'refused',
] as const;

export type Fault = (typeof FAULTS)[number];

export interface Plan {
  readonly fault: Fault;
  /** Bytes in that direction that still pass unharmed. */
  readonly after: number;
  /** Replaces the first bytes after those: the moment at which a client is tempted to pay twice. */
  readonly between: boolean;
  readonly delayMs: number;
  readonly pieceBytes: number;
}

export interface ChaosProxy extends AsyncDisposable {
  readonly port: number;
  /** How often each fault has occurred. */
  readonly struck: Readonly<Record<Fault, number>>;
  /** Open connections. */
  readonly open: number;
  /** Cuts what is still open; later connections are served. */
  cut(): void;
}

/** Only this much of a direction is slowed down, so that a large body does not take forever. */
const DRIPPED_BYTES = 512;

/** Bytes of responses that a good connection carries. */
const LIFE_BYTES = 3000;

/** What happens to the n-th connection. */
export function planOf(seed: number, connection: number): Plan {
  const luck = chance(seed, `connection ${connection}`);
  const fault = luck.pick(FAULTS);
  return {
    fault,
    after: luck.happens(0.2) ? 0 : luck.between(1, 1500),
    between: luck.happens(0.5),
    delayMs: luck.between(1, 60),
    pieceBytes: luck.between(1, 40),
  };
}

export async function startChaosProxy(target: number, seed: number): Promise<ChaosProxy> {
  const struck = Object.fromEntries(FAULTS.map((fault) => [fault, 0])) as Record<Fault, number>;
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const plan = planOf(seed, connections);
    connections += 1;
    const far = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    }
    const strike = () => {
      struck[plan.fault] += 1;
    };
    join({ near, far, plan, strike });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    struck,
    get open() {
      return sockets.size;
    },
    cut,
    async [Symbol.asyncDispose]() {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}

function isHarmless(fault: Fault): boolean {
  return fault === 'none' || fault === 'latency' || fault === 'drip';
}

interface Link {
  readonly near: Socket;
  readonly far: Socket;
  readonly plan: Plan;
  readonly strike: () => void;
}

function join(link: Link): void {
  const { near, far, plan, strike } = link;
  if (plan.fault === 'refused') {
    strike();
    near.resetAndDestroy();
    far.destroy();
    return;
  }
  lane(near, far, { link, harm: onRequest });
  lane(far, near, { link, harm: onResponse });
}

/** What to do with bytes: how many of them pass, and what happens then. */
interface Harm {
  readonly pass: number;
  readonly afterwards?: () => void;
}

type Harmer = (link: Link, passed: number, piece: Buffer) => Harm | undefined;

interface Lane {
  readonly link: Link;
  readonly harm: Harmer;
}

/** One direction. Bytes already accepted are delivered even if the sender is gone, as in a real network. */
function lane(from: Socket, to: Socket, { link, harm }: Lane): void {
  let passed = 0;
  let harmed = false;
  let last = Promise.resolve();
  const deliver = async (chunk: Buffer): Promise<void> => {
    for (const piece of pieces(chunk, passed, link.plan)) {
      if (harmed || to.destroyed) return;
      if (link.plan.fault === 'latency') await setTimeout(link.plan.delayMs);
      if (link.plan.fault === 'drip' && piece.length < chunk.length) await setTimeout(1);
      const done = harm(link, passed, piece);
      const part = done ? piece.subarray(0, done.pass) : piece;
      if (part.length > 0) await written(to, part);
      passed += part.length;
      if (!done) continue;
      harmed = true;
      link.strike();
      done.afterwards?.();
    }
  };
  from.on('data', (chunk: Buffer) => {
    from.pause();
    last = last.then(() => deliver(chunk)).finally(() => from.resume());
  });
  // A blackhole does not forward an orderly end either; but a connection that is gone is gone on both sides.
  from.on('end', () => void last.then(() => harmed || to.end()));
  from.on('close', () => void last.then(() => to.end()));
}

/** Resolves when the bytes have left, or cannot leave any more. */
function written(to: Socket, part: Buffer): Promise<void> {
  return new Promise((resolve) => {
    if (to.destroyed || to.writableEnded) resolve();
    else to.write(part, () => resolve());
  });
}

function pieces(chunk: Buffer, passed: number, { fault, pieceBytes }: Plan): Buffer[] {
  if (fault !== 'drip') return [chunk];
  const parts: Buffer[] = [];
  let at = 0;
  for (; at < chunk.length && passed + at < DRIPPED_BYTES; at += pieceBytes)
    parts.push(chunk.subarray(at, at + pieceBytes));
  if (at < chunk.length) parts.push(chunk.subarray(at));
  return parts;
}

function onRequest(link: Link, passed: number, piece: Buffer): Harm | undefined {
  const { fault } = link.plan;
  const pass = unharmed(link.plan, passed, piece);
  if (pass === undefined) return undefined;
  if (fault === 'blackhole for requests') return { pass };
  return fault === 'reset in the request' ? { pass, afterwards: () => reset(link) } : undefined;
}

function onResponse(link: Link, passed: number, piece: Buffer): Harm | undefined {
  const { fault } = link.plan;
  const end = () => void link.near.end();
  // Even a good connection ends after a while, which makes room for the next fault.
  if (isHarmless(fault)) return passed > LIFE_BYTES ? { pass: piece.length, afterwards: end } : undefined;
  const pass = unharmed(link.plan, passed, piece);
  if (pass === undefined) return undefined;
  if (fault === 'blackhole for answers') return { pass };
  if (fault === 'reset in the answer') return { pass, afterwards: () => reset(link) };
  // Requests still pass: the other side may execute one that is on its way when the end arrives.
  if (fault === 'half-close in the answer') return { pass, afterwards: end };
  return fault === 'half-close after an answer' ? { pass: piece.length, afterwards: end } : undefined;
}

/** How much of a piece still passes if the fault hits it. */
function unharmed({ after, between }: Plan, passed: number, piece: Buffer): number | undefined {
  if (between) return passed >= after ? 0 : undefined;
  return after - passed > piece.length ? undefined : after - passed;
}

function reset({ near, far }: Link): void {
  near.resetAndDestroy();
  far.destroy();
}
