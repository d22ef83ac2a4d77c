/**
 * The fleet, if one is configured: without it no code of it is loaded, and each token comes from the identity server. After a
 * reload with other settings the fleet is left, and joined anew.
 */
import type { LoadedConfig } from '../config/load.ts';
import type { Fleet, FleetOptions, FleetSnapshot, Sharing, TokenOrigin } from '../fleet/fleet.ts';

export interface FleetLink {
  token(sharing: Sharing): TokenOrigin;
  /** Call with each configuration before its tokens are opened. */
  use(loaded: LoadedConfig): void;
  /** Undefined: there is none. */
  snapshot(): FleetSnapshot | undefined;
  close(): void;
}

const ALONE: TokenOrigin = {
  source: undefined,
  fetch: (own) => own(),
  subscribe: () => () => undefined,
};

/** Joins the fleet of the first configuration; the connection to its store opens in the background. */
export async function openFleetLink(options: FleetOptions): Promise<FleetLink> {
  const { loaded, log } = options;
  const { createFleet = undefined } = loaded.config.fleet ? await import('../fleet/fleet.ts') : {};
  let settings = settingsOf(loaded);
  let fleet: Fleet | undefined = createFleet?.(options);
  return {
    token: (sharing) => fleet?.token(sharing) ?? ALONE,
    use(next) {
      if (settingsOf(next) === settings) return;
      settings = settingsOf(next);
      fleet?.close();
      fleet = next.config.fleet && createFleet?.({ ...options, loaded: next });
      if (next.config.fleet && !createFleet)
        log.warn('configuration', { problem: 'fleet is new; that takes effect at the next start' });
    },
    snapshot: () => fleet?.snapshot(),
    close: () => fleet?.close(),
  };
}

function settingsOf({ config: { fleet, token }, fleetSecrets, tls }: LoadedConfig): string {
  const secrets = [fleetSecrets?.password, ...(fleetSecrets?.keys ?? [])].map((secret) =>
    secret?.digest().toString('hex'),
  );
  const files = Object.values(tls.get('fleet') ?? {}).map(String);
  return JSON.stringify([fleet, token.attemptTimeout, secrets, files]);
}
