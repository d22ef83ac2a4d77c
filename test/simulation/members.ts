/** Adds to fleets that members come and go, and differ: each in a part of them, by a sequence of its own. */
import { type Chance, chance } from '../support/seeded.ts';
import type { Happening, History, Stretch } from './history.ts';
import { MEMBER_KINDS } from './world/member-kinds.ts';

const DAY_MS = 86_400_000;
/** A host that is silent counts for a day where secrets rotate: before that is over, no rotation can end. */
const SILENCE_MS = DAY_MS + 3_600_000;
const MOST_MS = 5 * 60_000;
/** In its first minute, the store gives nobody more than its share; and the sleep has to end before the stretch does. */
const AFTER_MS = 70_000;
const BEFORE_MS = 22_000;

type Add = (history: History, draw: Chance) => History;

const ADDITIONS: readonly (readonly [name: string, share: number, add: Add])[] = [
  ['a member that joins', 0.2, withLatecomer],
  ['a member that leaves for ever', 0.25, withLeaver],
  ['an update of a fleet', 0.15, (history, draw) => withOne(history, 'fleet.update', draw)],
  ['a member that differs', 0.25, (history, draw) => withOne(history, 'member.differs', draw)],
  ['clocks that differ', 0.2, withClocks],
  ['a lot from before a sleep', 0.6, withOldLot],
];

/** The history, with more of what members do. */
export function withMembers(history: History): History {
  if (history.members === 1) return history;
  return ADDITIONS.reduce((all, [name, share, add]) => {
    const draw = chance(history.seed, name);
    return draw.happens(share) ? add(all, draw) : all;
  }, history);
}

function withLatecomer(history: History, draw: Chance): History {
  const latecomer = draw.between(1, history.members - 1);
  return withOne({ ...history, latecomer }, 'member.joins', draw, { host: latecomer });
}

function withLeaver(history: History, draw: Chance): History {
  const end = history.stretches.at(-1)?.from ?? 0;
  const isWanted = ({ to }: Stretch) => history.parts.iam === undefined || to + SILENCE_MS < end;
  const host = draw.between(1, history.members - 1);
  return withOne(history, 'member.goesForEver', draw, { host, isWanted });
}

function withOldLot(history: History, draw: Chance): History {
  const isWanted = ({ from, to }: Stretch) => to - from > AFTER_MS + BEFORE_MS;
  const where = { isWanted, afterMs: AFTER_MS, beforeMs: BEFORE_MS };
  // Of two members, each has half of the limit for its share: a lot is hardly ever more than that.
  const hasLots = history.parts.budget !== undefined && history.members > 2;
  return hasLots ? withOne(history, 'member.sleepsWithLot', draw, where) : history;
}

/** From the beginning on: by up to five minutes. */
function withClocks(history: History, draw: Chance): History {
  const clocksMs = Array.from({ length: history.members }, () => draw.between(-MOST_MS, MOST_MS));
  return { ...history, clocksMs };
}

interface Where {
  readonly host?: number;
  /** After the stretch begins, and before it ends; absent: at any time. */
  readonly afterMs?: number;
  readonly beforeMs?: number;
  readonly isWanted?: (stretch: Stretch) => boolean;
}

/** At any time of one of the stretches, if there is one. */
function withOne(history: History, kind: string, draw: Chance, where: Where = {}): History {
  const { host, afterMs = 0, beforeMs = 0, isWanted = () => true } = where;
  const [first, ...others] = history.stretches.filter(isWanted);
  if (!first) return history;
  const chosen = draw.pick([first, ...others]);
  const from = chosen.from + afterMs;
  const at = Math.floor(from + draw.next() * (chosen.to - beforeMs - from));
  const one = drawn(at, kind, draw, host ?? draw.between(0, history.members - 1));
  const stretches = history.stretches.map((stretch) => (stretch === chosen ? withHappenings(stretch, [one]) : stretch));
  return { ...history, stretches };
}

function drawn(at: number, kind: string, draw: Chance, host: number): Happening {
  return { at, kind, args: { ...MEMBER_KINDS[kind]?.draw(draw), host } };
}

function withHappenings(stretch: Stretch, added: readonly Happening[]): Stretch {
  return { ...stretch, happenings: [...added, ...stretch.happenings].sort((a, b) => a.at - b.at) };
}
