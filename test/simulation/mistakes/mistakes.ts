/** Mistakes that a developer could make, as changes of one place in `src/`: simulation must find each. */
import { AUDIT_MISTAKES } from './audit.ts';
import { FLEET_MISTAKES } from './fleet.ts';
import { FLEET_ROTATION_MISTAKES } from './fleet-rotation.ts';
import { ISSUER_MISTAKES } from './issuer.ts';
import { OAUTH_MISTAKES } from './oauth.ts';
import { PROVISION_MISTAKES } from './provision.ts';
import { PROXY_MISTAKES } from './proxy.ts';
import { ROTATION_MISTAKES } from './rotation.ts';
import { SIDECAR_MISTAKES } from './sidecar.ts';

export interface Mistake {
  /** Only histories of a fleet can find it: `--fleets all`. */
  readonly needs?: 'fleet';
  /** From `src/`. */
  readonly file: string;
  /** Is there exactly once. */
  readonly from: string;
  readonly to: string;
}

export const MISTAKES: Readonly<Record<string, Mistake>> = {
  ...AUDIT_MISTAKES,
  ...FLEET_MISTAKES,
  ...FLEET_ROTATION_MISTAKES,
  ...ISSUER_MISTAKES,
  ...OAUTH_MISTAKES,
  ...PROVISION_MISTAKES,
  ...PROXY_MISTAKES,
  ...ROTATION_MISTAKES,
  ...SIDECAR_MISTAKES,
};
