/** Rotations of a fleet under bad circumstances: each goes on for minutes, in a stretch of its own. */
import { msOf } from '../invariants/rotation.ts';
import { calm, later, when } from './rare-fleet-kinds.ts';
import type { SidecarHost } from './sidecar-host.ts';
import { STORE } from './store.ts';
import type { Args, Kind, World } from './world.ts';

/** A stretch, from and to, ms since the beginning of the first one. */
type Span = readonly [from: number, to: number];

export interface RotationKind extends Kind {
  readonly spans: readonly Span[];
}

const MINUTE = 60_000;
/** Until the store has been there for so long that a rotation may begin. */
const READY_MS = 35_000;
const TRY_MS = 4000;
const LONGEST_MS = 3 * MINUTE;
/** Longer than the words of a silent host count. */
const SILENCE_MS = 25 * 60 * MINUTE;
/** The journal is written as creating, as created and as verified. */
const VERIFIED = 3;

interface Cast {
  readonly rotating: SidecarHost;
  readonly other: SidecarHost;
  /** True ms. */
  readonly begunAt: number;
}

/** @param play begins when a rotation is over for which all were there */
function kind(spans: readonly Span[], play: (world: World, cast: Cast) => void): RotationKind {
  const apply = (world: World, { host }: Args) => {
    const rotating = world.hosts.find((one) => one === world.hostOf(host)) ?? world.sidecar;
    const other = world.hosts.find((one) => one !== rotating);
    const begunAt = world.platform.time.nowMs;
    calm(world);
    later(world, READY_MS, () => rotate(world, rotating, () => other && play(world, { rotating, other, begunAt })));
  };
  return { weight: 0, needs: 'fleet', isElsewhere: true, spans, draw: () => ({}), apply };
}

export const ROTATION_KINDS: Readonly<Record<string, RotationKind>> = {
  /** One member is cut off from the store for longer than it counts as live: it still needs the old secret. */
  'rotation.withoutOne': kind([[0, 7 * MINUTE]], (world, { rotating, other }) => {
    cutOff(world, [other], LONGEST_MS);
    later(world, 1000, () => rotate(world, rotating));
  }),
  /** As before, and it has said with a wrong key what it needs: nobody can read it. */
  'rotation.withoutOneOfOtherKey': kind([[0, 8 * MINUTE]], (world, { rotating, other }) => {
    const forget = () => world.fleet?.store.wipe();
    world.members.differ(other, 'key', { lastsMs: 4 * MINUTE, isRestarted: true });
    // What it said with the right key.
    later(world, 12_000, forget);
    later(world, 35_000, () => cutOff(world, [other], LONGEST_MS));
    later(world, 50_000, () => rotate(world, rotating));
    // What it said with the wrong key would count for a day.
    later(world, 4.5 * MINUTE, forget);
  }),
  /** The folder of one member can only be read: it has the new secret in memory when all others are done, and restarts. */
  'rotation.inMemory': kind([[0, 6 * MINUTE]], (world, { rotating, other }) => {
    world.platform.disk.readOnly.add(other.folder);
    rotate(world, rotating, () => other.restart());
  }),
  /** The store loses everything, and the first member that is there again knows nothing of the rotation under way. */
  'rotation.unknownToOne': kind([[0, 6 * MINUTE]], (world, { rotating, other }) => {
    const { fleet, iam, platform } = world;
    const isPromoted = () => iam?.administrator.journal?.attempt?.phase === 'promoted';
    platform.network.block(STORE, other.machine);
    rotate(world, rotating);
    when(world, isPromoted, () => {
      cutOff(
        world,
        world.hosts.filter((host) => host !== other),
        20_000,
      );
      fleet?.store.wipe();
      platform.network.unblock(STORE, other.machine);
      // A request of the other one that waited for the store has taken the lease.
      later(world, 1000, () => fleet?.store.wipe());
      for (let afterMs = 2000; afterMs < 20_000; afterMs += 2000)
        later(world, afterMs, () => iam?.runs.rotate({ host: other }));
    });
  }),
  /** A host falls asleep just before it stores the new secret; when it wakes, others have deleted that one, too. */
  'rotation.overslept': kind(
    [
      [0, 5 * MINUTE],
      [SILENCE_MS, SILENCE_MS + 10 * MINUTE],
    ],
    (world, { rotating, other, begunAt }) => {
      // While the first host sleeps for longer, the others would be awake all day.
      const [sleeping, awake] = rotating === world.sidecar ? [other, rotating] : [rotating, other];
      const othersMs = begunAt + SILENCE_MS - world.platform.time.nowMs;
      const wakesAt = begunAt + SILENCE_MS + 3 * MINUTE + 2 * msOf(world.iam?.part.overlap ?? '');
      world.members.sleepAfter(sleeping, { script: 'note', times: VERIFIED }, wakesAt);
      rotate(world, sleeping);
      later(world, othersMs + READY_MS, () => rotate(world, awake, () => rotate(world, awake)));
    },
  ),
};

/** By hand, again and again until it is done. */
function rotate(world: World, host: SidecarHost, then: () => void = () => undefined, leftMs = LONGEST_MS): void {
  const again = (isDone: boolean) => {
    if (isDone) then();
    else if (leftMs > 0) later(world, TRY_MS, () => rotate(world, host, then, leftMs - TRY_MS));
  };
  world.iam?.runs.rotate({ host, onEnd: again });
}

function cutOff(world: World, hosts: readonly SidecarHost[], ms: number): void {
  const { network } = world.platform;
  for (const { machine } of hosts) {
    network.block(STORE, machine);
    later(world, ms, () => network.unblock(STORE, machine));
  }
}
