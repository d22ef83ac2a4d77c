// What has been created is found by what is there afterwards and was not before.
import { describe, expect, it } from 'vitest';
import { SidecarError } from '../../src/core/errors.ts';
import { createAndFind } from '../../src/iam/created-id.ts';
import { failure } from '../support/iam-world.ts';

const LOST = new SidecarError('IAM_UNAVAILABLE', { mayHaveExecuted: true, fields: { errno: 'timeout' } });

/** Lists in turn, the last one stays; creating answers or throws. */
function creating(lists: readonly (readonly string[] | Error)[], answer: string | undefined | Error) {
  const left = [...lists];
  let created = 0;
  const work = createAndFind({
    list: async () => {
      const next = left.length > 1 ? left.shift() : left[0];
      if (next instanceof Error) throw next;
      return next ?? [];
    },
    create: async () => {
      created += 1;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    lookWith: 'look',
  });
  return { work, created: () => created };
}

describe('iam/creation', () => {
  it('believes the answer that names an id', async () => {
    expect(await creating([[]], 'new').work).toBe('new');
  });

  it.each([
    ['nothing', undefined],
    ['an error after which it may have happened', LOST],
  ])('finds the new one among others alike when creating answers %s', async (_what, answer) => {
    expect(
      await creating(
        [
          ['a', 'b'],
          ['b', 'new', 'a'],
        ],
        answer,
      ).work,
    ).toBe('new');
  });

  it.each([undefined, LOST])('cannot tell which of several new ones is meant, and says so', async (answer) => {
    const { code, extras } = await failure(creating([['a'], ['a', 'x', 'y']], answer).work);
    expect({ code, ...extras }).toMatchObject({
      ...{ code: 'IAM_CONFLICT', mayHaveExecuted: true },
      fields: { ids: 'x, y', look: 'look' },
    });
  });

  it('says that an answer without an id and a list without a new one make no sense', async () => {
    const { code, extras } = await failure(creating([['a']], undefined).work);
    expect({ code, ...extras }).toMatchObject({ code: 'IAM_INVALID', mayHaveExecuted: true });
  });

  it('tells the first error, and that it may exist, when it cannot be found or looked for', async () => {
    for (const lists of [[[]], [[], new SidecarError('IAM_REFUSED')]]) {
      const { code, extras } = await failure(creating(lists, LOST).work);
      expect({ code, ...extras }).toMatchObject({
        code: 'IAM_UNAVAILABLE',
        mayHaveExecuted: true,
        fields: { errno: 'timeout', created: expect.stringContaining('perhaps'), look: 'look' },
      });
    }
  });

  it('tells why it cannot be looked for when the answer had no id, and that it may exist', async () => {
    const refused = new SidecarError('IAM_REFUSED', { mayHaveExecuted: false, fields: { status: 403 } });
    const { code, extras } = await failure(creating([[], refused], undefined).work);
    expect({ code, ...extras }).toMatchObject({
      ...{ code: 'IAM_REFUSED', mayHaveExecuted: true },
      fields: { status: 403, created: expect.stringContaining('perhaps'), look: 'look' },
    });
  });

  it('does not look after an error that excludes it, and never creates twice', async () => {
    const refused = new SidecarError('IAM_REFUSED', { mayHaveExecuted: false });
    const attempt = creating([['a'], ['a', 'x']], refused);
    expect(await failure(attempt.work)).toBe(refused);
    expect(attempt.created()).toBe(1);
  });

  it('creates nothing where it could not be found afterwards', async () => {
    const attempt = creating([new SidecarError('IAM_REFUSED')], 'new');
    expect((await failure(attempt.work)).code).toBe('IAM_REFUSED');
    expect(attempt.created()).toBe(0);
  });
});
