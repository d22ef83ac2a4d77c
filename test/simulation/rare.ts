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
    if (!kind.fits(history) || !(own.happens(SHARE_OF_EACH) || kind.isAlways)) continue;
    const stretch = stretchOf(history, kind, own);
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

function stretchOf({ stretches }: History, { stretch }: RareKind, draw: Chance): Stretch | undefined {
  const at = draw.between(0, stretches.length - 1);
  return stretch === 'last' ? stretches.at(-1) : stretches[stretch === 'first' ? 0 : at];
}

function momentIn({ from, to }: Stretch, { stretch }: RareKind, draw: Chance): number {
  const least = stretch === 'last' ? Math.max(from, to - LAST_MS) : from;
  return Math.floor(least + draw.next() * (to - least));
}
