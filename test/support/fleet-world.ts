/** Sidecars that share one store, in front of the same API and token endpoint, and time that passes when a test says so. */
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { type Clock, systemClock } from '../../src/core/clock.ts';
import { createFolder, type Folder } from './folder.ts';
import { PATIENCE_MS, startOwnTime } from './own-time.ts';
import { createProxyWorld, type ProxyWorld } from './proxy-world.ts';
import { startTestSidecar, type TestSidecar } from './sidecar.ts';

export interface FleetWorldOptions {
  /** Of redis-server, or of what stands in front of it. */
  readonly port: number;
  /** Default 1. */
  readonly members?: number;
  /** Further fields of `fleet`, with a folder for their files and the port above. */
  readonly fleet?: (folder: Folder, port: number) => Readonly<Record<string, unknown>>;
}

export interface Asked {
  readonly status: number;
  /** Of this process's own time, so that a busy machine does not count. */
  readonly ms: number;
}

export interface FleetWorld extends Pick<ProxyWorld, 'tokens' | 'upstream'>, AsyncDisposable {
  readonly members: readonly TestSidecar[];
  /** A sidecar of the same client without a fleet. */
  readonly alone: TestSidecar;
  /** Lets every token expire, in the sidecars and not in the store. */
  expire(): void;
  /** The first one. */
  readonly member: TestSidecar;
  /** Starts another member; resolves when it listens. */
  join(): Promise<TestSidecar>;
  /** The sum of all series of a metric whose labels match; undefined without one. */
  metric(member: TestSidecar, name: string, labels?: string): Promise<number | undefined>;
  /** Warnings about the store, by their cause, in order. */
  warnings(member: TestSidecar): string[];
}

/** Resolves when each sidecar has a token. */
export async function createFleetWorld({ port, members = 1, fleet }: FleetWorldOptions): Promise<FleetWorld> {
  const folder = createFolder();
  const clock = createMovableClock();
  const key = folder.write('fleet-key', randomBytes(32).toString('base64url'));
  const settings = { url: `redis://127.0.0.1:${port}`, keys: [{ file: key }], ...fleet?.(folder, port) };
  const world = await createProxyWorld({ clock, config: { fleet: settings } });
  const more = { upstream: world.upstream.url, tokenEndpoint: world.tokens.url, clock };
  const all = [world.sidecar];
  const join = async () => {
    const sidecar = await startTestSidecar({ ...more, config: { fleet: settings } });
    all.push(sidecar);
    return sidecar;
  };
  for (let left = members - 1; left > 0; left -= 1) await join();
  const alone = await startTestSidecar(more);
  await Promise.all([...all, alone].map((sidecar) => ask(sidecar)));
  return {
    tokens: world.tokens,
    upstream: world.upstream,
    members: all,
    member: world.sidecar,
    ...{ alone, join },
    expire: () => clock.move(3_600_000),
    async metric(member, name, labels = '') {
      const text = await (await fetch(`${member.adminUrl}/metrics`)).text();
      const lines = text.split('\n').filter((line) => new RegExp(`^aritma_sidecar_${name}(\\{|\\s)`).test(line));
      const values = lines.filter((line) => line.includes(labels)).map((line) => Number(line.split(' ').at(-1)));
      return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
    },
    warnings: (member) =>
      member.logs
        .filter(({ message }) => /^fleet store not usable/.test(String(message)))
        .map((line) => String(line['cause'])),
    async [Symbol.asyncDispose]() {
      await Promise.all([alone, ...all.slice(1)].map((sidecar) => sidecar.stop()));
      await world[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

/** One request of a caller; a status of 0 stands for no response. */
export async function ask({ url }: Pick<TestSidecar, 'url'>, limitMs = PATIENCE_MS): Promise<Asked> {
  using time = startOwnTime();
  try {
    const response = await fetch(`${url}/api/x`, { signal: AbortSignal.timeout(limitMs) });
    await response.arrayBuffer();
    return { status: response.status, ms: time.ms };
  } catch {
    return { status: 0, ms: time.ms };
  }
}

export interface Callers {
  /** Calls so far without a 2xx response in time. */
  readonly failed: number;
  readonly served: number;
  /** Own time of the slowest response, ms. */
  readonly slowestMs: number;
  stop(): Promise<void>;
}

/** Callers who ask one after the other, each as soon as the response before is there. */
export function startCallers(sidecar: Pick<TestSidecar, 'url'>, { callers = 4, limitMs = 5000 } = {}): Callers {
  const seen = { failed: 0, served: 0, slowestMs: 0 };
  let goesOn = true;
  const call = async () => {
    while (goesOn) {
      const { status, ms } = await ask(sidecar, limitMs);
      if (status === 200) seen.served += 1;
      else seen.failed += 1;
      seen.slowestMs = Math.max(seen.slowestMs, ms);
      await setTimeout(20);
    }
  };
  const running = Promise.all(Array.from({ length: callers }, call));
  return Object.assign(seen, {
    async stop() {
      goesOn = false;
      await running;
    },
  });
}

/** The real clock, whose wall time a test can move forwards: timers stay real. */
function createMovableClock(): Clock & { move(ms: number): void } {
  let moved = 0;
  return {
    now() {
      const { wallMs, monotonicMs } = systemClock.now();
      return { wallMs: wallMs + moved, monotonicMs };
    },
    startTimer: systemClock.startTimer,
    move(ms) {
      moved += ms;
    },
  };
}
