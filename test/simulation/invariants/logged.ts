/** Log lines that invariants look for, in the words of `src/`. A test finds them there: a renamed one would excuse everything in silence. */
import type { Observation } from '../world/observation.ts';

export const LOGGED = {
  reloaded: 'configuration reloaded',
  obtained: 'token obtained',
  storeUsable: 'fleet store usable',
  storeUnusable: 'fleet store not usable, each sidecar fetches its own tokens',
  onlyInMemory: 'new client secret of the fleet taken over, but only in memory',
  auditFails: 'the audit log cannot be written',
  auditWorks: 'the audit log can be written again',
} as const;

type Logged = Extract<Observation, { kind: 'log' }>;

/** Whether a process logs just this. */
export function isLogged(observation: Observation, which: keyof typeof LOGGED): observation is Logged {
  return observation.kind === 'log' && observation.line['message'] === LOGGED[which];
}
