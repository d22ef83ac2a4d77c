/**
 * Composition root: turns a loaded configuration into running objects and back. The only place that knows how the
 * parts fit together; whoever starts a sidecar (a command, the demo, a test) gets its addresses and one way to stop it.
 */
import type { Server as HttpServer } from 'node:http';
import { Server as TlsServer } from 'node:https';
import { createHistory } from '../admin/history.ts';
import { type Admin, createAdmin } from '../admin/server.ts';
import type { LoadedConfig } from '../config/load.ts';
import { type Address, isLoopback } from '../config/parsers.ts';
import type { Config } from '../config/schema.ts';
import type { TlsFiles } from '../config/secret-files.ts';
import { watchFiles } from '../config/watch.ts';
import { type Clock, systemClock } from '../core/clock.ts';
import type { Log } from '../core/log.ts';
import { createMetrics, type Metrics } from '../core/metrics.ts';
import { VERSION } from '../core/version.ts';
import { createRotationScheduler, type RotationScheduler } from '../iam/rotation/scheduler.ts';
import type { Bound } from '../net/listen.ts';
import { type Listener, openListeners } from '../net/listeners.ts';
import { openAuditor } from './audit/auditor.ts';
import { type CallerPort, createOwnPort } from './data-plane/in-process.ts';
import type { Generation } from './generation.ts';
import { createGenerations, type Generations } from './reload.ts';
import { describe } from './snapshot.ts';

export interface SidecarOptions {
  readonly loaded: LoadedConfig;
  readonly log: Log;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Heap in use as a share of its limit; V8's own by default. */
  readonly heapShare?: () => number;
  /** Called when `POST /shutdown` asks for it. */
  readonly onShutdownRequest?: () => void;
}

export interface Sidecar {
  readonly proxy: readonly Bound[];
  readonly admin: readonly Bound[];
  /** Resolves when the first token of every route is there. @throws SidecarError the first failure */
  firstTokens(): Promise<void>;
  /** Reads configuration and secrets again and uses them, if they are valid. */
  reload(reason: string): void;
  /** Drains as configured. True when every running request finished within the limit. */
  stop(): Promise<boolean>;
}

/** Starts everything and listens. @throws SidecarError SIDECAR_LISTEN_FAILED */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const { loaded, log, clock = systemClock, random = Math.random } = options;
  const { config } = loaded;
  // Few have workers. Before there can be tokens, which the port is told of.
  const createPort = config.workers > 1 ? (await import('./workers/primary.ts')).createWorkerPort : createOwnPort;
  const metrics = createMetrics(VERSION);
  const auditor = await openAuditor(config, log, metrics);
  const generations = createGenerations({ loaded, log, metrics, clock, random, onToken: () => port.tokensChanged() });
  const state = { listening: false, draining: false, startedAt: Date.now() };
  const hosts = new Set(config.callers.hosts.map((host) => host.toLowerCase()));
  const adminHosts = new Set<string>();
  const history = createHistory({ monotonicMs: () => performance.now(), wallMs: Date.now });
  const port = createPort({ ...options, generations, hosts, metrics, clock, onFinished: history.record, auditor });
  const scheduler = scheduleRotations(generations, log, metrics);
  const close = async () => {
    await port.close();
    await Promise.all([scheduler.close(), generations.destroy(), auditor?.close()]);
  };
  const admin = createAdmin({
    snapshot: () => ({ ...state, ...describe({ generations, history, scheduler, port, auditor }) }),
    metrics,
    settled: port.settled,
    refreshTokens: (credential) => refreshTokens(generations.current(), port, credential),
    shutdown: options.onShutdownRequest ?? (() => undefined),
    hosts: adminHosts,
  });
  const opening = { config, tls: loaded.tls.get('callers'), port, admin, hosts, adminHosts };
  const { proxies, admins } = await openAll(opening).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  state.listening = true;
  announce({ admins, proxies }, options);
  const reloading = startReloading(generations, { proxies, port }, log);
  return {
    proxy: proxies.map(({ bound }) => bound),
    admin: admins.map(({ bound }) => bound),
    ...{ firstTokens: () => firstTokens(generations.current()), reload: reloading.byHand },
    async stop() {
      state.draining = true;
      admin.drain();
      reloading.stop();
      const drained = await drain(config, proxies, port);
      closeAll([...admins, ...proxies]);
      return close().then(() => drained);
    },
  };
}

