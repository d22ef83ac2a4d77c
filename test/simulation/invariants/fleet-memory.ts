/** What docs/rotation.md promises of a member that has the secret of its fleet only in memory. */
import type { Machine, SimulatedProcess } from '../platform/process.ts';
import { CLIENT } from '../world/iam/administrator.ts';
import type { StoredSecret } from '../world/iam/iam-server.ts';
import type { SidecarHost } from '../world/sidecar-host.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';
import { isLogged } from './logged.ts';

const DAY_MS = 24 * 3_600_000;
/** Heartbeats of a new process, from the second of which on it looks into the store. */
const LOOKED = 5;

interface Left {
  /** In its file. */
  readonly deleted: StoredSecret;
  readonly atMs: number;
  /** It had the new secret in memory. */
  readonly before: SimulatedProcess;
  process: SimulatedProcess | undefined;
  beats: number;
}

export const findsKept: Invariant = {
  sentence:
    'A member that has the new secret only in memory finds it in the store after a restart, within a day and until the next rotation. Excused: the store has lost data, or keys were changed.',
  watch(world, violated) {
    const inMemory = new Map<Machine, SimulatedProcess>();
    const left = new Map<SidecarHost, Left>();
    return (observation) => {
      const { iam } = world;
      if (!iam || !world.fleet) return;
      if (isLogged(observation, 'onlyInMemory')) {
        const { process } = observation;
        inMemory.set(process.machine, process);
        for (const host of left.keys()) if (host.process === process) left.delete(host);
      }
      if (observation.kind === 'secretCreated' && observation.secret.by && observation.secret.clientId === CLIENT)
        left.clear();
      if (observation.kind === 'secretDeleted' && observation.by)
        for (const host of world.hosts) {
          const { secret: deleted } = observation;
          const before = inMemory.get(host.machine);
          const isIt = deleted.clientId === CLIENT && iam.administrator.storedOn(host) === deleted.value;
          if (isIt && before && before === host.process)
            left.set(host, { deleted, atMs: world.platform.time.nowMs, before, process: undefined, beats: 0 });
        }
      if (observation.kind !== 'stored' || observation.script !== 'beat') return;
      const host = world.hosts.find(({ process }) => process && process === observation.by);
      const one = host && left.get(host);
      if (one && looksInVain(world, host, one))
        violated(`${host.process?.name} does not find what came after ${one.deleted.id}`);
    };
  },
};

function looksInVain(world: World, host: SidecarHost, one: Left): boolean {
  const { process } = host;
  if (process === one.before) return false;
  if (one.process !== process) Object.assign(one, { process, beats: 0 });
  one.beats += 1;
  const { fleet, iam, platform } = world;
  const hasChanged = iam?.administrator.storedOn(host) !== one.deleted.value;
  const isLost =
    (fleet?.store.lost.at ?? 0) > one.atMs || (fleet?.keysChangedAt ?? 0) > one.atMs || fleet?.isKeyChanging;
  return one.beats === LOOKED && !hasChanged && !isLost && platform.time.nowMs - one.atMs < DAY_MS;
}
