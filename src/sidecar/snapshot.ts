/**
 * What the running objects look like at a glance, for the status page and the metrics: names, states and numbers, never a
 * secret or a token.
 */
import type { History } from '../admin/history.ts';
import type { StatusInput } from '../admin/status.ts';
import { VERSION } from '../core/version.ts';
import type { RotationScheduler } from '../iam/rotation/scheduler.ts';
import type { Auditor } from './audit/auditor.ts';
import type { CallerPort } from './data-plane/in-process.ts';
import type { Generations } from './reload.ts';

interface Described {
  readonly generations: Generations;
  readonly history: History;
  readonly scheduler: RotationScheduler;
  readonly port: Pick<CallerPort, 'upstreams' | 'inFlight' | 'workers'>;
  readonly auditor: Pick<Auditor, 'snapshot'> | undefined;
}

/** Without what only the listeners know. */
export function describe({ generations, history, scheduler, port, auditor }: Described) {
  const { loaded, tokens, credentials, routes } = generations.current();
  const { config, warnings } = loaded;
  return {
    ...generations.snapshot(),
    version: VERSION,
    environment: config.environment,
    startup: config.startup,
    warnings,
    unsafe: Object.entries(config.unsafe).flatMap(([name, on]) => (on ? `unsafe.${name}` : [])),
    recentErrors: history.errors(),
    routes: config.routes.map(({ path, upstream, credential, allow }, index) => ({
      path,
      upstream: upstream.origin + upstream.basePath,
      credential,
      scope: routes[index]?.tokens.key.scope,
      allow,
      // Summed up only for those who look: probes ask every few seconds.
      get history() {
        return history.route(path);
      },
    })),
    credentials: credentials.map(({ name, secretsInUse }) => ({
      name,
      clientId: config.credentials[name]?.clientId ?? '',
      secrets: secretsInUse().map((secret) => ({
        ...secret,
        expiresAt: scheduler.view(name)?.expiries.get(secret.name),
      })),
      rotation: scheduler.view(name)?.rotation,
    })),
    tokens: tokens.snapshots(),
    upstreams: port.upstreams(),
    inFlight: port.inFlight(),
    workers: port.workers(),
    audit: auditor?.snapshot(),
    now: Date.now(),
  } satisfies Partial<StatusInput>;
}
