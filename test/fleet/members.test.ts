// The list of members: from what the store holds, which may be false, to what is shown.
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { type MemberStore, type MemberView, outliers, readMembers } from '../../src/fleet/members.ts';
import { createSealer } from '../../src/fleet/seal.ts';

const newSealer = () => createSealer([new Secret(randomBytes(32).toString('base64url'))]);
const [ONE, TWO] = ['1111111111111111', '2222222222222222'] as const;
const NOW_S = 1_700_000_000;

interface Entries {
  readonly details: Readonly<Record<string, string>>;
  /** In seconds. */
  readonly ages: Readonly<Record<string, number>>;
}

function storeOf(
  details: Entries['details'],
  ages: Entries['ages'],
  heard: Entries = { details: {}, ages: {} },
): MemberStore {
  const listOf = ({ details: said, ages: old }: Entries) => [
    Object.entries(said).flat(),
    Object.entries(old).flatMap(([id, age]) => [id, String((NOW_S - age) * 1000)]),
  ];
  const lists = [...listOf({ details, ages }), ...listOf(heard)];
  return { prefix: 'aritma', run: async () => [NOW_S * 1000, NOW_S * 1000, ...lists] };
}

const sealedBy = async (sealer: ReturnType<typeof newSealer>, id: string, content: object) =>
  `${sealer.keyId}:${await sealer.seal({ name: `member ${id}`, generation: '0' }, content)}`;

const CONTENT = { host: 'erp-1', version: '1.0.0', secrets: ['bbbbbbbb', 'aaaaaaaa', 'bbbbbbbb'] };

describe('the members of a fleet', () => {
  it('are listed with host, version, age by the clock of the store, and each secret once', async () => {
    const sealer = newSealer();
    const store = storeOf({ [ONE]: await sealedBy(sealer, ONE, CONTENT) }, { [ONE]: 7 });
    expect((await readMembers(store, sealer)).list).toEqual([
      {
        ...{ id: ONE, keyId: sealer.keyId, ageS: 7 },
        details: { host: 'erp-1', version: '1.0.0', secrets: ['aaaaaaaa', 'bbbbbbbb'], holdings: undefined },
      },
    ]);
  });

  it('are listed by the ones heard of last, without those that are gone or have no time', async () => {
    const sealer = newSealer();
    const ids = [ONE, TWO, '3333333333333333', '4444444444444444'];
    const details = await Promise.all(ids.map(async (id) => [id, await sealedBy(sealer, id, CONTENT)] as const));
    const store = storeOf(Object.fromEntries(details), { [ONE]: 9, [TWO]: 1, 3333333333333333: 31 });
    expect((await readMembers(store, sealer)).list.map(({ id }) => id)).toEqual([TWO, ONE]);
  });

  it('are silent for a day, also those that nobody can read, and not without a time, which the store may have evicted', async () => {
    const sealer = newSealer();
    const readable = `${ONE}:${await sealedBy(sealer, ONE, CONTENT)}`;
    const unreadable = `${TWO}:${await sealedBy(newSealer(), TWO, CONTENT)}`;
    const heard = {
      details: { a: readable, b: unreadable, c: readable, d: unreadable, e: unreadable },
      ages: { a: 31, b: 86_399, c: 30, d: 86_400 },
    };
    const { silent } = await readMembers(storeOf({}, {}, heard), sealer);
    expect(silent.map(({ id, ageS, details }) => [id, ageS, details?.host])).toEqual([
      [ONE, 31, 'erp-1'],
      [TWO, 86_399, undefined],
    ]);
  });

  it.each<[string, (sealer: ReturnType<typeof newSealer>) => Promise<string>]>([
    ['sealed with another key', () => sealedBy(newSealer(), ONE, CONTENT)],
    ['of another member', (sealer) => sealedBy(sealer, TWO, CONTENT)],
    ['of another form', (sealer) => sealedBy(sealer, ONE, { host: 5, version: '1', secrets: [] })],
    ['too long for a host name', (sealer) => sealedBy(sealer, ONE, { ...CONTENT, host: 'x'.repeat(256) })],
    ['not sealed', async () => 'aaaaaaaa:erp-1'],
  ])('show nothing of details that are %s, but that there is a member', async (_what, make) => {
    const sealer = newSealer();
    const {
      list: [member],
    } = await readMembers(storeOf({ [ONE]: await make(sealer) }, { [ONE]: 1 }), sealer);
    expect(member).toEqual({ id: ONE, keyId: expect.stringMatching(/^[0-9a-f]{8}$/), ageS: 1, details: undefined });
  });

  it('are read whole when they have very many credentials: the old secret of one not read would be deleted', async () => {
    const sealer = newSealer();
    const holdings = Array.from({ length: 2000 }, (_, index) => ({
      ...{
        client: String(index).padStart(16, '0'),
        place: 'a'.repeat(16),
        secrets: ['aaaaaaaa', 'bbbbbbbb'],
        isKept: true,
      },
    }));
    const sealed = await sealedBy(sealer, ONE, { ...CONTENT, holdings });
    const {
      list: [member],
    } = await readMembers(storeOf({ [ONE]: sealed }, { [ONE]: 1 }), sealer);
    expect(member?.details?.holdings).toEqual(holdings);
  });

  it('leave out what cannot be of a member', async () => {
    const sealer = newSealer();
    const good = await sealedBy(sealer, ONE, CONTENT);
    const store = storeOf(
      { '\u001b[2J': good, [ONE]: 'no colon', [TWO]: `${sealer.keyId}:${'x'.repeat(2_000_000)}` },
      { '\u001b[2J': 1, [ONE]: 1, [TWO]: 1 },
    );
    expect((await readMembers(store, sealer)).list).toEqual([]);
  });

  it('show only fingerprints where secrets are said to be', async () => {
    const sealer = newSealer();
    const said = { ...CONTENT, secrets: ['aaaaaaaa', 'a whole secret', 5, null] };
    const {
      list: [member],
    } = await readMembers(storeOf({ [ONE]: await sealedBy(sealer, ONE, said) }, { [ONE]: 1 }), sealer);
    expect(member?.details?.secrets).toEqual(['aaaaaaaa']);
  });
});

describe('those that differ from most', () => {
  const member = (id: string, keyId: string): MemberView => ({ id, keyId, ageS: 0, details: undefined });

  it('are the ones outside the largest group; where there is no value, nothing is compared', () => {
    const members = [member('1', 'a'), member('2', 'b'), member('3', 'b'), member('4', 'c'), member('5', '')];
    expect(outliers(members, ({ keyId }) => keyId || undefined).map(({ id }) => id)).toEqual(['1', '4']);
    expect(outliers([], ({ keyId }) => keyId)).toEqual([]);
    expect(outliers([member('1', 'a')], () => undefined)).toEqual([]);
  });
});
