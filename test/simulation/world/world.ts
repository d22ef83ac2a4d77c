/**
 * Everything around the sidecar, put together: one object for each part, and the events that can happen to it. A new part is a
 * file here, a field of `World`, and its kinds in `KINDS`.
 */
import type { Chance } from '../../support/seeded.ts';
import type { Stamp } from '../platform/network.ts';
import type { Platform } from '../platform/platform.ts';
import { Machine, SimulatedProcess } from '../platform/process.ts';
import { AuditFolder } from './audit.ts';
import { ERP_KINDS, Erp } from './erp.ts';
import { FILE_KINDS } from './file-kinds.ts';
import { Fleet } from './fleet.ts';
import { FLEET_BUDGET_KINDS } from './fleet-budget-kinds.ts';
import { FLEET_KINDS } from './fleet-kinds.ts';
import { FLEET_IAM_KINDS } from './iam/fleet-iam-kinds.ts';
import { IAM_KINDS, Iam } from './iam/iam.ts';
import { IDENTITY, IDENTITY_KINDS, IdentityServer } from './identity-server.ts';
import { Issuer } from './issuer.ts';
import { ISSUER_KINDS } from './issuer-kinds.ts';
import { MACHINE_KINDS } from './machine-kinds.ts';
import { MEMBER_KINDS } from './member-kinds.ts';
import { Members } from './members.ts';
import type { Observation } from './observation.ts';
import { OPERATOR_KINDS, Operator } from './operator.ts';
import type { MonthEndPart, Parts } from './parts.ts';
import { RARE_KINDS } from './rare-kinds.ts';
import { REFUSAL_KINDS } from './refusals.ts';
import { ROTATION_KINDS } from './rotation-kinds.ts';
import { SCOPE_KINDS, Scopes } from './scopes.ts';
import { SidecarHost } from './sidecar-host.ts';
import { endDrops, SILENT_KINDS } from './silent-kinds.ts';
import { LONG_STORAGE_KINDS, STORAGE_KINDS } from './storage-kinds.ts';
import { UNDER_WAY_KINDS } from './under-way-kinds.ts';
import { UPSTREAM_KINDS, Upstream } from './upstream.ts';

export type Args = Readonly<Record<string, number | string>>;

/** A kind of event. */
export interface Kind {
  /** How often it happens, compared with the others. */
  readonly weight: number;
  /** Only in a world that has this part. */
  readonly needs?: 'fleet';
  /** It happens also while the machine of the sidecar sleeps. */
  readonly isElsewhere?: true;
  draw(chance: Chance): Args;
  apply(world: World, args: Args): void;
}

/** All kinds of events, by name. */
export const KINDS: Readonly<Record<string, Kind>> = {
  ...IDENTITY_KINDS,
  ...UPSTREAM_KINDS,
  ...REFUSAL_KINDS,
  ...MACHINE_KINDS,
  ...OPERATOR_KINDS,
  ...ERP_KINDS,
  ...FLEET_KINDS,
  // Drawn for the worlds that have these parts: see `drawHistory`.
  ...unweighted(IAM_KINDS),
  ...unweighted(STORAGE_KINDS),
  ...unweighted(FLEET_IAM_KINDS),
  ...unweighted(FLEET_BUDGET_KINDS),
  // Drawn by additions.
  ...unweighted(FILE_KINDS),
  ...unweighted(ISSUER_KINDS),
  ...unweighted(SCOPE_KINDS),
  ...unweighted(LONG_STORAGE_KINDS),
  ...unweighted(SILENT_KINDS),
  ...unweighted(UNDER_WAY_KINDS),
  ...unweighted(MEMBER_KINDS),
  // Drawn by `withRotations`.
  ...ROTATION_KINDS,
  // Drawn by `withRare`.
  ...RARE_KINDS,
};

/** Those that can happen to a single host. */
export const KINDS_OF_ONE: Readonly<Record<string, Kind>> = Object.fromEntries(
  Object.entries(KINDS).filter(([, { needs }]) => needs === undefined),
);

function unweighted(kinds: Readonly<Record<string, Kind>>): Record<string, Kind> {
  return Object.fromEntries(Object.entries(kinds).map(([name, kind]) => [name, { ...kind, weight: 0 }]));
}

/** What a history says of its world. */
export interface Size {
  readonly tokenLifetimeS: number;
  readonly parts: Parts;
  /** Hosts with a sidecar each: more than one are a fleet. */
  readonly members: number;
  /** The one of them that is not there before it joins. */
  readonly latecomer?: number;
  /** How far the clock of each host is ahead at the beginning. */
  readonly clocksMs?: readonly number[];
}

