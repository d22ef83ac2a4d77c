/**
 * A year as plain data, drawn from a seed: a few stretches of minutes in which things happen, and long quiet times between them, in
 * which the machine sleeps or the sidecar is stopped. Time that nobody uses costs nothing: that is what makes a year affordable.
 */
import { type Chance, chance } from '../support/seeded.ts';
import { withAdditions } from './additions.ts';
import { withMembers } from './members.ts';
import { withMonthEnd } from './month-end.ts';
import { withRare } from './rare.ts';
import { withRotations } from './rotations.ts';
import { FLEET_BUDGET_KINDS } from './world/fleet-budget-kinds.ts';
import { FLEET_IAM_KINDS } from './world/iam/fleet-iam-kinds.ts';
import { IAM_KINDS } from './world/iam/iam.ts';
import { drawFleetParts, drawParts, type Parts } from './world/parts.ts';
import { STORAGE_KINDS } from './world/storage-kinds.ts';
import { type Args, KINDS, KINDS_OF_ONE, type Kind } from './world/world.ts';

export interface Happening {
  /** True ms since the start of the history. */
  readonly at: number;
  readonly kind: string;
  readonly args: Args;
}

/** A stretch in which the machine is awake. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  /** Before it. */
  readonly quiet: 'asleep' | 'stopped';
  readonly happenings: readonly Happening[];
}

export interface History {
  readonly seed: number;
  readonly tokenLifetimeS: number;
  readonly parts: Parts;
  /** Hosts with a sidecar each: more than one are a fleet. */
  readonly members: number;
  /** The one of them that is not there before it joins. */
  readonly latecomer?: number;
  /** How far the clock of each host is ahead at the beginning. */
  readonly clocksMs?: readonly number[];
  readonly stretches: readonly Stretch[];
}

const MINUTE = 60_000;
/** Short ones are renewed several times within a stretch. */
const LIFETIMES_S: readonly [number, ...number[]] = [3600, 3600, 600, 120, 30];
const YEAR = 365 * 86_400_000;
const LONGEST = 12 * MINUTE;

/** Which histories are of a fleet. */
export type Fleets = 'some' | 'all' | 'none';

/** A fleet beats all the time: that costs. */
const LONGEST_OF_FLEET = 4 * MINUTE;
const FLEET_SHARE: Readonly<Record<Fleets, number>> = { some: 0.25, all: 1, none: 0 };

/** The history of a seed. */
export function drawHistory(seed: number, fleets: Fleets = 'some'): History {
  const ofOne: Parts = fleets === 'all' ? {} : drawParts(seed);
  const members = ofOne.iam || ofOne.audit ? 1 : drawMembers(seed, fleets);
  const parts = members > 1 ? drawFleetParts(seed) : ofOne;
  const draw = chance(seed, 'history');
  const starts = Array.from({ length: members > 1 ? draw.between(1, 3) : draw.between(3, 6) }, () =>
    Math.floor(draw.next() * YEAR),
  ).sort((a, b) => a - b);
  const apart = starts.filter((start, index) => start - (starts[index - 1] ?? -YEAR) > LONGEST);
  const tokenLifetimeS = draw.pick(LIFETIMES_S);
  const froms = [0, ...apart.filter((start) => start > LONGEST)];
  const stretches = froms.map((from) => drawStretch(from, members, draw));
  const history = withParts({ seed, tokenLifetimeS, parts, members, stretches });
  return withRotations(withMembers(withMonthEnd(withRare(withAdditions(history)))));
}

/** Not where other parts are: a fleet has none of them. */
function drawMembers(seed: number, fleets: Fleets): number {
  const draw = chance(seed, 'fleet');
  return draw.happens(FLEET_SHARE[fleets]) ? draw.between(2, 4) : 1;
}

function ofFleet({ iam, budget }: Parts): Readonly<Record<string, Kind>> {
  return { ...(iam && FLEET_IAM_KINDS), ...(budget && FLEET_BUDGET_KINDS) };
}

/** What can happen only where these parts are; by a sequence of its own. */
function withParts(history: History): History {
  const { seed, parts, stretches, members } = history;
  const ofOne = { ...(parts.iam && IAM_KINDS), ...((parts.iam || parts.audit) && STORAGE_KINDS) };
  const kinds = members > 1 ? ofFleet(parts) : ofOne;
  if (Object.keys(kinds).length === 0) return history;
  const draw = chance(seed, 'happenings of parts');
  // Rotations and starts come soon after a stretch begins.
  const added = ({ from, to }: Stretch) =>
    Array.from({ length: draw.between(1, 5) }, () =>
      drawHappening(Math.floor(from + draw.next() ** (members > 1 ? 1 : 3) * (to - from)), members, { draw, kinds }),
    );
  const all = (stretch: Stretch) => [...stretch.happenings, ...added(stretch)].sort((a, b) => a.at - b.at);
  // So long that its renewals are not what such a history mostly consists of.
  const tokenLifetimeS = Math.max(history.tokenLifetimeS, parts.iam ? 600 : 0);
  return {
    ...history,
    tokenLifetimeS,
    stretches: stretches.map((stretch) => ({ ...stretch, happenings: all(stretch) })),
  };
}

function drawStretch(from: number, members: number, draw: Chance): Stretch {
  const to = from + draw.between(MINUTE, members > 1 ? LONGEST_OF_FLEET : LONGEST);
  const count = draw.between(1, members > 1 ? 7 : 4);
  const kinds = members > 1 ? KINDS : KINDS_OF_ONE;
  const happening = (at: number) => drawHappening(at, members, { draw, kinds });
  const happenings = Array.from({ length: count }, () => {
    const at = Math.floor(from + draw.next() * (to - from));
    // Faults that meet are the ones that nobody has thought of.
    const second = draw.happens(0.4) ? [happening(at + draw.between(1, 30_000))] : [];
    return [happening(at), ...second, ...(draw.happens(0.6) ? [callsAround(at, members, draw)] : [])];
  }).flat();
  return { from, to, quiet: draw.pick(['asleep', 'stopped']), happenings: happenings.sort((a, b) => a.at - b.at) };
}

/** What a fault does shows in the calls around it. */
function callsAround(at: number, members: number, draw: Chance): Happening {
  const args = { count: draw.between(1, 6), everyMs: draw.pick([2, 20, 700, 3000]), ...hostOf(members, draw) };
  return { at: Math.max(0, at + draw.between(-3000, 5000)), kind: 'erp.burst', args };
}

interface From {
  readonly draw: Chance;
  readonly kinds: Readonly<Record<string, Kind>>;
}

function drawHappening(at: number, members: number, { draw, kinds }: From): Happening {
  const names = Object.keys(kinds).flatMap((name) => Array<string>(kinds[name]?.weight ?? 0).fill(name));
  const kind = draw.pick(names as [string, ...string[]]);
  return { at, kind, args: { ...kinds[kind]?.draw(draw), ...hostOf(members, draw) } };
}

/** To which of several hosts something happens. */
function hostOf(members: number, draw: Chance): Args {
  return members > 1 ? { host: draw.between(0, members - 1) } : {};
}

/** The same history with only these happenings; stretches in which nothing is left are left out, but for the first. */
export function keepOnly(history: History, kept: ReadonlySet<Happening>): History {
  const stretches = history.stretches.map((stretch) => ({
    ...stretch,
    happenings: stretch.happenings.filter((happening) => kept.has(happening)),
  }));
  return { ...history, stretches: stretches.filter(({ happenings }, index) => index === 0 || happenings.length > 0) };
}
