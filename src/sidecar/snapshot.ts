/** A snapshot of the running objects for status page and metrics: names, states and numbers, never a secret or a token. */
import type { History } from '../admin/history.ts';
import type { StatusInput } from '../admin/status-input.ts';
import type { Log } from '../core/log.ts';
import { VERSION } from '../core/version.ts';
import type { RotationScheduler } from '../iam/rotation/scheduler.ts';
import { tokenKey } from '../oauth/credentials.ts';
import type { Auditor } from './audit/auditor.ts';
import type { DataPlane } from './data-plane/data-plane.ts';
import type { FleetLink } from './fleet-link.ts';
import type { Reloader } from './reload.ts';

interface Described {
  readonly reloader: Reloader;
  readonly history: History;
  readonly scheduler: RotationScheduler;
  readonly plane: Pick<DataPlane, 'upstreams' | 'inFlight'>;
  readonly auditor: Pick<Auditor, 'snapshot'> | undefined;
  readonly log: Pick<Log, 'lost'>;
  readonly fleet: Pick<FleetLink, 'snapshot'>;
}

/** Returns the snapshot, without the state that startSidecar adds: listeners and draining. */
export function describe({ reloader, history, scheduler, plane, auditor, log, fleet }: Described) {
  const { loaded, tokens, credentials, sourceOf } = reloader.current();
  const { config, warnings } = loaded;
  return {
    ...reloader.snapshot(),
    version: VERSION,
    environment: config.environment,
    startup: config.startup,
    logLinesLost: log.lost(),
    warnings,
    unsafe: Object.entries(config.unsafe).flatMap(([name, on]) => (on ? `unsafe.${name}` : [])),
    recentErrors: history.errors(),
    errorGroups: history.errorGroups(),
    unknownOutcomes: history.unknownOutcomes(),
    routes: config.routes.map((route) => ({
      path: route.path,
      upstream: route.upstream.origin + route.upstream.basePath,
      ...tokenKey(route, config),
      allow: route.allow,
      headers: Object.entries(route.headers).map(([name, header]) => ({ name, ...header })),
      timeoutsMs: route.timeouts,
      // A getter: probes take a snapshot every few seconds and do not need it.
      get history() {
        return history.route(route.path);
      },
    })),
    credentials: credentials.map(({ name, secretsInUse, assertionExpiresAt }) => ({
      name,
      assertionExpiresAt: assertionExpiresAt(),
      clientId: config.credentials[name]?.clientId ?? '',
      secrets: secretsInUse().map((secret) => ({
        ...secret,
        expiresAt: scheduler.view(name)?.expiries.get(secret.name),
      })),
      rotation: scheduler.view(name)?.rotation,
    })),
    tokens: tokens.snapshots().map((token) => ({ ...token, source: sourceOf(token.key) })),
    upstreams: plane.upstreams(),
    inFlight: plane.inFlight(),
    audit: auditor?.snapshot(),
    fleet: fleet.snapshot(),
    now: Date.now(),
  } satisfies Partial<StatusInput>;
}
