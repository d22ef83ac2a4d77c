/** A member of a fleet without its data plane: what a sidecar has to get and renew its tokens, and nothing else. */
import { randomBytes } from 'node:crypto';
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts';
import { systemClock } from '../../src/core/clock.ts';
import { createLog } from '../../src/core/log.ts';
import { createMetrics, type Metrics } from '../../src/core/metrics.ts';
import { tokenKey } from '../../src/oauth/credentials.ts';
import type { TokenSource } from '../../src/oauth/token-source.ts';
import { type FleetLink, openFleetLink } from '../../src/sidecar/fleet-link.ts';
import { createGeneration } from '../../src/sidecar/generation.ts';

export interface Member {
  /** Of one route, by its place in the configuration. */
  source(route?: number): TokenSource;
  /** Whether the store can be used now, and why not. */
  readonly fleet: ReturnType<FleetLink['snapshot']>;
  close(): Promise<void>;
}

export interface MemberOptions {
  readonly loaded: LoadedConfig;
  /** Shared by the members of a process: 1,000 of them would need memory for what nobody reads. */
  readonly metrics?: Metrics;
  /** Instead of the fleet of the configuration. */
  readonly link?: FleetLink;
  /** Receives each log line. */
  readonly write?: (line: string) => void;
}

export interface MemberSetup {
  readonly tokenEndpoint: string;
  /** Value of `fleet`, without keys; absent = alone. */
  readonly fleet?: Readonly<Record<string, unknown>> | undefined;
  /** One route for each. */
  readonly scopes?: readonly string[];
}

/** Opens nothing yet: the first `source` starts the first fetch. */
export async function openMember(options: MemberOptions): Promise<Member> {
  const { loaded, metrics = createMetrics('test'), write = () => undefined } = options;
  const common = { loaded, metrics, log: createLog({ level: 'info', format: 'json', write }) };
  const clocks = { clock: systemClock, random: Math.random };
  const fleet = options.link ?? (await openFleetLink({ ...common, ...clocks, reload: () => undefined }));
  const generation = createGeneration({ ...common, ...clocks, fleet });
  return {
    source(route = 0) {
      const { config } = loaded;
      const found = config.routes[route];
      if (!found) throw new Error(`there is no route ${route}`);
      return generation.tokens.open(tokenKey(found, config));
    },
    get fleet() {
      return fleet.snapshot();
    },
    async close() {
      await generation.destroy();
      fleet.close();
    },
  };
}

/** A key as `fleet key` prints them. */
export function newFleetKey(): string {
  return randomBytes(32).toString('base64url');
}

/** @param key from `newFleetKey`, the same for all members */
export function memberConfig({ tokenEndpoint, fleet, scopes = ['api'] }: MemberSetup, key: string): LoadedConfig {
  const upstream = 'http://127.0.0.1:9';
  const document = {
    credentials: {
      default: { tokenEndpoint, clientId: 'fleet-test', secrets: [{ env: 'FLEET_TEST_SECRET' }], scope: scopes[0] },
    },
    routes: scopes.map((scope, at) => ({ path: `/api-${at}`, upstream, scope })),
    ...(fleet && { fleet: { keys: [{ env: 'FLEET_TEST_KEY' }], ...fleet } }),
  };
  const env = { FLEET_TEST_SECRET: 'secret-of-the-test', FLEET_TEST_KEY: key };
  return loadConfig({ document: document as never, env });
}
