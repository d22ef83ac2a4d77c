/**
 * Composition root: turns a loaded configuration into running objects and back. The only place that knows how the
 * parts fit together; whoever starts a sidecar (a command, the demo, a test) gets its addresses and one way to stop it.
 */
import { Server as TlsServer } from 'node:https';
import { createHistory } from './admin/history.ts';
import { type Admin, createAdmin } from './admin/server.ts';
import { type Auditor, openAuditor } from './auditing.ts';
import type { LoadedConfig } from './config/load.ts';
import type { Config } from './config/schema.ts';
import type { TlsFiles } from './config/secrets.ts';
import { type Address, isLoopback } from './config/values.ts';
import { watchFiles } from './config/watch.ts';
import { createGates } from './gate.ts';
import type { Generation } from './generation.ts';
import type { Bound } from './listen.ts';
import { type Listener, openListeners } from './listeners.ts';
import type { Log } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { type Clock, systemClock } from './oauth/clock.ts';
import { createOverload } from './overload.ts';
import { type Proxy as CallerPort, createProxy } from './proxy/server.ts';
import { createGenerations, type Generations } from './reload.ts';
import { createSecretCare, type SecretCare } from './secret-care.ts';
import { describe } from './snapshot.ts';
import { VERSION } from './version.ts';

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
  const metrics = createMetrics(VERSION);
  const auditor = await openAuditor(config, log, metrics);
  const generations = createGenerations({ loaded, log, metrics, clock, random });
  const state = { listening: false, draining: false, startedAt: Date.now() };
  const hosts = new Set(config.callers.hosts.map((host) => host.toLowerCase()));
  const adminHosts = new Set<string>();
  const { overload, history, proxy } = createCallerSide(options, { generations, hosts, metrics, clock, auditor });
  const care = careForSecrets(generations, log, metrics);
  const close = async () => {
    overload.close();
    await Promise.all([care.close(), generations.destroy(), auditor?.close()]);
  };
  const admin = await createAdmin({
    snapshot: () => ({
      ...{ ...state, ...describe(generations, history, care), audit: auditor?.snapshot() },
      ...{ inFlight: proxy.inFlight(), now: Date.now() },
    }),
    metrics,
    refreshTokens: (credential) => refreshTokens(generations.current(), credential),
    shutdown: options.onShutdownRequest ?? (() => undefined),
    hosts: adminHosts,
  });
  const opening = { config, tls: loaded.tls.get('callers'), proxy, admin, hosts, adminHosts };
  const { proxies, admins } = await openAll(opening).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  state.listening = true;
  announce({ admins, proxies }, options);
  const reloading = startReloading(generations, proxies, log);
  return {
    proxy: proxies.map(({ bound }) => bound),
    admin: admins.map(({ bound }) => bound),
    firstTokens: () => firstTokens(generations.current()),
    reload: (reason) => reloading.reload(reason, true),
    async stop() {
      state.draining = true;
      admin.drain();
      reloading.stop();
      const drained = await drain(config, proxies, proxy);
      closeAll([...admins, ...proxies]);
      return close().then(() => drained);
    },
  };
}

interface CallerSide {
  readonly generations: Generations;
  readonly hosts: ReadonlySet<string>;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly auditor: Auditor | undefined;
}

/** What stands between callers and the routes, its bounds and its memory. */
function createCallerSide({ loaded: { config }, log, heapShare }: SidecarOptions, side: CallerSide) {
  const { generations, hosts, metrics, clock, auditor } = side;
  const overload = createOverload({ config, log, metrics, heapShare });
  const history = createHistory({ monotonicMs: () => performance.now(), wallMs: Date.now });
  const gate = createGates({ current: generations.current, hosts, metrics, clock, checkLoad: overload.check, auditor });
  const proxy = createProxy({
    gate,
    headersMs: config.timeouts.callerHeaders,
    connections: overload.connections,
    log,
    metrics,
    onFinished: history.record,
    auditor,
  });
  return { overload, history, proxy };
}

function careForSecrets(generations: Generations, log: Log, metrics: Metrics): SecretCare {
  const every = (ms: number, run: () => void) => {
    const timer = setInterval(run, ms).unref();
    return () => clearInterval(timer);
  };
  const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms).unref());
  const current = () => generations.current().loaded;
  return createSecretCare({ current, log, metrics, clock: { now: Date.now, sleep: pause }, every });
}

interface Opening {
  readonly config: Config;
  /** For callers over TCP; a Unix socket stays on this machine. */
  readonly tls: TlsFiles | undefined;
  readonly proxy: CallerPort;
  readonly admin: Admin;
  readonly hosts: Set<string>;
  readonly adminHosts: Set<string>;
}

function startReloading(generations: Generations, listeners: readonly Listener[], log: Log) {
  const reload = (reason: string, force: boolean) => {
    if (generations.reload(reason, force) !== 'ok') return;
    const { loaded } = generations.current();
    renewCertificates(listeners, loaded);
    log.setLevel(loaded.config.log.level);
  };
  const files = () => generations.current().loaded.files;
  return { reload, stop: watchFiles(files, () => reload('file change', false)) };
}

/** Connections there are keep the certificate they began with. */
function renewCertificates(listeners: readonly Listener[], { tls }: LoadedConfig): void {
  const files = tls.get('callers');
  for (const { server } of listeners) if (files && server instanceof TlsServer) server.setSecureContext(files);
}

/** All listeners or none. */
async function openAll({ config, tls, proxy, admin, hosts, adminHosts }: Opening) {
  const admins: Listener[] = [];
  const proxies: Listener[] = [];
  try {
    for (const address of config.admin) {
      const create = () => admin.createListener(adminRules(address, config));
      admins.push(...(await openListeners(address, create, adminHosts)));
    }
    for (const address of config.listen) {
      proxies.push(
        ...(await openListeners(address, () => proxy.createListener(address.kind === 'tcp' ? tls : undefined), hosts)),
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
async function drain({ drain: { minimum, limit } }: Config, listeners: readonly Listener[], proxy: CallerPort) {
  await sleep(minimum);
  for (const { server } of listeners) server.close();
  const drained = await within(limit, proxy.drain());
  proxy.cut();
  return drained;
}

function closeAll(listeners: readonly Listener[]): void {
  for (const { server } of listeners) {
    server.close();
    server.closeAllConnections();
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

function refreshTokens({ tokens }: Generation, credential: string | undefined): Promise<void> | undefined {
  const sources = tokens.sources(credential);
  return sources.length === 0
    ? undefined
    : Promise.all(sources.map((source) => source.refresh())).then(() => undefined);
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
