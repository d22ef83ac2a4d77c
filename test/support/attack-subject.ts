/** The subject of an attack: the sidecar or the naive control, each in its own process, before a recording API. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { type AttackUpstream, startAttackUpstream } from './attack-upstream.ts';
import { descriptorsOf } from './flood.ts';
import { grant } from './token-server.ts';
import { createWorld } from './world.ts';

export interface Subject extends AsyncDisposable {
  readonly name: 'sidecar' | 'naive';
  readonly port: number;
  readonly pid: number;
  readonly upstream: AttackUpstream;
  /** The API behind `/other` for the sidecar; for both, a host that must never get the token of `/api`. */
  readonly foreign: AttackUpstream;
  isAlive(): boolean;
  /** Whether the subject may send this `Authorization`. */
  isOurs(authorization: string | undefined): boolean;
  /** Closes what a row has left open; restarts a control that has crashed. */
  clear(): Promise<void>;
}

export const HAS_PROC = existsSync('/proc/self/fd');
/** Proves that it ends, on a machine however busy; the table alone takes a minute on some. */
const LONGEST_MS = 600_000;
/** Rows about the 401 rules use up a token, so each has a route with its own scope. */
export const SCOPED_ROUTES = 8;

/** @param config further options of the sidecar */
export async function startSidecarSubject(config: Readonly<Record<string, unknown>> = {}): Promise<Subject> {
  const upstream = await startAttackUpstream();
  const foreign = await startAttackUpstream();
  const world = await createWorld(upstream.url);
  const issued = new Set<string>();
  world.identity.answerWith((res, call, count) => {
    const token = `fake-token-${call.form.get('scope')}-${count}`;
    issued.add(`Bearer ${token}`);
    // A kept connection to the token endpoint would disturb the count of descriptors.
    res.setHeader('Connection', 'close');
    grant(token)(res, call, count);
  });
  const scoped = Array.from({ length: SCOPED_ROUTES }, (_, index) => `scope${index}`);
  const routes = [
    { path: '/api', upstream: upstream.url },
    { path: '/based', upstream: `${upstream.url}/base` },
    { path: '/listed', upstream: upstream.url, allow: ['GET /open/**'] },
    // Reserved: nothing listens there.
    { path: '/dead', upstream: 'http://127.0.0.1:1' },
    { path: '/other', upstream: foreign.url, scope: 'other' },
    ...scoped.map((scope) => ({ path: `/${scope}`, upstream: upstream.url, scope })),
  ];
  const running = await world.serve({ routes, log: { format: 'json' }, ...config }, { limitMs: LONGEST_MS });
  for (const wanted = scoped.length + 2; issued.size < wanted; ) await setTimeout(5);
  const { child } = running;
  return {
    name: 'sidecar',
    port: Number(new URL(running.url).port),
    pid: child.pid ?? 0,
    upstream,
    foreign,
    isAlive: () => child.exitCode === null && child.signalCode === null,
    isOurs: (authorization) => authorization !== undefined && issued.has(authorization),
    clear: () => Promise.resolve(clearBoth(upstream, foreign)),
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      await foreign[Symbol.asyncDispose]();
    },
  };
}

export async function startNaiveSubject(): Promise<Subject> {
  const upstream = await startAttackUpstream();
  const foreign = await startAttackUpstream();
  let control = await startControl(upstream.url);
  const isAlive = () => control.child.exitCode === null && control.child.signalCode === null;
  return {
    name: 'naive',
    get port() {
      return control.port;
    },
    get pid() {
      return control.child.pid ?? 0;
    },
    upstream,
    foreign,
    isAlive,
    isOurs: (authorization) => authorization === 'Bearer token-1',
    async clear() {
      clearBoth(upstream, foreign);
      if (!isAlive()) control = await startControl(upstream.url);
    },
    async [Symbol.asyncDispose]() {
      const { child } = control;
      if (isAlive()) {
        child.kill('SIGKILL');
        await once(child, 'exit');
      }
      await upstream[Symbol.asyncDispose]();
      await foreign[Symbol.asyncDispose]();
    },
  };
}

/** The smallest of several counts: a watched file is open for a moment while it is checked. */
export async function baselineOf(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 20; look += 1) {
    least = Math.min(least, descriptorsOf(pid));
    await setTimeout(10);
  }
  return least;
}

function clearBoth(upstream: AttackUpstream, foreign: AttackUpstream): void {
  upstream.reset();
  foreign.reset();
}

async function startControl(upstream: string): Promise<{ child: ChildProcess; port: number }> {
  const script = new URL('./naive-proxy.ts', import.meta.url).pathname;
  const child = fork(script, [upstream], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], execArgv: [] });
  const [port] = (await once(child, 'message')) as [number];
  return { child, port };
}
