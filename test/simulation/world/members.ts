/** Hosts that come to a fleet later, that leave it for ever, and that are not as the others for days. */
import type { Observation } from './observation.ts';
import type { SidecarHost } from './sidecar-host.ts';
import type { World } from './world.ts';

/** What is different about one host: of its configuration, or its secret file. */
export type Difference = 'key' | 'prefix' | 'scope' | 'secret';

/** When the store has carried out a script so often for a host. */
interface Moment {
  readonly script: string;
  readonly times: number;
}

/** The moment after which a host is never seen again. */
export interface Departure extends Moment {
  readonly afterMs: number;
  /** When that does not come, it leaves anyway. */
  readonly patienceMs: number;
}

export class Members {
  readonly #world: World;
  readonly #departures = new Map<SidecarHost, Departure>();
  /** What comes after a moment, and how often the store has carried its script out. */
  readonly #awaited = new Map<SidecarHost, Moment & { readonly act: () => void; count: number }>();
  readonly #gone = new Set<SidecarHost>();
  readonly #differing = new Map<SidecarHost, Difference>();

  constructor(world: World) {
    this.#world = world;
  }

  /** A host is gone for ever. */
  get hasLostOne(): boolean {
    return this.#gone.size > 0;
  }

  /** A new host; or a copy of another one, files and name, which does not know that it is one. */
  join(host: SidecarHost, original: SidecarHost | undefined): void {
    const world = this.#world;
    if (host.isHere || this.#gone.has(host)) return;
    if (original) {
      host.machine.hostname = original.machine.hostname;
      host.machine.offsetMs = original.machine.offsetMs;
    }
    world.fleet?.admit(host, original);
    host.isHere = true;
    world.changeHosts();
    world.operator.equip(host);
    world.iam?.administrator.equip(host, original);
    host.start();
    world.erpOf(world.everyHost.indexOf(host)).work();
  }

  /** As SIGKILL, and nobody starts it again. */
  leaveAfter(host: SidecarHost, departure: Departure): void {
    if (!host.isHere || host === this.#world.sidecar) return;
    this.#departures.set(host, departure);
    const { time } = this.#world.platform;
    const leave = () => time.after(departure.afterMs, time.kernel, () => this.#leave(host));
    this.#awaited.set(host, { ...departure, act: leave, count: 0 });
    time.after(departure.patienceMs, time.kernel, () => this.#leave(host));
  }

  /** As a laptop that is closed: before the host gets the store's reply. @param wakesAt true ms */
  sleepAfter(host: SidecarHost, moment: Moment, wakesAt: number): void {
    const { time } = this.#world.platform;
    const sleep = () => {
      this.#world.trace('host', `${host.name} falls asleep`);
      time.suspend(host.machine, wakesAt - time.nowMs);
    };
    this.#awaited.set(host, { ...moment, act: () => time.after(0, time.kernel, sleep), count: 0 });
  }

  observe(observation: Observation): void {
    if (observation.kind !== 'stored' || this.#awaited.size === 0) return;
    const { script, by } = observation;
    const awaited = [...this.#awaited].find(([{ machine }, one]) => machine === by?.machine && one.script === script);
    if (!awaited) return;
    const [, moment] = awaited;
    moment.count += 1;
    if (moment.count === moment.times) moment.act();
  }

  /** One host gets something else than the others, which somebody notices days later. */
  differ(
    host: SidecarHost,
    difference: Difference,
    { lastsMs, isRestarted }: { lastsMs: number; isRestarted: boolean },
  ) {
    const world = this.#world;
    const { time } = world.platform;
    if (!host.isHere || this.#differing.size > 0 || world.fleet?.isKeyChanging) return;
    this.#differing.set(host, difference);
    this.#write(host, difference);
    const restart = () => isRestarted && world.apply('process.restart', { host: world.everyHost.indexOf(host) });
    restart();
    time.after(lastsMs, world.process('operator', host.machine), () => {
      if (!this.#differing.delete(host)) return;
      this.#putRight(host, difference);
      restart();
    });
  }

  /** Whether the configuration of a host has a difference of this kind. */
  hasDifferent(difference: Difference, host: SidecarHost): boolean {
    return this.#differing.get(host) === difference;
  }

  /** Nobody leaves any more, and all are as they should be. */
  repair(): void {
    this.#departures.clear();
    this.#awaited.clear();
    const differing = [...this.#differing];
    this.#differing.clear();
    for (const [host, difference] of differing) this.#putRight(host, difference);
  }

  #leave(host: SidecarHost): void {
    const world = this.#world;
    if (!this.#departures.delete(host)) return;
    world.trace('host', `${host.name} is gone for ever`);
    this.#awaited.delete(host);
    this.#gone.add(host);
    this.#differing.delete(host);
    host.isHere = false;
    world.erpOf(world.everyHost.indexOf(host)).rest();
    host.kill();
    world.iam?.runs.killAll(host);
    world.changeHosts();
  }

  #write(host: SidecarHost, difference: Difference): void {
    const { fleet, operator, scopes } = this.#world;
    this.#world.trace('operator', `host ${host.name} gets another ${difference}`);
    this.#world.observe({ kind: 'happens', name: 'operator.differs', args: {} });
    if (difference === 'key') fleet?.separate(host, true);
    else if (difference === 'prefix') fleet?.separate(host, false);
    else if (difference === 'scope') scopes.grantOther();
    if (difference === 'secret') operator.storeFormerSecret(host);
    else operator.write(host);
  }

  #putRight(host: SidecarHost, difference: Difference): void {
    const { fleet, operator } = this.#world;
    if (!host.isHere) return;
    this.#world.trace('operator', `host ${host.name} gets the right ${difference}`);
    this.#world.observe({ kind: 'happens', name: 'operator.differs', args: {} });
    if (difference === 'key' || difference === 'prefix') fleet?.unite(host);
    if (difference === 'secret') operator.equip(host);
    else operator.write(host);
  }
}
