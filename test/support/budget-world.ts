/** A subject of a budget with its API: what an attack costs it in memory and time, and a new caller during the attack. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Probed } from './budget-prober.ts';
import { residentBytes } from './processes.ts';
import { startSidecarProcess } from './sidecar-process.ts';
import { startTokenServer } from './token-server.ts';

/** Responds to a request by its target, with bytes or in its own time. */
export type Api = (target: string, socket: Socket) => void;

export interface BudgetWorld {
  readonly port: number;
  /** The control has none. */
  readonly adminPort: number | undefined;
  readonly host: string;
  /** Opens connections; their errors are ignored. */
  open(count: number, port?: number): Promise<readonly Socket[]>;
}

export interface Attack {
  readonly name: string;
  /** Three sizes, ascending; their unit depends on the attack. */
  readonly sizes: readonly [number, number, number];
  readonly api?: Api;
  /** Also possible against a plain proxy. */
  readonly hasControl: boolean;
  /** Resolves at the end of the attack. @returns bytes sent to the subject, from either side */
  play(world: BudgetWorld, size: number): Promise<number>;
}

export interface Cost extends Probed {
  readonly bytes: number;
  readonly memory: number;
  readonly cpuMs: number;
  readonly isAlive: boolean;
}

/** `source`, a file of another build, or the `control`. */
export type Subject = { readonly program: string | undefined } | 'control';

/** What four wildcards and a path that nearly matches cost. */
const GLOB = ['GET /**/a/**/a/**/x', 'GET /fine'];
const PLAIN_REQUESTS = 200;

function tasksOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    // The process has ended.
    return [];
  }
}

/** CPU time of all threads of a process, ms. @param waits also the time they waited for a core */
function cpuMs(pid: number, { waits = false } = {}): number {
  const tasks = tasksOf(pid).map((task) => {
    try {
      const [had = '', wanted = ''] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ');
      return (Number(had) + (waits ? Number(wanted) : 0)) / 1e6;
    } catch {
      // The thread has ended.
      return 0;
    }
  });
  return tasks.reduce((sum, ms) => sum + ms, 0);
}

const PIECE_BYTES = 64 * 1024;
const TAKEN = new WeakMap<Socket, number>();

/** Sends in pieces, so that the amount accepted is visible. */
export function send(socket: Socket, text: string): void {
  const bytes = Buffer.from(text, 'latin1');
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    const onTaken = (error?: Error | null) => {
      if (!error) TAKEN.set(socket, (TAKEN.get(socket) ?? 0) + piece.length);
    };
    socket.write(piece, onTaken);
  }
}

/** Bytes that the subject, or the system for it, has accepted. A socket that was closed no longer knows its own. */
export function takenOf(sockets: readonly Socket[]): number {
  const ofOne = (socket: Socket) => Math.max(TAKEN.get(socket) ?? 0, socket.bytesWritten - socket.writableLength);
  return sockets.reduce((sum, socket) => sum + ofOne(socket), 0);
}

/** Resolves when everything but the new caller's calls is done, or the time limit has passed. */
async function untilIdle(pid: number): Promise<void> {
  for (let [idle, rounds] = [0, 0]; idle < 3 && rounds < 200; rounds += 1) {
    const before = cpuMs(pid, { waits: true });
    await setTimeout(100);
    idle = cpuMs(pid, { waits: true }) - before < 50 ? idle + 1 : 0;
  }
}

async function startApi(api: Api) {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let received = '';
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => {
      received = (received + chunk.toString('latin1')).slice(-20_000);
      for (
        let match = /[A-Z]+ (\S+) HTTP\/1\.1\r\n/.exec(received);
        match;
        match = /[A-Z]+ (\S+) HTTP/.exec(received)
      ) {
        received = received.slice(match.index + match[0].length);
        api(match[1] ?? '', socket);
      }
    });
  });
  server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

interface Running {
  readonly port: number;
  readonly adminPort: number | undefined;
  readonly pid: number;
  isAlive(): boolean;
  stop(): Promise<void>;
}

async function start(subject: Subject, api: string, fresh: string): Promise<Running> {
  if (subject === 'control') {
    const child = fork(new URL('./budget-control.ts', import.meta.url), [api, fresh]);
    const [port] = (await once(child, 'message')) as [number];
    return {
      ...{
        port,
        adminPort: undefined,
        pid: child.pid ?? 0,
        isAlive: () => child.exitCode === null && !child.signalCode,
      },
      stop: async () => void child.kill('SIGKILL'),
    };
  }
  const tokens = await startTokenServer();
  const sidecar = await startSidecarProcess({
    upstream: api,
    tokenEndpoint: tokens.url,
    main: subject.program,
    config: {
      routes: [
        { path: '/api', upstream: api, upgrade: true },
        { path: '/glob', upstream: api, allow: GLOB },
        { path: '/fresh', upstream: fresh },
      ],
      limits: { connections: 2000, upstreamConnections: 2000 },
    },
  });
  const { port, pid, isAlive } = sidecar;
  return {
    ...{ port, pid, isAlive, adminPort: Number(new URL(sidecar.adminUrl).port) },
    async stop() {
      await sidecar[Symbol.asyncDispose]();
      await tokens.close();
    },
  };
}

/** Plays it once against a subject that has just started and served some requests. */
export async function measure(subject: Subject, attack: Attack, size: number): Promise<Cost> {
  const prober = new Worker(new URL('./budget-prober.ts', import.meta.url));
  const [fresh] = (await once(prober, 'message')) as [string];
  const api = await startApi(attack.api ?? ((_target, socket) => void socket.write(FINE)));
  const running = await start(subject, api.url, fresh);
  const { port, adminPort, pid } = running;
  const sockets: Socket[] = [];
  const world: BudgetWorld = {
    ...{ port, adminPort, host: `Host: 127.0.0.1:${port}\r\n` },
    async open(count, to = port) {
      const opened = Array.from({ length: count }, () => connect(to, '127.0.0.1').setNoDelay(true));
      sockets.push(...opened.map((socket) => socket.on('error', () => undefined)));
      await Promise.all(opened.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
      return opened;
    },
  };
  try {
    const url = `http://127.0.0.1:${port}/fresh/x`;
    for (let count = 0; count < PLAIN_REQUESTS; count += 1) await (await fetch(url)).text();
    const before = { memory: residentBytes(pid) ?? 0, cpu: cpuMs(pid) };
    prober.postMessage({ pid, url });
    const played = await attack.play(world, size);
    await untilIdle(pid);
    // Includes what was accepted only now.
    const bytes = Math.max(played, takenOf(sockets));
    for (const socket of sockets) socket.destroy();
    await untilIdle(pid);
    prober.postMessage('over');
    const [probed] = (await once(prober, 'message')) as [Probed];
    const isAlive = running.isAlive();
    const cpu = isAlive ? cpuMs(pid) - before.cpu : Number.NaN;
    return { ...probed, bytes, memory: Math.max(0, probed.peakBytes - before.memory), cpuMs: cpu, isAlive };
  } finally {
    for (const socket of sockets) socket.destroy();
    await running.stop();
    api.close();
    await prober.terminate();
  }
}

export const FINE = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine';
