// When a rotation is due, which secrets it may touch, and when the configured ones expire: pure functions.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SidecarError } from '../../../src/core/errors.ts';
import type { ClientSecret } from '../../../src/iam/api.ts';
import { takeInventory } from '../../../src/iam/rotation/inventory.ts';
import { beginJournal, descriptionPrefix, type Journal } from '../../../src/iam/rotation/journal.ts';
import { dueAt, expiries } from '../../../src/iam/rotation/schedule.ts';

const DAY = 86_400_000;
const NOW = Date.parse('2026-11-21T10:00:00Z');
const RHYTHM = { every: 60 * DAY, secretLifetime: 90 * DAY };
const journal = (over: Partial<Journal> = {}): Journal => ({ ...beginJournal('erp', NOW), ...over });
const secret = (clientSecretId: string, over: Partial<ClientSecret> = {}): ClientSecret => ({
  ...{ clientSecretId, description: 'made in the portal', expiresAt: undefined },
  ...over,
});
const attempt = {
  ...{ phase: 'promoted' as const, description: 'x', value: 'x'.repeat(32), expiresAt: NOW + 90 * DAY },
  ...{ startedAt: NOW, retire: ['old'], retireAt: NOW + 5 },
};

describe('rotation/due', () => {
  it.each([
    ['a place that has just begun to watch: after `every`', journal(), NOW + 60 * DAY],
    ['rotated: `every` after that', journal({ rotatedAt: NOW + DAY }), NOW + 61 * DAY],
    [
      'a secret that expires earlier: with the reserve a new one has',
      journal({ current: { clientSecretId: 'a', description: '', expiresAt: NOW + 40 * DAY } }),
      NOW + 10 * DAY,
    ],
    ['the overlap: when it ends', journal({ attempt }), NOW + 5],
    ['an attempt that was interrupted: now', journal({ attempt: { ...attempt, phase: 'created' } }), 0],
  ])('%s', (_what, state, at) => {
    expect(dueAt(state, RHYTHM)).toBe(at);
  });

  it('takes what IAM lists of a secret that no rotation has made, and nothing of one it knows better', () => {
    expect(dueAt(journal(), RHYTHM, NOW + 40 * DAY)).toBe(NOW + 10 * DAY);
    const own = journal({ current: { clientSecretId: 'a', description: '' } });
    expect(dueAt(own, RHYTHM, NOW + 40 * DAY)).toBe(NOW + 60 * DAY);
  });

  it('lets a secret live half its life, however short IAM has made it', () => {
    const short = { clientSecretId: 'a', description: '', expiresAt: NOW + 20 * DAY };
    expect(dueAt(journal({ current: short, rotatedAt: NOW }), RHYTHM)).toBe(NOW + 10 * DAY);
  });
});

