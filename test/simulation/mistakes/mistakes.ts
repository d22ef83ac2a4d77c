/** Mistakes that a developer could make, as changes of one place in `src/`: simulation must find each. */
import { OAUTH_MISTAKES } from './oauth.ts';
import { PROXY_MISTAKES } from './proxy.ts';
import { ROTATION_MISTAKES } from './rotation.ts';
import { SIDECAR_MISTAKES } from './sidecar.ts';

export interface Mistake {
  /** In `src/`. */
  readonly file: string;
  /** Is there exactly once. */
  readonly from: string;
  readonly to: string;
}

export const MISTAKES: Readonly<Record<string, Mistake>> = {
  ...OAUTH_MISTAKES,
  ...PROXY_MISTAKES,
  ...ROTATION_MISTAKES,
  ...SIDECAR_MISTAKES,
};
