/** What the doctor says of a fleet's store, without the rest of a configuration that can be wrong. */
import { randomBytes } from 'node:crypto';
import { fleetFindings } from '../../src/check/fleet.ts';
import { loadConfig } from '../../src/config/load.ts';
import { STORE_PASSWORD } from './fleet-acl.ts';
import { createFolder } from './folder.ts';

export const newFleetKey = () => randomBytes(32).toString('base64url');

export interface FleetSettings {
  readonly url?: string;
  readonly keys?: readonly string[];
  readonly password?: string;
  /** Further options of `fleet`. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** A configuration of nothing but a fleet and one credential. */
export function loadFleet({ url, keys = [newFleetKey()], password = STORE_PASSWORD, more }: FleetSettings) {
  using folder = createFolder();
  const secret = folder.write('secret', 'CANARY-client-secret-4711');
  const fleet = {
    ...(url !== undefined && { url }),
    ...(password !== '' && { password: { file: folder.write('password', password) } }),
    keys: keys.map((key, index) => ({ file: folder.write(`key-${index}`, key) })),
    ...more,
  };
  const document = {
    environment: 'emulator',
    credentials: { default: { clientId: 'planted-client', secrets: [{ file: secret }] } },
    fleet,
  };
  return loadConfig({ document, env: {}, cwd: folder.path });
}

/** Cause, or message of what is right, of each finding. */
export async function diagnoseFleet(settings: FleetSettings): Promise<string[]> {
  const findings = await fleetFindings(loadFleet(settings));
  return findings.map(({ level, cause, message, fix }) => (level === 'ok' ? message : `${cause}: ${message} → ${fix}`));
}
