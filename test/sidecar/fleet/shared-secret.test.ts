// The secret that a fleet shares, as its rotation sees it: one rotates at a time, all know how far it is, nothing is forgotten.
import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/core/secret.ts';
import { createSealer, type Sealer } from '../../../src/fleet/seal.ts';
import { beginJournal, type Journal } from '../../../src/iam/rotation/journal.ts';
import type { SecretStore } from '../../../src/iam/rotation/store.ts';
import { SharedSecret } from '../../../src/sidecar/fleet/shared-secret.ts';
import { createFakeClock } from '../../support/clock.ts';
import { newFleetKey } from '../../support/redis-member.ts';
import { RotationStore } from '../../support/rotation-store.ts';

const [OLD, NEW] = ['the-old-secret', 'the-new-secret'] as const;
const PARTS = ['https://id.example/connect/token', 'erp'];
const fingerprint = (value: string) => new Secret(value).fingerprint();

/** Where one member keeps its secret. */
function createPlace(value: string = OLD) {
  const place = { value, journal: undefined as string | undefined, opened: 0 };
  const store: SecretStore = {
    ...{ name: 'file secret', isOwn: true },
    peek: async () => place.journal,
    async open() {
      place.opened += 1;
      return {
        readSecret: async () => new Secret(place.value),
        async writeSecret(secret) {
          place.value = secret.reveal();
        },
        readJournal: async () => place.journal,
        async writeJournal(text) {
          place.journal = text;
        },
        close: async () => undefined,
      };
    },
  };
  return { place, store };
}

/** @param aheadMs of the clocks of the members */
function createWorld(aheadMs = 0) {
  const clock = createFakeClock();
  const store = new RotationStore(() => clock.now().wallMs - aheadMs);
  const key = newFleetKey();
  const member = (name: string, keys: readonly string[] = [key]) => {
    const sealer = createSealer(keys.map((one) => new Secret(one)));
    const secret = new SharedSecret({ ...store.access(sealer, name), member: name, clock, parts: PARTS });
    const place = createPlace();
    const beat = (values: readonly string[], isKept = true) =>
      beatAs(store, { sealer, name, secret, holdings: { secrets: values.map(fingerprint), isKept } });
    return { secret, sealer, ...place, beat, shared: secret.share(place.store) };
  };
  return { clock, store, key, member };
}

const keyOf = ({ journal }: SharedSecret) => `test:{${journal.name}}:journal`;

interface Said {
  readonly sealer: Sealer;
  readonly name: string;
  readonly secret: SharedSecret;
  readonly holdings: { readonly secrets: readonly string[]; readonly isKept: boolean };
}

function beatAs(store: RotationStore, { sealer, name, secret, holdings }: Said): Promise<void> {
  const held = { client: secret.client, place: `place-${name}`, ...holdings };
  return store.beat(sealer, name.repeat(16).slice(0, 16), { host: `host-${name}`, holdings: [held] });
}

const attemptOf = (phase: 'verified' | 'promoted', value = NEW) => ({
  ...{ phase, value, description: 'd', expiresAt: 9e12, startedAt: 1, retire: ['old-id'] },
  ...(phase === 'promoted' && { retireAt: 0 }),
});
const journalAt = (phase: 'verified' | 'promoted'): Journal => ({
  ...beginJournal('erp', 1),
  attempt: attemptOf(phase),
});
const text = (journal: Journal) => JSON.stringify(journal);
const parsed = (journal: string | undefined) => JSON.parse(journal ?? 'null') as Journal | null;

