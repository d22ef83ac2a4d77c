/** Adds rare events to a part of the histories: see `world/rare-kinds.ts`. */
import { type Chance, chance } from '../support/seeded.ts';
import type { Happening, History, Stretch } from './history.ts';
import { RARE_KINDS, type RareKind } from './world/rare-kinds.ts';

/** Of the seeds; each kind that fits is then there with half of them. */
const SHARE = 0.3;
const SHARE_OF_EACH = 0.5;
const LAST_MS = 100_000;

export function withRare(history: History): History {
  const draw = chance(history.seed, 'rare');
  if (!draw.happens(SHARE)) return history;
  const added = new Map<Stretch | undefined, Happening[]>();
  for (const [name, kind] of Object.entries(RARE_KINDS)) {
    const own = chance(history.seed, name);
    if (!kind.fits(history) || !own.happens(SHARE_OF_EACH)) continue;
    const stretch = kind.isLast ? history.stretches.at(-1) : own.pick(history.stretches as [Stretch, ...Stretch[]]);
    if (!stretch) continue;
    const host = history.members > 1 ? { host: own.between(0, history.members - 1) } : {};
    const happening = { at: momentIn(stretch, kind, own), kind: name, args: { ...kind.draw(own), ...host } };
    added.set(stretch, [...(added.get(stretch) ?? []), happening]);
  }
  const stretches = history.stretches.map((stretch) => ({
    ...stretch,
    happenings: [...stretch.happenings, ...(added.get(stretch) ?? [])].sort((a, b) => a.at - b.at),
  }));
  return { ...history, stretches };
}

function momentIn({ from, to }: Stretch, { isLast }: RareKind, draw: Chance): number {
  const least = isLast ? Math.max(from, to - LAST_MS) : from;
  return Math.floor(least + draw.next() * (to - least));
}
