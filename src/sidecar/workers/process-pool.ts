/**
 * The worker processes: so many at all times. One that ends is replaced at once, and after a growing pause when its
 * successors do not live either; one that does not respond is ended by force. Nothing is lost with a worker but what it had
 * begun.
 */
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Log } from '../../core/log.ts';
import type { PrimaryApi, WorkerApi } from './protocol.ts';
import { createPeer, type Message, type Peer } from './rpc.ts';

export interface Worker extends Pick<Peer<WorkerApi>, 'call' | 'tell'> {
  /** Its place among the workers, from 0; a successor takes it over. */
  readonly index: number;
  readonly pid: number | undefined;
}

export interface PoolOptions {
  readonly count: number;
  /** Starts a process that talks over IPC. */
  readonly launch: () => ChildProcess;
  readonly log: Log;
  /** What this worker may call. */
  readonly apiFor: (worker: Worker) => PrimaryApi;
  /** Gives a new worker what it serves by; resolves when it is ready. */
  readonly start: (worker: Worker) => Promise<void>;
  readonly onReady: (worker: Worker) => void;
  /** Told of the end of one, after its last message. `unexpected` unless the pool is closing. */
  readonly onGone: (worker: Worker, unexpected: boolean) => void;
}

export interface Pool {
  /** Those that may be given work. */
  ready(): readonly Worker[];
  /** Those that are still starting, too. */
  alive(): readonly Worker[];
  /** Resolves when as many as there should be are ready for the first time. @throws Error when one ends before */
  started(): Promise<void>;
  /** Lets them end by themselves and makes sure that they do. */
  close(): Promise<void>;
}

/** One that lived shorter than this is replaced with a pause. */
const SHORT_LIFE_MS = 5000;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 10_000;
/** Time to end after having been let go. */
const END_MS = 1000;
/** How often each is asked for a sign of life. Looks are counted, not time: all of it may have slept. */
const PING_MS = 1000;
const MAX_SILENT_LOOKS = { ready: 5, starting: 60 } as const;

interface Running {
  readonly worker: Worker;
  readonly child: ChildProcess;
  /** Resolves with the reason when it has ended and its last message has been read, or when there never was a process. */
  readonly over: Promise<string>;
  ready: boolean;
}

interface State {
  readonly alive: Set<Running>;
  /** Of replacements that pause. */
  readonly timers: Set<NodeJS.Timeout>;
  /** Settled when all of the first are ready, or one of them will never be. */
  readonly first: PromiseWithResolvers<void>;
  closing: boolean;
}

/** Starts all of them. */
export function createPool(options: PoolOptions): Pool {
  const state: State = { alive: new Set(), timers: new Set(), first: Promise.withResolvers(), closing: false };
  // Whoever does not wait for the start need not hear of its failure.
  state.first.promise.catch(() => undefined);
  for (let index = 0; index < options.count; index += 1) start(index, 0, state, options);
  const { alive, timers } = state;
  return {
    ready: () => [...alive].filter(({ ready }) => ready).map(({ worker }) => worker),
    alive: () => [...alive].map(({ worker }) => worker),
    started: () => state.first.promise,
    async close() {
      state.closing = true;
      for (const timer of timers) clearTimeout(timer);
      await Promise.all([...alive].map(end));
    },
  };
}

/** @param shortLives of predecessors, one after the other */
function start(index: number, shortLives: number, state: State, options: PoolOptions): void {
  const startedAt = performance.now();
  const running = open(index, options);
  const { worker } = running;
  state.alive.add(running);
  const stopWatching = watch(running, options.log);
  const isReady = () => {
    running.ready = true;
    options.onReady(worker);
    if ([...state.alive].filter(({ ready }) => ready).length === options.count) state.first.resolve();
  };
  // Its end is told below.
  options.start(worker).then(isReady, () => undefined);
  void running.over.then((reason) => {
    stopWatching();
    state.alive.delete(running);
    options.onGone(worker, !state.closing);
    if (state.closing) return;
    options.log.error('a worker has ended', { pid: worker.pid, reason });
    state.first.reject(new Error('a worker did not start'));
    const lives = performance.now() - startedAt < SHORT_LIFE_MS ? shortLives + 1 : 0;
    const pauseMs = lives < 2 ? 0 : Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (lives - 2));
    const timer = setTimeout(() => {
      state.timers.delete(timer);
      start(index, lives, state, options);
    }, pauseMs);
    state.timers.add(timer);
  });
}

function open(index: number, { launch, apiFor }: PoolOptions): Running {
  const child = launch();
  const peer = createPeer<WorkerApi>((message, socket, sent) => {
    // Whether it arrived is for the other side to say.
    if (child.connected) child.send(message, socket, { keepOpen: true }, () => sent?.());
  });
  const worker: Worker = { index, pid: child.pid, call: peer.call, tell: peer.tell };
  const api = apiFor(worker);
  child.on('message', (message: Message, socket: Socket | undefined) => peer.receive(api, message, socket));
  const over = whenOver(child);
  void over.then(peer.end);
  return { worker, child, over, ready: false };
}

/** A stopped process, or one in an endless loop, holds its callers: its end is an end for them, and others take its place. */
function watch(running: Running, log: Log): () => void {
  const { worker, child } = running;
  let silent = 0;
  let timer: NodeJS.Timeout;
  const look = () => {
    if (silent >= MAX_SILENT_LOOKS[running.ready ? 'ready' : 'starting']) {
      log.error('a worker does not respond and is ended', { pid: worker.pid });
      child.kill('SIGKILL');
      return;
    }
    silent += 1;
    worker.call('ping').then(
      () => {
        silent = 0;
      },
      () => undefined,
    );
    timer = setTimeout(look, PING_MS).unref();
  };
  timer = setTimeout(look, PING_MS).unref();
  return () => clearTimeout(timer);
}

async function whenOver(child: ChildProcess): Promise<string> {
  const { promise: failed, resolve: fail } = Promise.withResolvers<string>();
  child.on('error', (error: NodeJS.ErrnoException) => {
    // Of a process that runs: a message that could not be sent, and its end will say so.
    if (child.pid === undefined) fail(error.code ?? 'cannot be started');
  });
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  // Node says the former alone where a connection was just being handed over, the latter alone where this side let go.
  const silent = Promise.race(
    ['close', 'disconnect'].map((name) => new Promise((resolve) => child.once(name, resolve))),
  );
  child.once('disconnect', () => killLate(child));
  return await Promise.race([failed, silent.then(() => exited)]);
}

async function end({ child, over }: Running): Promise<void> {
  if (child.connected) child.disconnect();
  killLate(child);
  await over;
}

/** One that is not told anything any more ends by itself, or else by force. */
function killLate(child: ChildProcess): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
  child.once('exit', () => clearTimeout(timer));
}