describe('the journal of a rotation', () => {
  it('is read by every other member, and shows nothing in the store', async () => {
    const { member, store } = createWorld();
    const [one, other] = [member('a'), member('b')];
    const open = await one.shared.open();
    await open.writeJournal(text(journalAt('verified')));
    await other.secret.journal.look();
    expect(other.secret.journal.newest?.attempt?.value).toBe(NEW);
    expect(parsed(one.place.journal)?.attempt?.value).toBe(NEW);
    const value = store.get(keyOf(one.secret));
    expect(value).toMatch(/^\d+:eyJ/);
    expect([value, one.secret.journal.name].join()).not.toMatch(/the-new-secret|erp|creating|verified/);
  });

  it('is put back by any member that has seen it when the store has lost everything', async () => {
    const { member, store } = createWorld();
    const [one, other, third] = [member('a'), member('b'), member('c')];
    await (await one.shared.open()).writeJournal(text(journalAt('promoted')));
    await other.secret.journal.look();
    store.wipe();
    await third.secret.journal.look();
    expect(third.secret.journal.newest).toBeUndefined();
    await other.secret.journal.look();
    await third.secret.journal.look();
    expect(third.secret.journal.newest?.attempt?.phase).toBe('promoted');
  });

  it('is replaced by no older one, also from the disk of a member that was away', async () => {
    const { member, store, clock } = createWorld();
    const [one, away] = [member('a'), member('b')];
    const open = await one.shared.open();
    await open.writeJournal(text(journalAt('verified')));
    away.place.journal = one.place.journal;
    await clock.advance(5000);
    await open.writeJournal(text(journalAt('promoted')));
    store.wipe();
    await away.shared.peek();
    await away.secret.journal.look();
    await one.secret.journal.look();
    await away.secret.journal.look();
    expect(away.secret.journal.newest?.attempt?.phase).toBe('promoted');
  });

  it('is written neither here nor there by one whose lease is over', async () => {
    const { member, clock } = createWorld();
    const [frozen, other] = [member('a'), member('b')];
    const open = await frozen.shared.open();
    clock.sleep(31_000);
    const next = await other.shared.open();
    await next.writeJournal(text(journalAt('promoted')));
    await expect(open.writeJournal(text(journalAt('verified')))).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
    await expect(open.writeSecret(new Secret('x'))).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
    expect([frozen.place.journal, frozen.place.value]).toEqual([undefined, OLD]);
  });

  it.each(['', 'garbage', '1800000000000:not-sealed', '1800000000000:a.b.c.d.e'])(
    'counts as none where the store holds %j',
    async (value) => {
      const { member, store } = createWorld();
      const one = member('a');
      await (await one.shared.open()).writeJournal(text(journalAt('verified')));
      store.set(keyOf(one.secret), value);
      const other = member('b');
      await other.secret.journal.look();
      expect(other.secret.journal.newest).toBeUndefined();
    },
  );

  it('counts as none where it was sealed for another client or with an unknown key', async () => {
    const { member, store, key } = createWorld();
    const [one, stranger] = [member('a'), member('b', [newFleetKey()])];
    await (await one.shared.open()).writeJournal(text(journalAt('verified')));
    const value = store.get(keyOf(one.secret)) ?? '';
    for (const { secret } of [stranger, member('c', [key])]) {
      store.set(keyOf(secret), secret === stranger.secret ? value : value.replace(/^\d/, '1$&'));
      await secret.journal.look();
      expect(secret.journal.newest).toBeUndefined();
    }
  });

  it('of a rotation under way is found by a member that has a newer key as its first', async () => {
    const { member, key } = createWorld();
    const [old, updated] = [member('a'), member('b', [newFleetKey(), key])];
    await (await old.shared.open()).writeJournal(text(journalAt('promoted')));
    await updated.secret.journal.look();
    expect(updated.secret.journal.newest?.attempt?.value).toBe(NEW);
    expect(updated.secret.journal.name).toBe(old.secret.journal.name);
  });

  it('of a rotation under way is not moved by a member with a newer key that knows it from its disk, but afterwards', async () => {
    const { member, key } = createWorld();
    const [old, updated] = [member('a'), member('b', [newFleetKey(), key])];
    const open = await old.shared.open();
    await open.writeJournal(text(journalAt('promoted')));
    updated.place.journal = old.place.journal;
    await updated.shared.peek();
    await updated.secret.journal.look();
    expect(updated.secret.journal.name).toBe(old.secret.journal.name);
    await expect(updated.shared.open()).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
    const { attempt: _done, ...rest } = journalAt('promoted');
    await open.writeJournal(text({ ...rest, rotatedAt: 5 }));
    for (let looks = 0; looks < 2; looks += 1) await updated.secret.journal.look();
    expect(updated.secret.journal.name).not.toBe(old.secret.journal.name);
    expect(updated.secret.journal.newest?.rotatedAt).toBe(5);
  });

  it('waits for somebody to go on when nobody has the lease, and only when its next step is due', async () => {
    const { member, clock } = createWorld();
    const [one, other] = [member('a'), member('b')];
    const open = await one.shared.open();
    await open.writeJournal(text(journalAt('verified')));
    await other.secret.journal.look();
    expect(other.secret.isLeft(clock.now().wallMs)).toBe(false);
    await open.close();
    await other.secret.journal.look();
    expect(other.secret.isLeft(clock.now().wallMs)).toBe(true);
  });

  it('waits until its overlap is over by the clock of the store, not by that of a member', async () => {
    const { member, clock } = createWorld(3_600_000);
    const one = member('a');
    const open = await one.shared.open();
    const retireAt = ((await open.now?.()) ?? Number.NaN) + 5000;
    expect(retireAt).toBe(clock.now().wallMs - 3_600_000 + 5000);
    await open.writeJournal(text({ ...beginJournal('erp', 1), attempt: { ...attemptOf('promoted'), retireAt } }));
    await open.close();
    expect(one.secret.isLeft(clock.now().wallMs)).toBe(false);
    await clock.advance(5000);
    expect(one.secret.isLeft(clock.now().wallMs)).toBe(true);
  });
});

