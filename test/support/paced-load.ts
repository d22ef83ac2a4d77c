/** Requests at a constant rate, whatever their outcome, and the number of those without a 2xx. */
import { setTimeout } from 'node:timers/promises';
import { Agent } from 'undici';

export interface PacedLoad extends AsyncDisposable {
  /** Stops it when every request has a response. */
  stop(): Promise<LoadCount>;
}

export interface LoadCount {
  readonly requests: number;
  readonly failed: number;
  /** Their failures, and how often each occurred. */
  readonly failures: Readonly<Record<string, number>>;
}

const DEADLINE_MS = 20_000;

/** @param urls called in turn */
export function startPacedLoad(urls: readonly string[], perSecond: number): PacedLoad {
  const dispatcher = new Agent({ connections: 100, pipelining: 1 });
  const failures: Record<string, number> = {};
  const open = new Set<Promise<void>>();
  let requests = 0;
  let goesOn = true;

  async function ask(url: string): Promise<void> {
    const { origin, pathname } = new URL(url);
    let failure: string | undefined;
    try {
      const signal = AbortSignal.timeout(DEADLINE_MS);
      const { statusCode, headers, body } = await dispatcher.request({ origin, path: pathname, method: 'GET', signal });
      await body.dump();
      if (statusCode < 200 || statusCode > 299) failure = `${statusCode} ${headers['x-sidecar-error'] ?? ''}`;
    } catch (error) {
      failure = String((error as { code?: unknown }).code ?? error);
    }
    if (failure !== undefined) failures[failure] = (failures[failure] ?? 0) + 1;
  }

  async function run(): Promise<void> {
    const startedAt = performance.now();
    while (goesOn) {
      // Delays of a busy machine are caught up: the rate is an average.
      for (const wanted = ((performance.now() - startedAt) * perSecond) / 1000; requests < wanted; requests += 1) {
        const asked: Promise<void> = ask(urls[requests % urls.length] ?? '').finally(() => open.delete(asked));
        open.add(asked);
      }
      await setTimeout(10);
    }
  }

  const running = run();
  const stop = async () => {
    goesOn = false;
    await running;
    await Promise.all(open);
    await dispatcher.close();
    return { requests, failed: Object.values(failures).reduce((sum, count) => sum + count, 0), failures };
  };
  let stopped: Promise<LoadCount> | undefined;
  return {
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
    async [Symbol.asyncDispose]() {
      stopped ??= stop();
      await stopped;
    },
  };
}
