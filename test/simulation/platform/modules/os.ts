/** Each simulated machine has a name of its own. */
export * from 'node:os';

import { hostname as realName } from 'node:os';
import { isSimulated, self } from '../platform.ts';

export function hostname(): string {
  return isSimulated() ? self().machine.name.replaceAll(' ', '-') : realName();
}
