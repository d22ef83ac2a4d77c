/** Adds the turn of a month to a part of the histories: then much is paid, and one stretch lies in those hours. */
import { chance } from '../support/seeded.ts';
import type { History, Stretch } from './history.ts';
import { nextMonthEnd, START } from './world/calendar.ts';

const SHARE = 0.15;
/** After the beginning of its hours. */
const LATEST_MS = 3 * 3_600_000;
const APART_MS = 15 * 60_000;

export function withMonthEnd(history: History): History {
  const draw = chance(history.seed, 'month-end');
  if (!draw.happens(SHARE)) return history;
  // With half of a fleet's budget: more is asked for by kinds of their own, and not after the last fault.
  const most = Math.floor((history.parts.budget ?? Infinity) / (2 * history.members));
  const parts = { ...history.parts, monthEnd: { atOnce: Math.min(most, draw.between(3, 8)) } };
  const { stretches } = history;
  const moved = stretches.map((stretch) => {
    const at = nextMonthEnd(START + stretch.from) - START + draw.between(0, LATEST_MS);
    return movedTo(at, stretch);
  });
  const fits = (index: number) => (moved[index]?.to ?? 0) + APART_MS < (stretches[index + 1]?.from ?? Infinity);
  // The first one begins on such a day.
  const chosen = stretches.findIndex((_stretch, index) => index > 0 && fits(index));
  return {
    ...history,
    parts,
    stretches: stretches.map((stretch, index) => (index === chosen ? (moved[index] ?? stretch) : stretch)),
  };
}

function movedTo(from: number, stretch: Stretch): Stretch {
  const ms = from - stretch.from;
  const happenings = stretch.happenings.map((one) => ({ ...one, at: one.at + ms }));
  return { ...stretch, from, to: stretch.to + ms, happenings };
}