describe('rotation/inventory', () => {
  const known = (over: Partial<Parameters<typeof takeInventory>[1]> = {}) => ({
    ...{ journal: journal(), nowMs: NOW, inUseWorks: true },
    ...over,
  });

  it('takes the only secret for the one in use when the one in use works', () => {
    expect(takeInventory([secret('a')], known())).toEqual({ strays: [], retire: ['a'] });
    expect(takeInventory([secret('a')], known({ inUseWorks: false }))).toEqual({ strays: [], retire: [] });
  });

  it('knows its own by id though it no longer works', () => {
    const own = journal({ current: { clientSecretId: 'a', description: '' } });
    expect(takeInventory([secret('a')], known({ journal: own, inUseWorks: false })).retire).toEqual(['a']);
  });

  it('does not count expired ones, and leaves them when they are not its own', () => {
    const inventory = takeInventory([secret('a'), secret('b', { expiresAt: NOW - 1 })], known());
    expect(inventory).toEqual({ strays: [], retire: ['a'] });
  });

  it('deletes nothing before the rotation when only one of its own can be the one in use', () => {
    const ours = (id: string) => secret(id, { description: `${descriptionPrefix(place)}${id}` });
    const place = journal({ current: { clientSecretId: 'gone', description: '' } });
    expect(takeInventory([ours('a')], known({ journal: place }))).toEqual({ strays: [], retire: ['a'] });
    expect(() => takeInventory([ours('a'), ours('b')], known({ journal: place }))).toThrow(SidecarError);
    const expired = { ...ours('b'), expiresAt: NOW - 1 };
    expect(takeInventory([ours('a'), expired], known({ journal: place }))).toEqual({ strays: ['b'], retire: ['a'] });
  });

  it('keeps the last secret until there is a new one, although nobody has the value of any', () => {
    const place = journal();
    const ours = (id: string) => secret(id, { description: `${descriptionPrefix(place)}${id}` });
    const inventory = (...ids: string[]) => takeInventory(ids.map(ours), known({ journal: place, inUseWorks: false }));
    expect(inventory('a')).toEqual({ strays: [], retire: ['a'] });
    expect(inventory('a', 'b')).toEqual({ strays: ['a'], retire: ['b'] });
  });

  it('never names for deletion what is neither its own by description nor the one there is, whatever IAM lists', () => {
    const place = journal({ current: { clientSecretId: 'current', description: '' } });
    const any = fc.record({
      clientSecretId: fc.constantFrom('current', 'a', 'b', 'c', 'd'),
      description: fc.constantFrom('portal', `${descriptionPrefix(place)}1`, 'aritma-sidecar other-place 1'),
      expiresAt: fc.option(fc.constantFrom(NOW - DAY, NOW + DAY), { nil: undefined }),
    });
    const lists = fc.uniqueArray(any, { selector: ({ clientSecretId }) => clientSecretId, maxLength: 5 });
    fc.assert(
      fc.property(lists, fc.boolean(), (listed, inUseWorks) => {
        let inventory: ReturnType<typeof takeInventory>;
        try {
          inventory = takeInventory(listed, { journal: place, nowMs: NOW, inUseWorks });
        } catch (error) {
          return error instanceof SidecarError && error.code === 'ROTATION_TOO_MANY_SECRETS';
        }
        const { strays, retire } = inventory;
        const isOurs = (id: string) =>
          listed.some((one) => one.clientSecretId === id && one.description.startsWith(descriptionPrefix(place)));
        const left = listed.filter(({ clientSecretId }) => !strays.includes(clientSecretId));
        const isLive = ({ expiresAt = Infinity }) => expiresAt > NOW;
        const live = left.filter(isLive);
        return (
          strays.every((id) => isOurs(id) && id !== 'current') &&
          live.length === (listed.some(isLive) ? 1 : 0) &&
          retire.every((id) => live.some(({ clientSecretId }) => clientSecretId === id))
        );
      }),
    );
  });
});

describe('rotation/expiry', () => {
  const at = (names: readonly string[], listed: readonly ClientSecret[], own?: Journal) =>
    Object.fromEntries(expiries(names, listed, { journal: own, nowMs: NOW }));
  const soon = secret('a', { expiresAt: NOW + DAY });
  const late = secret('b', { expiresAt: NOW + 50 * DAY });

  it('of the secret a rotation stored is that of its id', () => {
    const own = journal({ current: { clientSecretId: 'b', description: '' } });
    expect(at(['1'], [soon, late], own)).toEqual({ 1: NOW + 50 * DAY });
    expect(at(['1', '2'], [soon, late], own)).toEqual({ 1: NOW + 50 * DAY, 2: NOW + DAY });
  });

  it('of any other is the earliest it can be', () => {
    expect(at(['1'], [soon, late])).toEqual({ 1: NOW + DAY });
    expect(at(['1', '2'], [late, secret('c')])).toEqual({ 1: NOW + 50 * DAY, 2: NOW + 50 * DAY });
  });

  it('is in the past when nothing else is left, and unknown when none expires or none is listed', () => {
    expect(at(['1'], [secret('a', { expiresAt: NOW - DAY })])).toEqual({ 1: NOW - DAY });
    expect(at(['1'], [secret('a', { expiresAt: NOW - DAY }), late])).toEqual({ 1: NOW + 50 * DAY });
    expect(at(['1'], [secret('c')])).toEqual({});
    expect(at(['1'], [])).toEqual({});
  });

  it('does not count the one that is about to be deleted', () => {
    const own = journal({ current: { clientSecretId: 'b', description: '' }, attempt: { ...attempt, retire: ['a'] } });
    expect(at(['1', '2'], [soon, late], own)).toEqual({ 1: NOW + 50 * DAY });
  });
});
