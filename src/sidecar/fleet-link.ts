/**
 * The fleet, if one is configured: without it no code of it is loaded, each token comes from the identity server, and each secret
 * is this sidecar's own. After a reload with other settings the fleet is left, and joined anew.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { FleetSnapshot } from '../core/fleet-snapshot.ts';
import type { Fleet, FleetOptions, Sharing, TokenOrigin } from '../fleet/fleet.ts';
import type { SecretSharing } from '../iam/rotation/store.ts';
import { type Budgets, OWN_BUDGETS } from '../proxy/rate-limits.ts';
import type { SecretFollower } from './fleet/secret-follower.ts';

export interface FleetLink extends SecretSharing {
  token(sharing: Sharing): TokenOrigin;
  /** Of the fleet that is joined now, or of this sidecar alone. */
  readonly budgets: Budgets;
  /** Returns a configuration with the client secrets that only the fleet knows. */
  adopt(loaded: LoadedConfig): LoadedConfig;
  /** Call with each configuration before its tokens are opened. */
  use(loaded: LoadedConfig): void;
  /** Undefined: there is none. */
  snapshot(): FleetSnapshot | undefined;
  close(): void;
}

export interface FleetLinkOptions extends Omit<FleetOptions, 'memory'> {
  /** Reads the configuration again, after a client secret was taken over from another member. */
  readonly reload: (reason: string) => void;
}

const ALONE: TokenOrigin = {
  source: undefined,
  fetch: (own) => own(),
  refuse: () => undefined,
  subscribe: () => () => undefined,
};

interface Joined {
  readonly fleet: Fleet;
  readonly secrets: SecretFollower;
}

/** Joins the fleet of the first configuration; the connection to its store opens in the background. */
export async function openFleetLink(options: FleetLinkOptions): Promise<FleetLink> {
  const { loaded, log } = options;
  const join = loaded.config.fleet ? await loadFleet(options) : undefined;
  let settings = settingsOf(loaded);
  let joined = join?.(loaded);
  const followSecrets = ({ fleet, secrets }: Joined, next: LoadedConfig) =>
    void secrets.use(next).then(
      () => fleet.changed(),
      (error: Error) => log.error('unexpected error while the secrets of the fleet were read', { reason: error.name }),
    );
  if (joined) followSecrets(joined, loaded);
  const budgets = () => joined?.fleet.budgets ?? OWN_BUDGETS;
  return {
    budgets: {
      secondsUntilFree: (...ask) => budgets().secondsUntilFree(...ask),
      take: (owner) => budgets().take(owner),
    },
    token: (sharing) => joined?.fleet.token(sharing) ?? ALONE,
    adopt: (next) => joined?.secrets.adopt(next) ?? next,
    share: (credential, local) => joined?.secrets.share(credential, local) ?? local,
    isLeft: (credential) => joined?.secrets.isLeft(credential) ?? false,
    use(next) {
      if (settingsOf(next) !== settings) {
        settings = settingsOf(next);
        joined?.fleet.close();
        joined = next.config.fleet && join?.(next, joined);
        if (next.config.fleet && !join)
          log.warn('configuration', { problem: 'fleet is new; that takes effect at the next start' });
      }
      if (joined) followSecrets(joined, next);
    },
    snapshot: () => joined?.fleet.snapshot(),
    close: () => joined?.fleet.close(),
  };
}

async function loadFleet(options: FleetLinkOptions): Promise<(loaded: LoadedConfig, before?: Joined) => Joined> {
  const { createFleet } = await import('../fleet/fleet.ts');
  const { FleetMemory } = await import('../fleet/memory.ts');
  const { SecretFollower } = await import('./fleet/secret-follower.ts');
  const { loaded: _first, reload, ...lasting } = options;
  const { log, clock } = lasting;
  const memory = new FleetMemory();
  return (loaded, left) => {
    const fleet = createFleet({ ...lasting, loaded, memory });
    const onSecret = () => reload('new client secret of the fleet');
    const secrets = new SecretFollower({ ...fleet.access, log, clock, onSecret, before: left?.secrets });
    fleet.watch(secrets);
    return { fleet, secrets };
  };
}

function settingsOf({ config: { fleet, token }, fleetSecrets, tls }: LoadedConfig): string {
  const secrets = [fleetSecrets?.password, ...(fleetSecrets?.keys ?? [])].map((secret) =>
    secret?.digest().toString('hex'),
  );
  const files = Object.values(tls.get('fleet') ?? {}).map(String);
  return JSON.stringify([fleet, token.attemptTimeout, secrets, files]);
}