function scheduleRotations(generations: Generations, log: Log, metrics: Metrics): RotationScheduler {
  const every = (ms: number, run: () => void) => {
    const timer = setInterval(run, ms).unref();
    return () => clearInterval(timer);
  };
  const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());
  const current = () => generations.current().loaded;
  return createRotationScheduler({ current, log, metrics, clock: { now: Date.now, sleep: pause }, every });
}

interface Opening {
  readonly config: Config;
  /** For callers over TCP; a Unix socket stays on this machine. */
  readonly tls: TlsFiles | undefined;
  readonly port: CallerPort;
  readonly admin: Admin;
  readonly hosts: Set<string>;
  readonly adminHosts: Set<string>;
}

function startReloading(
  generations: Generations,
  { proxies, port }: { readonly proxies: readonly Listener[]; readonly port: CallerPort },
  log: Log,
) {
  const reload = (reason: string, force: boolean) => {
    if (generations.reload(reason, force) !== 'ok') return;
    const { loaded } = generations.current();
    renewCertificates(proxies, loaded);
    port.reloaded();
    log.setLevel(loaded.config.log.level);
  };
  const files = () => generations.current().loaded.files;
  return {
    byHand: (reason: string) => reload(reason, true),
    stop: watchFiles(files, () => reload('file change', false)),
  };
}

/** Connections there are keep the certificate they began with. */
function renewCertificates(listeners: readonly Listener[], { tls }: LoadedConfig): void {
  const files = tls.get('callers');
  for (const { server } of listeners) if (files && server instanceof TlsServer) server.setSecureContext(files);
}

/** All listeners or none. */
async function openAll({ config, tls, port, admin, hosts, adminHosts }: Opening) {
  const admins: Listener[] = [];
  const proxies: Listener[] = [];
  try {
    for (const address of config.admin) {
      const create = () => admin.createListener(adminRules(address, config));
      admins.push(...(await openListeners(address, create, adminHosts)));
    }
    await port.ready();
    for (const address of config.listen) {
      proxies.push(
        ...(await openListeners(address, () => port.createListener(address.kind === 'tcp' ? tls : undefined), hosts)),
      );
    }
  } catch (error) {
    closeAll([...admins, ...proxies]);
    throw error;
  }
  return { admins, proxies };
}

/** Probes come from the node by pod address, so only a loopback listener can insist on its names. */
function adminRules(address: Address, config: Config) {
  const local = address.kind === 'unix' || isLoopback(address.host);
  return { checkHost: local && address.kind === 'tcp', allowActions: config.adminActions || address.kind === 'unix' };
}

/** True when every running request finished in time. */
async function drain({ drain: { minimum, limit } }: Config, listeners: readonly Listener[], port: CallerPort) {
  await sleep(minimum);
  for (const { server } of listeners) server.close();
  const drained = await within(limit, port.drain());
  port.cut();
  return drained;
}

function closeAll(listeners: readonly Listener[]): void {
  for (const { server } of listeners) {
    server.close();
    // One that only hands connections over has none.
    if ('closeAllConnections' in server) (server as HttpServer).closeAllConnections();
  }
}

function announce(
  { admins, proxies }: { admins: readonly Listener[]; proxies: readonly Listener[] },
  { log, loaded }: SidecarOptions,
): void {
  for (const { bound } of admins) log.info('listening for operators', { address: bound.text });
  for (const { bound } of proxies) log.info('listening for callers', { address: bound.text });
  for (const warning of loaded.warnings) log.warn('configuration', { problem: warning });
}

async function firstTokens({ tokens }: Generation): Promise<void> {
  await Promise.all(tokens.sources().map((source) => source.get()));
}

function refreshTokens(
  { tokens }: Generation,
  { tokensChanged }: CallerPort,
  credential: string | undefined,
): Promise<void> | undefined {
  const sources = tokens.sources(credential);
  const refreshed = Promise.all(sources.map((source) => source.refresh())).then(() => undefined);
  // Those there were have been dropped.
  tokensChanged();
  return sources.length === 0 ? undefined : refreshed;
}

function sleep(ms: number): Promise<void> {
  return ms === 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}

/** True when `work` is done within the time. */
async function within(ms: number, work: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const done = await Promise.race([work.then(() => true as const), late]);
  clearTimeout(timer);
  return done;
}
