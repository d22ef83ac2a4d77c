/**
 * What is added to histories that were drawn already: each addition has a random sequence of its own, so that it changes no
 * history in which it is not.
 */
import { type Chance, chance } from '../support/seeded.ts';
import type { Happening, History, Stretch } from './history.ts';
import { FILE_KINDS } from './world/file-kinds.ts';
import { ISSUER_KINDS } from './world/issuer-kinds.ts';
import { SCOPE_KINDS } from './world/scopes.ts';
import { SILENT_KINDS } from './world/silent-kinds.ts';
import { LONG_STORAGE_KINDS } from './world/storage-kinds.ts';
import { UNDER_WAY_KINDS } from './world/under-way-kinds.ts';
import type { Kind } from './world/world.ts';

type Kinds = Readonly<Record<string, Kind>>;

interface Addition {
  readonly name: string;
  /** Of the histories to which it applies. */
  readonly share: number;
  /** Happenings in a stretch. */
  readonly most: number;
  /** Soon after a stretch begins, or at any time of it. */
  readonly isEarly: boolean;
  readonly applies: (history: History) => boolean;
  readonly kinds: (history: History) => Kinds;
}

const ADDITIONS: readonly Addition[] = [
  {
    ...{ name: 'disk full for long', share: 0.2, most: 1, isEarly: true },
    applies: ({ parts, members }) => members === 1 && (parts.iam !== undefined || parts.audit !== undefined),
    kinds: () => only(LONG_STORAGE_KINDS, (name) => name === 'disk.fullForLong'),
  },
  {
    ...{ name: 'power loss', share: 0.15, most: 1, isEarly: false },
    applies: () => true,
    kinds: () => only(LONG_STORAGE_KINDS, (name) => name === 'machine.powerLossOfAll'),
  },
  {
    ...{ name: 'half-open connections', share: 0.2, most: 2, isEarly: false },
    applies: ({ members }) => members === 1,
    kinds: () => SILENT_KINDS,
  },
  {
    ...{ name: 'changes of scopes', share: 0.25, most: 2, isEarly: false },
    applies: ({ parts, members }) => members === 1 && !parts.iam,
    kinds: () => SCOPE_KINDS,
  },
  {
    ...{ name: 'happenings of the issuer', share: 1, most: 3, isEarly: false },
    applies: ({ parts }) => parts.issuer !== undefined,
    kinds: () => ISSUER_KINDS,
  },
  {
    ...{ name: 'killed at a file operation', share: 0.4, most: 2, isEarly: true },
    applies: ({ parts, members }) => members === 1 && (parts.iam !== undefined || parts.audit !== undefined),
    kinds: ({ parts }) => only(FILE_KINDS, (name) => parts.iam !== undefined || !name.startsWith('iam.')),
  },
  {
    ...{ name: 'calls under way', share: 0.25, most: 1, isEarly: false },
    applies: ({ members }) => members === 1,
    kinds: () => UNDER_WAY_KINDS,
  },
];

/** The history with all that is added to it. */
export function withAdditions(history: History): History {
  return ADDITIONS.reduce(withAddition, withIssuer(history));
}

/** How many histories of a single host without other parts have an issuer. */
const SHARE_WITH_ISSUER = 0.35;
const SHARE_VERIFYING = 0.75;

function withIssuer(history: History): History {
  const { seed, parts, members } = history;
  const draw = chance(seed, 'issuer');
  if (parts.iam || members > 1 || !draw.happens(SHARE_WITH_ISSUER)) return history;
  return { ...history, parts: { ...parts, issuer: { isVerifying: draw.happens(SHARE_VERIFYING) } } };
}

function withAddition(history: History, { name, share, most, isEarly, applies, kinds }: Addition): History {
  const draw = chance(history.seed, name);
  if (!applies(history) || !draw.happens(share)) return history;
  const from = kinds(history);
  const added = (stretch: Stretch) => {
    const length = stretch.to - stretch.from;
    const at = () => Math.floor(stretch.from + draw.next() ** (isEarly ? 3 : 1) * length);
    return Array.from({ length: draw.between(0, most) }, () => happening(at(), from, draw));
  };
  const all = (stretch: Stretch) => [...stretch.happenings, ...added(stretch)].sort((a, b) => a.at - b.at);
  return { ...history, stretches: history.stretches.map((stretch) => ({ ...stretch, happenings: all(stretch) })) };
}

function happening(at: number, kinds: Kinds, draw: Chance): Happening {
  const names = Object.entries(kinds).flatMap(([name, { weight }]) => Array<string>(weight).fill(name));
  const kind = draw.pick(names as [string, ...string[]]);
  return { at, kind, args: kinds[kind]?.draw(draw) ?? {} };
}

function only(kinds: Kinds, isWanted: (name: string) => boolean): Kinds {
  return Object.fromEntries(Object.entries(kinds).filter(([name]) => isWanted(name)));
}
