/** The secrets of a fleet for a program that is no member: `rotate` from a terminal or a timer. */
import { randomBytes } from 'node:crypto';
import type { LoadedConfig } from '../../config/load.ts';
import { systemClock } from '../../core/clock.ts';
import { SidecarError } from '../../core/errors.ts';
import { openInspection } from '../../fleet/inspection.ts';
import { createSealer } from '../../fleet/seal.ts';
import { faultOf } from '../../fleet/store-fault.ts';
import type { SecretStore } from '../../iam/rotation/store.ts';
import { SharedSecret, secretParts } from './shared-secret.ts';

export interface FleetSecrets extends Disposable {
  /** Returns the store that the members have in common; `local` is where this machine keeps the secret. */
  share(credential: string, local: SecretStore): SecretStore;
}

/** Connects once; `loaded` must have `fleet`. @throws SidecarError ROTATION_STORE_FAILED */
export async function openFleetSecrets(loaded: LoadedConfig): Promise<FleetSecrets> {
  const store = await openInspection(loaded).catch(storeFailed);
  const options = {
    prefix: store.prefix,
    run: (...command: Parameters<typeof store.run>) => store.run(...command).catch(storeFailed),
    sealer: createSealer(loaded.fleetSecrets?.keys ?? []),
    clock: systemClock,
    channel: `${store.prefix}:news`,
    member: randomBytes(8).toString('hex'),
  };
  return {
    share(credential, local) {
      const settings = loaded.config.credentials[credential];
      return settings ? new SharedSecret({ ...options, parts: secretParts(settings) }).share(local) : local;
    },
    [Symbol.dispose]: () => store[Symbol.dispose](),
  };
}

function storeFailed(error: unknown): never {
  throw new SidecarError('ROTATION_STORE_FAILED', { fields: { reason: faultOf(error).message } });
}
