/**
 * A year as plain data, drawn from a seed: a few stretches of minutes in which things happen, and long quiet times between them, in
 * which the machine sleeps or the sidecar is stopped. Time that nobody uses costs nothing: that is what makes a year affordable.
 */
import { type Chance, chance } from '../support/seeded.ts';
import { IAM_KINDS } from './world/iam/iam.ts';
import { drawParts, type Parts } from './world/parts.ts';
import { STORAGE_KINDS } from './world/storage-kinds.ts';
import { type Args, KINDS, type Kind } from './world/world.ts';

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
  readonly stretches: readonly Stretch[];
}

const MINUTE = 60_000;
/** Short ones are renewed several times within a stretch. */
const LIFETIMES_S: readonly [number, ...number[]] = [3600, 3600, 600, 120, 30];
const YEAR = 365 * 86_400_000;
const LONGEST = 12 * MINUTE;

/** The history of a seed. */
export function drawHistory(seed: number): History {
  const draw = chance(seed, 'history');
  const starts = Array.from({ length: draw.between(3, 6) }, () => Math.floor(draw.next() * YEAR)).sort((a, b) => a - b);
  const apart = starts.filter((start, index) => start - (starts[index - 1] ?? -YEAR) > LONGEST);
  const tokenLifetimeS = draw.pick(LIFETIMES_S);
  const froms = [0, ...apart.filter((start) => start > LONGEST)];
  const parts = drawParts(seed);
  return withParts({ seed, tokenLifetimeS, parts, stretches: froms.map((from) => drawStretch(from, draw)) });
}

/** What can happen only where these parts are; by a sequence of its own. */
function withParts(history: History): History {
  const { seed, parts, stretches } = history;
  const kinds = { ...(parts.iam && IAM_KINDS), ...((parts.iam || parts.audit) && STORAGE_KINDS) };
  if (Object.keys(kinds).length === 0) return history;
  const draw = chance(seed, 'happenings of parts');
  // Rotations and starts come soon after a stretch begins.
  const added = ({ from, to }: Stretch) =>
    Array.from({ length: draw.between(1, 5) }, () =>
      drawHappening(Math.floor(from + draw.next() ** 3 * (to - from)), draw, kinds),
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

function drawStretch(from: number, draw: Chance): Stretch {
  const to = from + draw.between(MINUTE, LONGEST);
  const count = draw.between(1, 4);
  const happenings = Array.from({ length: count }, () => {
    const at = Math.floor(from + draw.next() * (to - from));
    // Faults that meet are the ones that nobody has thought of.
    const second = draw.happens(0.4) ? [drawHappening(at + draw.between(1, 30_000), draw)] : [];
    return [drawHappening(at, draw), ...second, ...(draw.happens(0.6) ? [callsAround(at, draw)] : [])];
  }).flat();
  return { from, to, quiet: draw.pick(['asleep', 'stopped']), happenings: happenings.sort((a, b) => a.at - b.at) };
}

/** What a fault does shows in the calls around it. */
function callsAround(at: number, draw: Chance): Happening {
  const args = { count: draw.between(1, 6), everyMs: draw.pick([2, 20, 700, 3000]) };
  return { at: Math.max(0, at + draw.between(-3000, 5000)), kind: 'erp.burst', args };
}

function drawHappening(at: number, draw: Chance, kinds: Readonly<Record<string, Kind>> = KINDS): Happening {
  const names = Object.keys(kinds).flatMap((name) => Array<string>(kinds[name]?.weight ?? 0).fill(name));
  const kind = draw.pick(names as [string, ...string[]]);
  return { at, kind, args: kinds[kind]?.draw(draw) ?? {} };
}

/** The same history with only these happenings; stretches in which nothing is left are left out, but for the first. */
export function keepOnly(history: History, kept: ReadonlySet<Happening>): History {
  const stretches = history.stretches.map((stretch) => ({
    ...stretch,
    happenings: stretch.happenings.filter((happening) => kept.has(happening)),
  }));
  return { ...history, stretches: stretches.filter(({ happenings }, index) => index === 0 || happenings.length > 0) };
}