describe('a secret', () => {
  it('lacks at members that do not say they have the new one, and is kept in the store only for one that has it in memory', async () => {
    const { member } = createWorld();
    const [one, other] = [member('a'), member('b')];
    const open = await one.shared.open();
    await open.writeJournal(text(journalAt('promoted')));
    await one.beat([NEW, OLD]);
    await other.beat([OLD]);
    expect(await open.lacking?.(new Secret(NEW))).toEqual(['host-b']);
    await other.beat([NEW, OLD], false);
    expect(await open.lacking?.(new Secret(NEW))).toEqual([]);
    const { attempt: _done, ...rest } = journalAt('promoted');
    await open.writeJournal(text({ ...rest, rotatedAt: 5 }));
    expect(one.secret.journal.newest?.fleet).toMatchObject({ places: [], kept: NEW });
  });

  it('lacks for a day at a host that is silent since before the rotation, but not when it is heard of again and has it', async () => {
    const { member, clock } = createWorld();
    const [one, silent] = [member('a'), member('b')];
    await silent.beat([OLD]);
    await clock.advance(60_000);
    const open = await one.shared.open();
    await open.writeJournal(text(journalAt('promoted')));
    await one.beat([NEW, OLD]);
    expect(await open.lacking?.(new Secret(NEW))).toEqual(['host-b']);
    await silent.beat([NEW]);
    expect(await open.lacking?.(new Secret(NEW))).toEqual([]);
    await silent.beat([OLD]);
    for (let hours = 0; hours < 24; hours += 1) {
      expect(await open.lacking?.(new Secret(NEW))).toEqual(['host-b']);
      await clock.advance(3_600_000);
      await one.beat([NEW, OLD]);
    }
    expect(await open.lacking?.(new Secret(NEW))).toEqual([]);
  });

  it('may lack for a day at a silent host with another key', async () => {
    const world = createWorld();
    const { clock } = world;
    const [one, stranger] = [world.member('a'), world.member('b', [newFleetKey()])];
    await stranger.beat([OLD]);
    await clock.advance(60_000);
    const open = await one.shared.open();
    await open.writeJournal(text(journalAt('promoted')));
    await one.beat([NEW]);
    expect(await open.lacking?.(new Secret(NEW))).toEqual(['b'.repeat(16)]);
    const { attempt: _done, ...rest } = journalAt('promoted');
    await open.writeJournal(text({ ...rest, rotatedAt: 5 }));
    expect(one.secret.journal.newest?.fleet.kept).toBe(NEW);
    await clock.advance(24 * 3_600_000);
    await one.beat([NEW]);
    expect(await open.lacking?.(new Secret(NEW))).toEqual([]);
  });

  it('lacks at no host because of what it said with a key that has been replaced since', async () => {
    const world = createWorld();
    const newKey = newFleetKey();
    const old = world.member('b');
    await old.beat([OLD]);
    const both = world.member('b', [newKey, world.key]);
    await both.beat([NEW]);
    const one = world.member('a', [newKey]);
    await one.beat([NEW]);
    await world.clock.advance(60_000);
    await one.beat([NEW]);
    const open = await one.shared.open();
    await open.writeJournal(text(journalAt('promoted')));
    expect(await open.lacking?.(new Secret(NEW))).toEqual([]);
    expect(world.store.size('heard')).toBe(2);
  });

  it('lacks at one host once, however often its sidecar was killed and started meanwhile', async () => {
    const { member, store, clock } = createWorld();
    const [one, other] = [member('a'), member('b')];
    for (let start = 0; start < 20; start += 1) {
      const held = { client: one.secret.client, place: 'place-b', secrets: [fingerprint(OLD)], isKept: true };
      const id = String(start).padStart(16, '0');
      await store.beat(other.sealer, id, { host: 'host-b', holdings: [held] });
      await clock.advance(10_000);
    }
    await clock.advance(60_000);
    const open = await one.shared.open();
    await open.writeJournal(text(journalAt('promoted')));
    await one.beat([NEW, OLD]);
    expect(await open.lacking?.(new Secret(NEW))).toEqual(['host-b']);
    // This member's own, and one of the other host.
    expect(store.size('heard')).toBe(2);
  });

  it.each([
    ['has just started', (world: ReturnType<typeof createWorld>) => world.member('b').sealer, 'host-b'],
    ['has a key that nobody else has', (world) => world.member('b', [newFleetKey()]).sealer, 'b'.repeat(16)],
  ])(
    'may lack at a member that %s: the old one is not deleted, and the new one is kept',
    async (_what, sealer, name) => {
      const world = createWorld();
      const one = world.member('a');
      const open = await one.shared.open();
      await open.writeJournal(text(journalAt('promoted')));
      await one.beat([NEW]);
      await world.store.beat(sealer(world), 'b'.repeat(16), { host: 'host-b' });
      expect(await open.lacking?.(new Secret(NEW))).toEqual([name]);
      const { attempt: _done, ...rest } = journalAt('promoted');
      await open.writeJournal(text({ ...rest, rotatedAt: 5 }));
      expect(one.secret.journal.newest?.fleet.kept).toBe(NEW);
    },
  );

  it('is nowhere any more after a rotation that all have taken over', async () => {
    const { member } = createWorld();
    const one = member('a');
    const open = await one.shared.open();
    await open.writeJournal(text(journalAt('promoted')));
    await one.beat([NEW]);
    const { attempt: _done, ...rest } = journalAt('promoted');
    await open.writeJournal(text({ ...rest, rotatedAt: 5 }));
    expect(parsed(one.place.journal)?.fleet).toEqual({
      ...{ client: one.secret.client, revision: expect.any(Number), places: [] },
    });
  });

  it('is not rotated by a second member meanwhile', async () => {
    const { member } = createWorld();
    const [one, other] = [member('a'), member('b')];
    await one.shared.open();
    await expect(other.shared.open()).rejects.toMatchObject({
      ...{ code: 'ROTATION_LOCKED', extras: { fields: { holder: expect.stringMatching(/^a:1$/) } } },
    });
    expect(other.place.opened).toBe(0);
  });
});

