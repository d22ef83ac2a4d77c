// Which places of a client secret lack a new value: from what members say, and what was known before.
import { describe, expect, it } from 'vitest';
import { type HeldBy, type LackingPlace, lackingPlaces, newestWords } from '../../src/fleet/places.ts';

const [OLD, NEW] = ['aaaaaaaa', 'bbbbbbbb'] as const;
const HOUR_MS = 3_600_000;
const NOW = 1_800_000_000_000;

const held = (place: string, secrets: readonly string[], saidAt = NOW): HeldBy => ({
  ...{ client: 'c', place, host: `host of ${place}`, secrets, isKept: true, saidAt },
});
const known = (place: string, seenAt: number): LackingPlace => ({ place, host: `host of ${place}`, seenAt });
const lacking = (before: readonly LackingPlace[], live: readonly HeldBy[]) =>
  lackingPlaces(before, live, { fingerprint: NEW, nowMs: NOW }).map(({ place }) => place);

describe('the places that lack a new secret', () => {
  it('are those of members that do not say they have it', () => {
    expect(lacking([], [held('1', [OLD]), held('2', [NEW, OLD]), held('3', [])])).toEqual(['1', '3']);
  });

  it('include one of which nothing is heard any more, until a day has passed', () => {
    const before = [known('1', NOW - HOUR_MS), known('2', NOW - 25 * HOUR_MS)];
    expect(lacking(before, [])).toEqual(['1']);
  });

  it('do not include one whose member was killed, started again, and has it', () => {
    expect(lacking([known('1', NOW - 1)], [held('1', [NEW])])).toEqual([]);
  });

  it('include one of several members with only one that has it, for the other may still read the old value', () => {
    expect(lacking([], [held('1', [NEW]), held('1', [OLD])])).toEqual(['1']);
    expect(lacking([], [held('1', [OLD]), held('1', [NEW])])).toEqual(['1']);
  });

  it('include one whose member is silent and lacked it when it was heard of last, for a day', () => {
    const silent = [held('1', [OLD], NOW - HOUR_MS), held('2', [OLD], NOW - 25 * HOUR_MS), held('3', [NEW], NOW - 1)];
    expect(lacking([], newestWords([], silent))).toEqual(['1']);
  });

  it('do not include one of a silent member where a live one has it', () => {
    expect(lacking([], newestWords([held('1', [NEW])], [held('1', [OLD], NOW - HOUR_MS)]))).toEqual([]);
  });

  it('are not given up because older words of them are there than what is known', () => {
    expect(lacking([known('1', NOW - HOUR_MS)], [held('1', [OLD], NOW - 25 * HOUR_MS)])).toEqual(['1']);
  });

  it('are named with the host heard of last first', () => {
    expect(lacking([known('1', NOW - 2), known('2', NOW - 1)], [held('3', [OLD])])).toEqual(['3', '2', '1']);
  });
});
