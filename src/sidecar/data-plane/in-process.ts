/**
 * Where callers are served, as the rest of the sidecar sees it: in this process, or in workers. What is done for a request
 * is the same files either way.
 */
import type { Server } from 'node:net';
import type { TlsFiles } from '../../config/secret-files.ts';
import type { Clock } from '../../core/clock.ts';
import type { Log } from '../../core/log.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { OnFinished } from '../../proxy/access-log.ts';
import { createQuotas, enterBoth } from '../../proxy/rate-limits.ts';
import type { Auditor } from '../audit/auditor.ts';
import type { Generations } from '../reload.ts';
import { createCallerSide } from './data-plane.ts';
import type { UpstreamUse } from './routes.ts';

export interface CallerPort {
  /** A new listener for every address. */
  createListener(tls: TlsFiles | undefined): Server;
  /** Resolves when callers can be served. @throws SidecarError SIDECAR_INTERNAL when they never will be */
  ready(): Promise<void>;
  inFlight(): number;
  upstreams(): readonly UpstreamUse[];
  /** Undefined without any. */
  workers(): WorkerNumbers | undefined;
  /** Resolves when metrics and log have everything that is over by now, or soon after. */
  settled(): Promise<void>;
  /** There is a new generation. */
  reloaded(): void;
  /** Tokens came, or are not to be used any more. */
  tokensChanged(): void;
  /** Answers from now on close their connection; resolves once no request is running and no tunnel open. */
  drain(): Promise<void>;
  /** Ends what still runs. */
  cut(): void;
  close(): Promise<void>;
}

export interface WorkerNumbers {
  readonly configured: number;
  readonly running: number;
  readonly each: readonly { readonly index: number; readonly residentBytes: number; readonly cpuSeconds: number }[];
}

export interface CallerPortOptions {
  readonly generations: Generations;
  /** Exact `Host` values; filled once the ports are known. */
  readonly hosts: ReadonlySet<string>;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly onFinished: OnFinished;
  readonly auditor: Auditor | undefined;
  /** Heap in use as a share of its limit; V8's own by default. */
  readonly heapShare?: (() => number) | undefined;
}

/** Everything in this process. */
export function createOwnPort(options: CallerPortOptions): CallerPort {
  const { generations, clock } = options;
  const { config } = generations.current().loaded;
  const quotas = createQuotas(() => clock.now().monotonicMs);
  const { proxy, close } = createCallerSide({
    ...options,
    config,
    current: generations.current,
    enter: (_generation, caller, route) => enterBoth(quotas, caller, route),
  });
  return {
    createListener: proxy.createListener,
    ready: async () => undefined,
    inFlight: proxy.inFlight,
    upstreams: () => generations.current().upstreams(),
    workers: () => undefined,
    settled: async () => undefined,
    reloaded: () => undefined,
    tokensChanged: () => undefined,
    drain: proxy.drain,
    cut: proxy.cut,
    close: async () => close(),
  };
}
