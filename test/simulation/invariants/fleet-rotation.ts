/** What docs/rotation.md promises of a fleet whose members share one secret. */
import type { Machine } from '../platform/process.ts';
import { CLIENT } from '../world/iam/administrator.ts';
import type { StoredSecret } from '../world/iam/iam-server.ts';
import type { Observation } from '../world/observation.ts';
import type { SidecarHost } from '../world/sidecar-host.ts';
import type { World } from '../world/world.ts';
import type { Invariant } from './invariants.ts';
import { isLogged } from './logged.ts';
import { msOf } from './rotation.ts';

const DAY_MS = 24 * 3_600_000;
/** From a change of a file until the store has heard of it: the reload, and a heartbeat. */
const TOLD_MS = 15_000;
/** A member that is not heard of for so long is silent; so long members wait after the store has lost everything. */
const COMPLETE_MS = 30_000;
/** Among the words of a heartbeat, after five keys: whose last words they are; empty before the member knows its secrets. */
const HEARD_WORD = 8;

/** When the store heard of each host's secrets, true ms. */
class Heard {
  readonly #first = new Map<Machine, number>();
  readonly #last = new Map<Machine, number>();
  /** As `#last`, but not lost with the store. */
  readonly #spokenAt = new Map<Machine, number>();
  #lostAt = Number.NEGATIVE_INFINITY;
  /** Those that were not silent when the store lost everything. */
  #known = new Set<Machine>();
  /** The first heartbeat since the store lost everything, true ms. */
  #sinceMs = Number.NEGATIVE_INFINITY;

  observe(world: World, observation: Observation): void {
    if (observation.kind !== 'stored' || observation.script !== 'beat') return;
    this.#forget(world);
    const { by, words } = observation;
    const { nowMs } = world.platform.time;
    this.#sinceMs = Math.min(this.#sinceMs, nowMs);
    if (!by || !words[HEARD_WORD]) return;
    this.#first.set(by.machine, this.#first.get(by.machine) ?? nowMs);
    this.#last.set(by.machine, nowMs);
    this.#spokenAt.set(by.machine, nowMs);
  }

  /** Whether the store knows what this host said last, and it is not older than a day. */
  counts(world: World, { machine }: SidecarHost): boolean {
    this.#forget(world);
    const { nowMs } = world.platform.time;
    // So long the members wait for what the others have to say.
    if (this.#known.has(machine) && nowMs < this.#sinceMs + COMPLETE_MS) return true;
    return nowMs - (this.#last.get(machine) ?? Number.NEGATIVE_INFINITY) < DAY_MS;
  }

  #forget({ fleet }: World): void {
    const { at, since } = fleet?.store.lost ?? { at: this.#lostAt, since: 0 };
    if (at === this.#lostAt) return;
    this.#lostAt = at;
    if (since === Number.NEGATIVE_INFINITY) {
      this.#sinceMs = Number.POSITIVE_INFINITY;
      this.#known = new Set([...this.#spokenAt].flatMap(([machine, last]) => (at - last < COMPLETE_MS ? machine : [])));
    }
    for (const [machine, last] of this.#last) {
      if (last < since) continue;
      // An older one than the lost one is still there.
      if ((this.#first.get(machine) ?? since) < since) this.#last.set(machine, since);
      else {
        this.#last.delete(machine);
        this.#first.delete(machine);
      }
    }
  }
}

export const keepsNeeded: Invariant = {
  sentence:
    'No rotation of a fleet deletes a secret that the file of a host needs. Excused: a host that the store has not heard of for a day, or that was silent when it lost everything and since; a file that people changed a moment ago; a host that has the new one in memory.',
  watch(world, violated) {
    const heard = new Heard();
    const byHand = new Map<SidecarHost, number>();
    const inMemory = new Set<Machine>();
    return (observation) => {
      const { iam } = world;
      if (!iam || !world.fleet) return;
      const { nowMs } = world.platform.time;
      heard.observe(world, observation);
      if (observation.kind === 'storedByHand')
        for (const host of world.hosts)
          if (iam.administrator.storedOn(host) === observation.value) byHand.set(host, nowMs);
      if (isLogged(observation, 'onlyInMemory')) inMemory.add(observation.process.machine);
      if (observation.kind !== 'secretDeleted' || !observation.by) return;
      const { secret, by } = observation;
      const excuseFor = (host: SidecarHost) => {
        if (nowMs - (byHand.get(host) ?? Number.NEGATIVE_INFINITY) < TOLD_MS) return 'a file just changed by hand';
        if (inMemory.has(host.machine)) return 'a secret only in memory';
        return heard.counts(world, host) ? undefined : 'a host that is not heard of';
      };
      for (const host of world.hosts.filter((one) => needs(world, one, secret))) {
        const why = excuseFor(host);
        if (why) world.observe({ kind: 'excused', why });
        else violated(`${by.name} deletes ${secret.id}, which host ${host.name} needs`);
      }
    };
  },
};

function needs({ iam, platform }: World, host: SidecarHost, { value, clientId, expiresAt }: StoredSecret): boolean {
  if (!iam || clientId !== CLIENT || iam.administrator.storedOn(host) !== value) return false;
  if (platform.time.nowMs >= expiresAt) return false;
  return !iam.server.secretsOf(CLIENT).some((other) => other.value === value && iam.server.isLive(other));
}

export const overlapsInFleet: Invariant = {
  sentence:
    'A fleet deletes the secret that was replaced only `overlap` after the first member has stored the new one, however wrong the clocks of its members are.',
  watch(world, violated) {
    const stored = new Map<SidecarHost, string | undefined>();
    const replacedAt = new Map<string, number>();
    return (observation) => {
      const { iam } = world;
      if (!iam || !world.fleet) return;
      for (const host of world.hosts) {
        const now = iam.administrator.storedOn(host);
        const before = stored.get(host);
        const changedAt = world.platform.disk.find(host.secretFile).changedMs;
        if (before === now) continue;
        // Put back by hand, it is replaced anew.
        if (now !== undefined) replacedAt.delete(now);
        if (before !== undefined) replacedAt.set(before, Math.min(changedAt, replacedAt.get(before) ?? changedAt));
        stored.set(host, now);
      }
      if (observation.kind !== 'secretDeleted' || !observation.by) return;
      const { secret, by } = observation;
      const { nowMs } = world.platform.time;
      const keptMs = nowMs - (replacedAt.get(secret.value) ?? Number.NEGATIVE_INFINITY);
      // A timer counts in whole ms.
      if (nowMs < secret.expiresAt && keptMs < msOf(iam.part.overlap) - 1)
        violated(`${by.name} deletes ${secret.id} after ${Math.round(keptMs)} ms`);
    };
  },
};

export const endsWithOne: Invariant = {
  sentence:
    'After the last rotation every member of the fleet has the same secret in its file, and it is the one in IAM.',
  watch: (world, violated) => (observation) => {
    const { iam } = world;
    if (observation.kind !== 'rotatedLast' || !observation.hasRotated || !iam || !world.fleet) return;
    const values = new Set(world.hosts.map((host) => iam.administrator.storedOn(host)));
    if (values.size > 1) violated(`they have ${[...values].join(', ')}`);
    const [value] = values;
    if (!iam.server.secretsOf(CLIENT).some((secret) => secret.value === value && iam.server.isLive(secret)))
      violated(`${value} does not work`);
  },
};
