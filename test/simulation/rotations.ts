/** Adds a rotation under bad circumstances to a part of the fleets that rotate their secret: after all else, in a stretch of its own. */
import { chance } from '../support/seeded.ts';
import type { History, Stretch } from './history.ts';
import { ROTATION_KINDS, type RotationKind } from './world/rotation-kinds.ts';

const SHARE = 0.3;
const DAY_MS = 86_400_000;

/** The history with one of them. */
export function withRotations(history: History): History {
  const { seed, parts, members, stretches } = history;
  const draw = chance(seed, 'a rotation under bad circumstances');
  const last = stretches.at(-1);
  if (!parts.iam || members === 1 || !last || !draw.happens(SHARE)) return history;
  const [kind, { spans, draw: drawArgs }] = draw.pick(Object.entries(ROTATION_KINDS) as [[string, RotationKind]]);
  const start = last.to + draw.between(DAY_MS, 30 * DAY_MS);
  const quiet = draw.pick(['asleep', 'stopped'] as const);
  const host = draw.between(0, members - 1);
  const own = spans.map(([from, to], index): Stretch => {
    const at = start + from;
    // What it begins goes on in the later ones, in which calls are made.
    const happening =
      index === 0
        ? { at, kind, args: { ...drawArgs(draw), host } }
        : { at, kind: 'fleet.burst', args: { count: 2, everyMs: 1500 } };
    return { from: at, to: start + to, quiet, happenings: [happening] };
  });
  return { ...history, stretches: [...stretches, ...own] };
}