describe('a rotation', () => {
  const mayBegin = async (world: ReturnType<typeof createWorld>, one = world.member('a')) => {
    await one.beat([OLD]);
    const open = await one.shared.open();
    return open.mayBegin?.(new Secret(OLD)).finally(open.close);
  };
  /** Time in which the member is heard of. */
  const pass = async (world: ReturnType<typeof createWorld>, one: ReturnType<typeof world.member>) => {
    for (let passed = 0; passed < 30_000; passed += 10_000) {
      await one.beat([OLD]);
      await world.clock.advance(10_000);
    }
  };
  const refusedFor = (reason: RegExp) => ({
    ...{ code: 'ROTATION_STORE_FAILED', extras: { fields: { reason: expect.stringMatching(reason) } } },
  });

  it('does not begin in the first 30 s after the store was empty: a member may be there that nobody knows of', async () => {
    const world = createWorld();
    const one = world.member('a');
    await expect(mayBegin(world, one)).rejects.toMatchObject(refusedFor(/empty a moment ago/));
    await pass(world, one);
    await expect(mayBegin(world, one)).resolves.toBeUndefined();
    world.store.wipe();
    await expect(mayBegin(world, one)).rejects.toMatchObject(refusedFor(/empty a moment ago/));
  });

  it('counts from when the first journal was begun, though a member that knows none has begun another in an emptied store', async () => {
    const world = createWorld();
    const [one, other] = [world.member('a'), world.member('b')];
    const begin = async ({ shared }: typeof one, since: number) => {
      const open = await shared.open();
      await open.writeJournal(`${JSON.stringify(beginJournal('erp', since))}\n`).finally(open.close);
    };
    await begin(one, 1_000_000);
    world.store.wipe();
    await begin(other, 9_000_000);
    await one.secret.journal.look();
    await other.secret.journal.look();
    expect([one, other].map(({ secret }) => secret.journal.newest?.since)).toEqual([1_000_000, 1_000_000]);
  });

  it('does not begin while no member runs: nobody would take it over', async () => {
    const world = createWorld();
    const open = await world.member('a').shared.open();
    await expect(open.mayBegin?.(new Secret(OLD))).rejects.toMatchObject(
      refusedFor(/no member of the fleet is running/),
    );
  });

  it('is not gone on with in the first 30 s after the store was empty: an older journal may have been put back first', async () => {
    const world = createWorld();
    const [one, behind] = [world.member('a'), world.member('b')];
    const open = await one.shared.open();
    await open.writeJournal(text(journalAt('verified')));
    await behind.secret.journal.look();
    await open.writeJournal(text(journalAt('promoted')));
    world.store.wipe();
    await behind.beat([OLD]);
    await behind.secret.journal.look();
    const early = await behind.shared.open();
    await expect(early.readJournal().finally(early.close)).rejects.toMatchObject(refusedFor(/empty a moment ago/));
    await one.secret.journal.look();
    await pass(world, behind);
    const next = await behind.shared.open();
    expect(parsed(await next.readJournal())?.attempt?.phase).toBe('promoted');
  });

  it.each<[string, RegExp, (world: ReturnType<typeof createWorld>) => Promise<void>]>([
    ['has another key', /another fleet key/, (world) => world.member('b', [newFleetKey()]).beat([OLD])],
    [
      'has only just started',
      /just started/,
      (world) => world.store.beat(world.member('b').sealer, 'b'.repeat(16), { host: 'host-b' }),
    ],
    ['has another secret', /host-b has another client secret/, (world) => world.member('b').beat(['another-secret'])],
  ])('does not begin while a member %s', async (_what, reason, beat) => {
    const world = createWorld();
    const one = world.member('a');
    await pass(world, one);
    await beat(world);
    await expect(mayBegin(world, one)).rejects.toMatchObject(refusedFor(reason));
  });

  it('begins although a member has another secret when the journal tells that it cannot be a newer one', async () => {
    const world = createWorld();
    const one = world.member('a');
    const open = await one.shared.open();
    await open.writeJournal(text({ ...beginJournal('erp', 1), rotatedAt: 5 }));
    await open.close();
    await pass(world, one);
    await world.member('b').beat(['another-secret']);
    await expect(mayBegin(world, one)).resolves.toBeUndefined();
  });
});
