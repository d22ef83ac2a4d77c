/**
 * What a process finds around itself, simulated: time, random numbers, network, disk. `installPlatform` replaces Node's
 * modules and globals once, before any module of the product is loaded; `usePlatform` makes a fresh platform for each history.
 */
import { type Chance, chance } from '../../support/seeded.ts';
import { Disk } from './disk.ts';
import { Network } from './network.ts';
import { currentProcess, type SimulatedProcess } from './process.ts';
import { VirtualTime } from './virtual-time.ts';

export interface Platform {
  readonly time: VirtualTime;
  readonly network: Network;
  readonly disk: Disk;
  /** Random numbers of the product; the world has its own, so that it does not change with the product. */
  readonly random: Chance;
  readonly trace: Trace;
  /** Calls `release` when the history is over: for what would stay for ever otherwise. */
  atEnd(release: () => void): void;
  end(): void;
}

/** Notes what happened. */
export type Trace = (who: string, what: string) => void;

let current: Platform | undefined;

/** Everything simulated refers to a new platform from now on. */
export function usePlatform(seed: number, startedAt: number, trace: Trace): Platform {
  const time = new VirtualTime(startedAt);
  const network = new Network(time, chance(seed, 'network'));
  const disk = new Disk(time, chance(seed, 'disk'));
  const releases: (() => void)[] = [];
  current = {
    ...{ time, network, disk, random: chance(seed, 'random'), trace },
    atEnd: (release) => void releases.push(release),
    end() {
      for (const release of releases.splice(0)) release();
    },
  };
  return current;
}

/** The platform in use. @throws Error before the first */
export function platform(): Platform {
  if (current === undefined) throw new Error('no platform is in use yet');
  return current;
}

export function isSimulated(): boolean {
  return current !== undefined;
}

/** The process whose code runs; the kernel outside of all. */
export function self(): SimulatedProcess {
  return currentProcess() ?? platform().time.kernel;
}
