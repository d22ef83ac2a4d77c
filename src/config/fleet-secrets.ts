/** Reads what a member of a fleet needs for the store: its password, and the keys that seal what is in it. */
import type { Secret } from '../core/secret.ts';
import type { ValidParts } from './rules.ts';
import { readSecret, type SecretContext } from './secret-files.ts';

export interface FleetSecrets {
  readonly password: Secret | undefined;
  /** The first one seals, all open. */
  readonly keys: readonly Secret[];
}

/** 256 bits in base64url, as `fleet key` prints them. */
const FLEET_KEY = /^[A-Za-z0-9_-]{43}$/;
const NO_KEY = 'must be a key from `aritma-sidecar fleet key`: 43 letters, digits, - and _';

/** Returns undefined without a fleet. Reports what is not usable. */
export function loadFleetSecrets(fleet: ValidParts['fleet'], context: SecretContext): FleetSecrets | undefined {
  if (!fleet) return undefined;
  const read = (source: Parameters<typeof readSecret>[0], at: readonly PropertyKey[]) => {
    const { value, problem } = readSecret(source, context);
    if (!value) context.report(['fleet', ...at], problem);
    return value;
  };
  const keys = fleet.keys.flatMap((source, index) => {
    const key = read(source, ['keys', index]);
    if (key && !key.matches(FLEET_KEY)) context.report(['fleet', 'keys', index], NO_KEY);
    return key ?? [];
  });
  return { password: fleet.password && read(fleet.password, ['password']), keys };
}
