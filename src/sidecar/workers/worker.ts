/**
 * A worker process: the data plane and nothing else, in a process without any client secret. It gets connections and tokens
 * from the primary, tells it what happened, does what it says and ends with it.
 */
import type { Socket } from 'node:net';
import { systemClock } from '../../core/clock.ts';
import { createLog } from '../../core/log.ts';
import { countLookups } from '../../oauth/token.ts';
import { createAuditGate } from '../audit/auditor.ts';
import { createDataPlane, type DataPlane } from '../data-plane/data-plane.ts';
import type { Link } from '../data-plane/gate.ts';
import type { Serving } from '../data-plane/generation.ts';
import { createIntake } from './connection-intake.ts';
import { type PrimaryApi, type Start, unpackSettings, type WireServing, type WorkerApi } from './protocol.ts';
import { createReportBuffer } from './report-buffer.ts';
import { createPeer, type Message, type Peer } from './rpc.ts';
import { TokenMirror } from './token-mirror.ts';

/** Resolves with the exit code when the primary lets go of it, however that comes about. */
export function runWorker(): Promise<number> {
  // They go to all processes of a terminal or a service; when to stop is the primary's to say.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGBREAK'] as const) process.on(signal, () => undefined);
  const primary = createPeer<PrimaryApi>((message, _socket, sent) => {
    process.send?.(message, undefined, undefined, () => sent?.());
  });
  let api: Partial<WorkerApi> = {
    start(given) {
      api = serve(given, primary);
    },
  };
  process.on('message', (message: Message, socket: Socket | undefined) =>
    primary.receive(api as WorkerApi, message, socket),
  );
  return new Promise((resolve) => process.once('disconnect', () => resolve(0)));
}

function serve({ serving, hosts: names, audit }: Start, primary: Peer<PrimaryApi>): WorkerApi {
  const reports = createReportBuffer({
    send: (report, sent) => primary.tell('report', report, { sent }),
    upstreams: () => plane.upstreams(),
  });
  const log = createLog({ level: serving.settings.config.log.level, format: 'json', write: reports.line });
  const state = { failing: audit?.failing ?? false };
  const hosts = new Set(names);
  const link: Link = {
    ...{ log, metrics: reports.metrics, onFinished: reports.finished },
    enter: async (...claims) => {
      const id = await primary.call('enter', claims);
      return () => primary.tell('leave', id);
    },
    auditor: audit && {
      begin: createAuditGate(audit.whenFailing, () => state.failing),
      append: (facts) => primary.tell('fact', facts),
    },
  };
  const mirrors = createMirrors(primary, link);
  const plane = createDataPlane({ first: mirrors.open(serving), link, hosts });
  const servers = openServers(plane, serving);
  const take = createIntake(primary, (secure) => (secure ? servers.secure : servers.plain));
  return {
    start: () => undefined,
    async use(next) {
      log.setLevel(next.settings.config.log.level);
      await plane.use(mirrors.open(next));
      mirrors.forget(next.number - 1);
    },
    hosts: (more) => more.forEach((host) => void hosts.add(host)),
    token: ({ number, source, token }) => mirrors.find(number)?.[source]?.accept(token),
    connection: take,
    audit: (failing) => void Object.assign(state, { failing }),
    async report() {
      // After what is just ending: streams take a turn of the event loop to say that they are closed.
      for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      return reports.take();
    },
    ping: () => undefined,
    async drain() {
      for (const server of Object.values(servers)) server?.close();
      await plane.drain();
      primary.tell('report', reports.take());
    },
    destroyConnections: plane.destroyConnections,
  };
}

/** Tokens of each generation that some request may still want. */
function createMirrors(primary: Peer<PrimaryApi>, { metrics }: Link) {
  const generations = new Map<number, readonly TokenMirror[]>();
  return {
    find: (number: number) => generations.get(number),
    forget: (number: number) => void generations.delete(number),
    open({ number, settings: wire, tokens, tokenWaitMs: waitMs }: WireServing): Serving {
      const settings = unpackSettings(wire);
      const sources = settings.tokenKeys.map((key, source) => {
        const onLookup = countLookups(metrics, key.credential);
        const ask = (refused: number | undefined) => primary.call('token', { number, source, refused });
        return new TokenMirror({ key, token: tokens[source], ask, onLookup, waitMs, clock: systemClock });
      });
      generations.set(number, sources);
      return { settings: () => settings, sources };
    },
  };
}

/** Connections come from elsewhere, so they never listen; but so far as they know they do. */
function openServers(plane: DataPlane, { settings }: WireServing) {
  const tls = settings.tls.get('callers');
  const servers = { plain: plane.createListener(undefined), secure: tls && plane.createListener(tls) };
  // With this they begin to look for callers that are too slow.
  for (const server of Object.values(servers)) server?.emit('listening');
  return servers;
}
