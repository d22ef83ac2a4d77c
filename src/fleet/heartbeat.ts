/** What a member says of itself with each heartbeat: that it lives, and which client secrets it has. */
import type { FleetAccess } from './members.ts';
import type { FleetMemory } from './memory.ts';
import { GIVEN_UP_MS, type Holding } from './places.ts';
import { memberKeys, type ScriptName } from './scripts.ts';

export interface Heartbeat {
  readonly host: string;
  readonly version: string;
  /** Fingerprints of its client secrets. */
  readonly secrets: readonly string[];
  /** Absent: it does not know them yet. */
  readonly holdings?: readonly Holding[];
}

interface Voice extends Pick<FleetAccess, 'prefix' | 'sealer' | 'member'> {
  readonly memory: Pick<FleetMemory, 'hear' | 'heardWithout'>;
  run(script: ScriptName, keys: readonly string[], args: readonly string[]): Promise<unknown>;
}

/** A member that has not been heard of for this long counts as gone. */
const GONE_MS = 30_000;

/** Says that this member lives. @returns the number of live members @throws what `run` throws */
export async function sayAlive(voice: Voice, said: Heartbeat): Promise<number> {
  const { prefix, sealer, memory, member, run } = voice;
  const { host, holdings = [] } = said;
  const sealed = await sealer.seal({ name: `member ${member}`, generation: '0' }, { ...said });
  // The same after a restart, which makes it a new member: so there is one entry of each host, not of each start.
  const places = holdings.map(({ place }) => place);
  const parts = ['heard', prefix, host, ...places];
  const heard = places.length > 0 ? sealer.name(parts) : '';
  // Nobody may be able to read what it said with another key: a rotation would wait for it for a day.
  const older = said.holdings ? [...sealer.olderNames(parts), ...memory.heardWithout(sealer.keyId)] : [];
  const args = [member, `${sealer.keyId}:${sealed}`, String(GONE_MS), heard, String(GIVEN_UP_MS), ...older];
  // Before the reply, which may be late.
  if (heard !== '') memory.hear(heard, sealer.keyId);
  return Number(await run('beat', memberKeys(prefix), args));
}