export class World {
  readonly platform: Platform;
  readonly observe: (observation: Observation) => void;
  readonly sidecar: SidecarHost;
  /** Those that are there; the first one is `sidecar`. */
  hosts: readonly SidecarHost[];
  /** Also those that have not joined yet, or are gone. */
  readonly everyHost: readonly SidecarHost[];
  readonly members: Members;
  /** Undefined for a single host. */
  readonly fleet: Fleet | undefined;
  readonly identity: IdentityServer;
  readonly upstream: Upstream;
  readonly scopes: Scopes;
  readonly operator: Operator;
  readonly erp: Erp;
  /** One on each host that is there; the first one is `erp`. */
  erps: readonly Erp[];
  readonly #everyErp: readonly Erp[];
  readonly iam: Iam | undefined;
  readonly audit: AuditFolder | undefined;
  /** Requests per minute. */
  readonly budget: number | undefined;
  /** Undefined where the turn of a month is as any day. */
  readonly monthEnd: MonthEndPart | undefined;
  /** Undefined where the configuration names the token endpoint. */
  readonly issuer: Issuer | undefined;
  readonly #servers = new Machine('servers');

  constructor(
    platform: Platform,
    { tokenLifetimeS, parts, members, latecomer, clocksMs = [] }: Size,
    observe: (observation: Observation) => void,
  ) {
    this.platform = platform;
    this.members = new Members(this);
    this.observe = (observation) => {
      observe(observation);
      this.members.observe(observation);
    };
    this.sidecar = new SidecarHost(this);
    const others = Array.from({ length: members - 1 }, (_one, index) => new SidecarHost(this, String(index + 2)));
    this.budget = parts.budget;
    this.monthEnd = parts.monthEnd;
    this.everyHost = [this.sidecar, ...others];
    for (const [index, host] of this.everyHost.entries()) {
      host.isHere = index !== latecomer;
      host.machine.offsetMs = clocksMs[index] ?? 0;
    }
    this.hosts = this.everyHost.filter(({ isHere }) => isHere);
    this.fleet = members > 1 ? new Fleet(this) : undefined;
    this.issuer = parts.issuer && new Issuer(this, parts.issuer);
    this.scopes = new Scopes(this);
    this.identity = new IdentityServer(this, tokenLifetimeS);
    this.upstream = new Upstream(this);
    this.audit = parts.audit && new AuditFolder(this, parts.audit);
    this.iam = parts.iam && new Iam(this, parts.iam);
    this.operator = new Operator(this);
    this.iam?.begin();
    this.erp = new Erp(this, this.sidecar);
    this.#everyErp = [this.erp, ...others.map((host) => new Erp(this, host))];
    this.erps = this.#everyErp;
    this.changeHosts();
  }

  get trace(): Platform['trace'] {
    return this.platform.trace;
  }

  /** @param index from the arguments of a happening; absent: the first */
  hostOf(index: Args[string] | undefined): SidecarHost {
    return this.everyHost[Number(index ?? 0)] ?? this.sidecar;
  }

  erpOf(index: Args[string] | undefined): Erp {
    return this.#everyErp[Number(index ?? 0)] ?? this.erp;
  }

  /** Call it when one has come or gone. */
  changeHosts(): void {
    this.hosts = this.everyHost.filter(({ isHere }) => isHere);
    this.erps = this.#everyErp.filter((_erp, index) => this.everyHost[index]?.isHere);
  }

  /** When an attempt was sent. */
  calledAt(id: string, attempt: string): Stamp | undefined {
    return this.#everyErp.map((erp) => erp.calledAt(id, attempt)).find((stamp) => stamp);
  }

  /** A new process; servers have a machine with a right clock. */
  process(name: string, machine = this.#servers): SimulatedProcess {
    return new SimulatedProcess(name, machine);
  }

  /** Lets an event happen: at once, or when the machine on which it happens is awake. */
  apply(name: string, args: Args): void {
    const kind = KINDS[name];
    const { time } = this.platform;
    const happen = () => {
      this.trace('history', `${name} ${JSON.stringify(args)}`);
      this.observe({ kind: 'happens', name, args });
      kind?.apply(this, args);
    };
    const { machine } = this.hostOf(args['host']);
    const isAsleep = machine.asleepUntil > time.nowMs;
    if (isAsleep && !kind?.isElsewhere) time.after(0, this.process('history', machine), happen);
    else happen();
  }

  /** A new token has to be had, and the clock to be right: a token is verified by it. */
  #repairIssuer(issuer: Issuer): void {
    issuer.repair();
    this.identity.revokeAll();
    for (const { machine } of this.hosts) {
      machine.setDrift(this.platform.time.nowMs, 0);
      machine.offsetMs = 0;
    }
  }

  /** The last fault is over: everything works, and the files are right. */
  repair(): void {
    this.identity.fault.repair();
    if (this.issuer) this.#repairIssuer(this.issuer);
    this.upstream.repair();
    this.members.repair();
    this.fleet?.repair();
    this.scopes.repair();
    endDrops(this.platform.network);
    this.operator.repair();
    this.platform.disk.freeBytes = Number.POSITIVE_INFINITY;
    this.platform.disk.slowMs = 0;
    this.platform.disk.readOnly.clear();
    this.iam?.repair();
    for (const host of this.hosts) {
      this.platform.network.unblock(IDENTITY, host.machine);
      host.start();
      host.process?.spare();
    }
    for (const erp of this.erps) erp.work();
    this.observe({ kind: 'repaired' });
  }
}
