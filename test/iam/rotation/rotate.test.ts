// A rotation from its first step to its last against the local Aritma, with a clock of the test's own.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { SidecarError } from '../../../src/core/errors.ts';
import { Secret } from '../../../src/core/secret.ts';
import { rotate } from '../../../src/iam/rotation/rotate.ts';
import { FIRST_VALUE, POLICY, type RotationWorld, startRotationServer } from '../../support/rotation-world.ts';

const DAY = 86_400_000;

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return error instanceof SidecarError ? error.code : String(error);
}

const server = await startRotationServer();
afterAll(() => server[Symbol.asyncDispose]());

/** The id of the only secret there is. */
const onlyId = async (world: RotationWorld) => (await world.listed())[0]?.clientSecretId ?? '';

const descriptions = async (world: RotationWorld) => (await world.listed()).map(({ description }) => description);

describe.each(['body', 'empty'] as const)('rotation/rotate, where creating answers with %s', (createResponse) => {
  it('replaces the secret: two are live during the overlap, then only the new one', async () => {
    using world = await server.world({ createResponse });
    const startedAt = world.clock.now();
    const outcome = await world.rotate();
    expect(outcome).toEqual({ kind: 'waiting', until: world.clock.now() + POLICY.overlap });
    expect(world.stored()).toMatch(/^[A-Za-z0-9_-]{32}$/);
    expect([await world.tokenFor(FIRST_VALUE), await world.tokenFor(world.stored())]).toEqual(['accepted', 'accepted']);
    await world.finish();
    expect([await world.tokenFor(FIRST_VALUE), await world.tokenFor(world.stored())]).toEqual(['refused', 'accepted']);
    const [only, ...others] = await world.listed();
    expect(others).toEqual([]);
    expect(only).toMatchObject({ expiresAt: startedAt + POLICY.secretLifetime });
    expect(world.journal()).toMatchObject({ clientId: world.clientId, current: only, rotatedAt: world.clock.now() });
    expect(world.journal().attempt).toBeUndefined();
  });

  it('begins a second one after the first, and again and again: one secret each time', async () => {
    using world = await server.world({ createResponse });
    for (let round = 0; round < 4; round += 1) {
      const before = world.stored();
      await world.finish();
      expect(await world.tokenFor(before)).toBe('refused');
      expect(await world.tokenFor(world.stored())).toBe('accepted');
      expect(await world.listed()).toHaveLength(1);
    }
  });
});

describe('rotation/rotate', () => {
  it('keeps mode and content form of the secret file and leaves nothing but the journal beside it', async () => {
    using world = await server.world();
    await world.finish();
    expect(statSync(world.file).mode & 0o777).toBe(0o600);
    expect(statSync(`${world.file}.rotation`).mode & 0o777).toBe(0o600);
    expect(readdirSync(world.folder).sort()).toEqual([basename(world.file), `${basename(world.file)}.rotation`]);
  });

  it('does nothing more before the overlap is over, however often it is called', async () => {
    using world = await server.world();
    const first = await world.rotate();
    const stored = world.stored();
    for (let call = 0; call < 3; call += 1) expect(await world.rotate()).toEqual(first);
    expect([world.stored(), (await world.listed()).length]).toEqual([stored, 2]);
  });

  it('waits while servers refuse the new secret for 90 seconds from a cache of theirs', async () => {
    using world = await server.world({ clientCacheS: 90 });
    const startedAt = world.clock.now();
    await world.rotate();
    expect(world.clock.now() - startedAt).toBeGreaterThanOrEqual(90_000);
    expect(world.progress.filter(({ step }) => step === 'refused').length).toBeGreaterThan(1);
    await world.finish();
    expect(await world.listed()).toHaveLength(1);
    expect(await world.tokenFor(world.stored())).toBe('accepted');
  });

  it('deletes the new secret again when it is refused for longer than verifyFor; the old one stays in force', async () => {
    using world = await server.world();
    const trySecret = async (secret: { reveal(): string }) =>
      secret.reveal() === FIRST_VALUE ? ('accepted' as const) : ('refused' as const);
    expect(await codeOf(world.rotate({ trySecret }))).toBe('ROTATION_NOT_VERIFIED');
    expect(world.stored()).toBe(FIRST_VALUE);
    expect(await descriptions(world)).toEqual(['made in the portal']);
    await world.finish();
    expect(await world.tokenFor(world.stored())).toBe('accepted');
  });

  it('keeps the new secret for later when nobody can say whether it works', async () => {
    using world = await server.world();
    const trySecret = async (secret: { reveal(): string }) =>
      secret.reveal() === FIRST_VALUE ? ('accepted' as const) : ('unavailable' as const);
    expect(await codeOf(world.rotate({ trySecret }))).toBe('TOKEN_UNAVAILABLE');
    expect([world.stored(), world.journal().attempt?.phase]).toEqual([FIRST_VALUE, 'created']);
    const { description } = world.journal().attempt ?? {};
    await world.finish();
    expect(await descriptions(world)).toEqual([description]);
  });

  it('does not begin while nobody can say whether the present secret works', async () => {
    using world = await server.world();
    expect(await codeOf(world.rotate({ trySecret: async () => 'unavailable' }))).toBe('TOKEN_UNAVAILABLE');
    expect(await world.listed()).toHaveLength(1);
  });

  it('wants three acceptances in a row, since not every server may know the new secret yet', async () => {
    using world = await server.world();
    const answers = ['accepted', 'accepted', 'accepted', 'refused', 'accepted', 'accepted', 'refused'] as const;
    let asked = 0;
    const trySecret = async () => {
      const answer = answers[asked] ?? 'accepted';
      asked += 1;
      return answer;
    };
    await world.rotate({ trySecret });
    expect(asked).toBe(answers.length + 3);
  });

  it('refuses to make a third secret, and names those there are', async () => {
    using world = await server.world();
    await world.control(`/clients/${world.clientId}/secrets`, {
      value: 'of-another-program',
      description: 'night job',
    });
    expect(await codeOf(world.rotate())).toBe('ROTATION_TOO_MANY_SECRETS');
    await expect(world.rotate()).rejects.toMatchObject({
      extras: { fields: { secrets: expect.stringContaining('night job') } },
    });
    expect(await world.tokenFor('of-another-program')).toBe('accepted');
  });

  it('leaves the only secret there is when it is not known to be the one in the file', async () => {
    using world = await server.world();
    writeFileSync(world.file, 'something-else-entirely\n');
    await world.finish();
    expect(await world.tokenFor(world.stored())).toBe('accepted');
    expect(await world.tokenFor(FIRST_VALUE)).toBe('accepted');
  });

  it('makes the first secret of a client that has none, and of a file that does not exist', async () => {
    using world = await server.world();
    await world.iam.deleteSecret(world.clientId, await onlyId(world));
    writeFileSync(world.file, '');
    await world.finish();
    expect(await world.tokenFor(world.stored())).toBe('accepted');
    expect(await world.listed()).toHaveLength(1);
  });

  it('deletes what earlier attempts of this place left behind, and nobody else’s', async () => {
    using world = await server.world();
    await world.finish();
    const { id } = world.journal();
    const stray = { value: 'left-behind-12345', description: `aritma-sidecar ${id} of long ago` };
    await world.control(`/clients/${world.clientId}/secrets`, stray);
    await world.finish();
    expect(await world.tokenFor('left-behind-12345')).toBe('refused');
    const foreign = { value: 'of-another-place', description: 'aritma-sidecar 00000000-0000 of another place' };
    await world.control(`/clients/${world.clientId}/secrets`, foreign);
    expect(await codeOf(world.rotate())).toBe('ROTATION_TOO_MANY_SECRETS');
    expect(await world.tokenFor('of-another-place')).toBe('accepted');
  });

  it('keeps what an earlier attempt left behind when somebody deletes the other secret while it tries again', async () => {
    using world = await server.world();
    await world.finish();
    const used = await onlyId(world);
    const stray = { value: 'left-behind-12345', description: `aritma-sidecar ${world.journal().id} of long ago` };
    await world.control(`/clients/${world.clientId}/secrets`, stray);
    let tries = 0;
    const deleteSecret: typeof world.iam.deleteSecret = async (client, id) => {
      tries += 1;
      if (tries > 1) return world.iam.deleteSecret(client, id);
      await world.iam.deleteSecret(client, used);
      throw new SidecarError('IAM_UNAVAILABLE');
    };
    expect(await codeOf(world.rotate({ iam: { ...world.iam, deleteSecret } }))).toBe('ROTATION_NOT_RETIRED');
    expect(await descriptions(world)).toEqual([stray.description]);
    await world.finish();
    expect(await world.tokenFor(world.stored())).toBe('accepted');
    expect(await world.listed()).toHaveLength(1);
  });

  it('does not delete the old secret when somebody has put it back during the overlap', async () => {
    using world = await server.world();
    await world.rotate();
    writeFileSync(world.file, `${FIRST_VALUE}\n`);
    world.clock.advance(POLICY.overlap);
    expect(await codeOf(world.rotate())).toBe('ROTATION_NOT_RETIRED');
    expect(await world.tokenFor(FIRST_VALUE)).toBe('accepted');
  });

  it('gives up when the store has another secret and IAM no longer has the new one, and begins anew', async () => {
    using world = await server.world();
    await world.rotate();
    const { current } = world.journal();
    writeFileSync(world.file, `${FIRST_VALUE}\n`);
    await world.iam.deleteSecret(world.clientId, current?.clientSecretId ?? '');
    world.clock.advance(POLICY.overlap);
    expect(await codeOf(world.rotate())).toBe('ROTATION_NOT_RETIRED');
    expect(await world.tokenFor(FIRST_VALUE)).toBe('accepted');
    expect(world.journal()).not.toHaveProperty('attempt');
    await world.finish();
    expect(await world.tokenFor(FIRST_VALUE)).toBe('refused');
    expect(await world.tokenFor(world.stored())).toBe('accepted');
    expect(await world.listed()).toHaveLength(1);
  });

  it('does not delete the old secret when the new one no longer works', async () => {
    using world = await server.world();
    await world.rotate();
    world.clock.advance(POLICY.overlap);
    expect(await codeOf(world.rotate({ trySecret: async () => 'refused' }))).toBe('ROTATION_NOT_RETIRED');
    expect(await codeOf(world.rotate({ trySecret: async () => 'unavailable' }))).toBe('ROTATION_NOT_RETIRED');
    await world.iam.deleteSecret(world.clientId, world.journal().current?.clientSecretId ?? '');
    expect(await codeOf(world.rotate({ trySecret: async () => 'accepted' }))).toBe('ROTATION_NOT_RETIRED');
    expect(await world.tokenFor(FIRST_VALUE)).toBe('accepted');
  });

  it('does not delete the old secret, and names them, while others lack the new one', async () => {
    using world = await server.world();
    await world.rotate();
    world.clock.advance(POLICY.overlap);
    const store = await world.open();
    const lacking = ['erp-7', 'erp-9'];
    const shared = { ...store, lacking: async () => lacking };
    await expect(rotate(world.options(shared))).rejects.toMatchObject({
      code: 'ROTATION_NOT_RETIRED',
      extras: { fields: { reason: 'not taken over yet by erp-7, erp-9' } },
    });
    expect(await world.tokenFor(FIRST_VALUE)).toBe('accepted');
    lacking.length = 0;
    expect(await rotate(world.options(shared))).toMatchObject({ kind: 'rotated' });
    expect(await world.tokenFor(FIRST_VALUE)).toBe('refused');
    await store.close();
  });

  it('deletes no stray and creates nothing while the others do not all have the same secret', async () => {
    using world = await server.world();
    await world.finish();
    const stray = { value: 'left-behind-12345', description: `aritma-sidecar ${world.journal().id} left behind` };
    await world.control(`/clients/${world.clientId}/secrets`, stray);
    const store = await world.open();
    const mayBegin = async () => {
      throw new SidecarError('ROTATION_STORE_FAILED');
    };
    expect(await codeOf(rotate(world.options({ ...store, mayBegin })))).toBe('ROTATION_STORE_FAILED');
    expect([await world.tokenFor('left-behind-12345'), await world.listed()]).toMatchObject([
      'accepted',
      { length: 2 },
    ]);
    await store.close();
  });

  it('goes on when the old secret has been deleted by hand', async () => {
    using world = await server.world();
    const old = await onlyId(world);
    await world.rotate();
    await world.iam.deleteSecret(world.clientId, old);
    await world.finish();
    expect(await world.listed()).toHaveLength(1);
  });

  it('replaces a secret that has expired', async () => {
    using world = await server.world();
    await world.finish();
    world.clock.advance(POLICY.secretLifetime + DAY);
    expect(await world.tokenFor(world.stored())).toBe('refused');
    await world.finish();
    expect(await world.tokenFor(world.stored())).toBe('accepted');
  });

  it('gives up a new secret that has expired in the overlap, and knows the old one among others', async () => {
    using world = await server.world();
    const old = await onlyId(world);
    await world.rotate();
    world.clock.advance(POLICY.secretLifetime + DAY);
    const byHand = { value: new Secret('made-by-hand-0123456789'), description: 'by hand' };
    await world.iam.createSecret(world.clientId, byHand);
    async function* newestFirst() {
      yield* (await world.listed()).toReversed();
    }
    const rotated = world.rotate({ iam: { ...world.iam, secrets: newestFirst } });
    await expect(rotated).rejects.toMatchObject({
      code: 'ROTATION_NOT_RETIRED',
      extras: { fields: { reason: expect.stringContaining('given up') } },
    });
    expect(world.journal()).toMatchObject({ current: { clientSecretId: old } });
    expect(world.journal().attempt).toBeUndefined();
    expect([await world.tokenFor(FIRST_VALUE), await world.tokenFor(byHand.value.reveal())]).toEqual([
      'accepted',
      'accepted',
    ]);
  });

  describe.each([
    ['has expired in the overlap', async (world: RotationWorld) => world.clock.advance(POLICY.secretLifetime + DAY)],
    [
      'was deleted, and somebody has stored another one',
      async (world: RotationWorld) => {
        await world.iam.deleteSecret(world.clientId, world.journal().current?.clientSecretId ?? '');
        writeFileSync(world.file, FIRST_VALUE);
        world.clock.advance(POLICY.overlap);
      },
    ],
  ])('that waits while the new secret %s', (_what, happens) => {
    it('tells that another process has given the rotation up, and begins none', async () => {
      using world = await server.world();
      const after = await world.rotate();
      if (after.kind !== 'waiting') throw new Error('it does not wait');
      await happens(world);
      expect(await codeOf(world.rotate())).toBe('ROTATION_NOT_RETIRED');
      const before = await descriptions(world);
      await expect(world.rotate({ after })).rejects.toMatchObject({
        code: 'ROTATION_NOT_RETIRED',
        extras: { fields: { reason: expect.stringContaining('another process has given it up') } },
      });
      expect([await descriptions(world), world.journal().attempt]).toEqual([before, undefined]);
      expect(await world.tokenFor(FIRST_VALUE)).toBe('accepted');
    });
  });

  it('that waits has rotated when another process has finished it', async () => {
    using world = await server.world();
    const after = await world.rotate();
    if (after.kind !== 'waiting') throw new Error('it does not wait');
    await world.finish();
    const expiresAt = world.journal().current?.expiresAt;
    expect(await world.rotate({ after })).toEqual({ kind: 'rotated', expiresAt });
  });

  it('refuses a journal it does not understand, and one with an attempt for another client, and changes nothing', async () => {
    using world = await server.world();
    writeFileSync(`${world.file}.rotation`, '{"version":2}');
    expect(await codeOf(world.rotate())).toBe('ROTATION_JOURNAL_INVALID');
    writeFileSync(`${world.file}.rotation`, 'not even JSON canary-value');
    await expect(world.rotate()).rejects.not.toThrow(/canary/);
    const attempt = {
      phase: 'creating',
      description: 'x',
      value: 'x'.repeat(32),
      expiresAt: 1,
      startedAt: 1,
      retire: [],
    };
    const other = { version: 1, id: '12345678', clientId: 'another', since: 1, attempt };
    writeFileSync(`${world.file}.rotation`, JSON.stringify(other));
    expect(await codeOf(world.rotate())).toBe('ROTATION_JOURNAL_INVALID');
    expect([world.stored(), (await world.listed()).length]).toEqual([FIRST_VALUE, 1]);
  });

  it('does not make another secret while the list lags behind what was created', async () => {
    using world = await server.world({ createResponse: 'empty' });
    let lists = 0;
    async function* secrets(clientId: string) {
      lists += 1;
      const known = lists <= 4;
      for await (const secret of world.iam.secrets(clientId)) {
        if (!known || secret.description === 'made in the portal') yield secret;
      }
    }
    await world.rotate({ iam: { ...world.iam, secrets } });
    expect(await world.listed()).toHaveLength(2);
  });

  it('asks for a secret that lives its whole life though the attempt began long ago', async () => {
    using world = await server.world();
    await world.control('/faults', { target: 'iam', method: 'POST', status: 403, times: 1 });
    expect(await codeOf(world.rotate())).toBe('IAM_REFUSED');
    world.clock.advance(200 * DAY);
    const now = world.clock.now();
    await world.rotate();
    expect(world.journal().current?.expiresAt).toBeGreaterThanOrEqual(now + POLICY.secretLifetime);
    expect(await world.listed()).toHaveLength(2);
  });

  it('creates no third secret beside one that somebody made while the rotation was interrupted', async () => {
    using world = await server.world();
    await world.control('/faults', { target: 'iam', method: 'POST', status: 403, times: 1 });
    expect(await codeOf(world.rotate())).toBe('IAM_REFUSED');
    const byHand = { value: new Secret('made-by-hand-0123456789'), description: 'by hand', expiresAt: Date.UTC(2050) };
    const id = await world.iam.createSecret(world.clientId, byHand);
    expect(await codeOf(world.rotate())).toBe('ROTATION_TOO_MANY_SECRETS');
    expect(await world.listed()).toHaveLength(2);
    const made = (await world.listed()).find(({ description }) => description === 'by hand');
    await world.iam.deleteSecret(world.clientId, id ?? made?.clientSecretId ?? '');
    await world.finish();
    expect(await world.listed()).toHaveLength(1);
  });

  it('keeps the old secret when the new one expires while the process sleeps before it deletes, and begins anew', async () => {
    using world = await server.world();
    const old = await onlyId(world);
    await world.rotate();
    world.clock.advance(POLICY.overlap);
    async function* secrets(clientId: string) {
      world.clock.advance(POLICY.secretLifetime + DAY);
      yield* world.iam.secrets(clientId);
    }
    expect(await codeOf(world.rotate({ iam: { ...world.iam, secrets } }))).toBe('ROTATION_NOT_RETIRED');
    expect((await world.listed()).map(({ clientSecretId }) => clientSecretId)).toContain(old);
    expect(world.journal()).toMatchObject({ current: { clientSecretId: old } });
    await world.finish();
    expect(await world.listed()).toHaveLength(1);
    expect(await world.tokenFor(world.stored())).toBe('accepted');
  });

  it('deletes nothing when the process has slept since the new secret was proved', async () => {
    using world = await server.world();
    await world.rotate();
    world.clock.advance(POLICY.overlap);
    const trySecret = async (tried: Secret) => {
      const verdict = await world.tokenFor(tried.reveal());
      world.clock.advance(2 * 60_000);
      return verdict;
    };
    expect(await codeOf(world.rotate({ trySecret }))).toBe('ROTATION_NOT_RETIRED');
    expect(await world.listed()).toHaveLength(2);
    await world.finish();
    expect(await world.listed()).toHaveLength(1);
  });

  it('keeps a new secret that is refused when somebody has deleted the only other one, and proves it again', async () => {
    using world = await server.world();
    const old = await onlyId(world);
    const trySecret = async (tried: Secret) => {
      const isOld = tried.reveal() === FIRST_VALUE;
      if (!isOld && (await world.listed()).length === 2) await world.iam.deleteSecret(world.clientId, old);
      return isOld ? 'accepted' : 'refused';
    };
    expect(await codeOf(world.rotate({ trySecret }))).toBe('ROTATION_NOT_VERIFIED');
    expect(await world.listed()).toHaveLength(1);
    await world.finish();
    expect(await world.tokenFor(world.stored())).toBe('accepted');
    expect(await world.listed()).toHaveLength(1);
  });

  it('creates no third secret beside one that somebody makes while it tries again', async () => {
    using world = await server.world();
    const byHand = { value: new Secret('made-by-hand-0123456789'), description: 'by hand', expiresAt: Date.UTC(2050) };
    let tries = 0;
    const createSecret: typeof world.iam.createSecret = async (id, secret) => {
      tries += 1;
      if (tries > 1) return world.iam.createSecret(id, secret);
      await world.iam.createSecret(id, byHand);
      throw new SidecarError('IAM_UNAVAILABLE');
    };
    expect(await codeOf(world.rotate({ iam: { ...world.iam, createSecret } }))).toBe('ROTATION_TOO_MANY_SECRETS');
    expect(await world.listed()).toHaveLength(2);
  });

  it('remembers when the new secret expires as IAM lists it, which may be sooner than was asked for', async () => {
    using world = await server.world();
    const expiresAt = Math.floor(world.clock.now()) + 20 * DAY;
    const createSecret: typeof world.iam.createSecret = (id, secret) =>
      world.iam.createSecret(id, { ...secret, expiresAt });
    await world.rotate({ iam: { ...world.iam, createSecret } });
    await world.finish();
    expect(world.journal().current).toMatchObject({ expiresAt });
  });

  it('proves the new secret again before it goes on to store it, since somebody may have deleted it meanwhile', async () => {
    using world = await server.world();
    const store = await world.open();
    const writeSecret = () => Promise.reject(new SidecarError('ROTATION_STORE_FAILED'));
    expect(await codeOf(rotate({ ...world.options({ ...store, writeSecret }) }))).toBe('ROTATION_STORE_FAILED');
    await store.close();
    const made = (await world.listed()).find(({ description }) => description === world.journal().attempt?.description);
    await world.iam.deleteSecret(world.clientId, made?.clientSecretId ?? '');
    expect(await codeOf(world.rotate())).toBe('ROTATION_NOT_VERIFIED');
    expect(world.stored()).toBe(FIRST_VALUE);
    await world.finish();
    expect(await world.tokenFor(world.stored())).toBe('accepted');
    expect(await world.listed()).toHaveLength(1);
  });

  it('never gives up a secret that is in the store already', async () => {
    using world = await server.world();
    const store = await world.open();
    const writeJournal = (text: string) =>
      world.stored() === FIRST_VALUE ? store.writeJournal(text) : Promise.reject(new SidecarError('ROTATION_LOCKED'));
    expect(await codeOf(rotate({ ...world.options({ ...store, writeJournal }) }))).toBe('ROTATION_LOCKED');
    await store.close();
    const stored = world.stored();
    expect(await world.rotate({ trySecret: async () => 'refused' })).toMatchObject({ kind: 'waiting' });
    await world.finish();
    expect([world.stored(), await world.tokenFor(stored)]).toEqual([stored, 'accepted']);
  });

  it('takes a secret that it does not remember for the one in use, where no other can be', async () => {
    using world = await server.world();
    await world.finish();
    const older = readFileSync(`${world.file}.rotation`);
    await world.finish();
    // Somebody restores the journal from a backup.
    writeFileSync(`${world.file}.rotation`, older);
    const inUse = world.stored();
    await world.rotate();
    expect(await world.tokenFor(inUse)).toBe('accepted');
    await world.finish();
    expect(await world.listed()).toHaveLength(1);
    expect(await world.tokenFor(world.stored())).toBe('accepted');
  });

  it('retires the old secret though the answer to the creation named an id that IAM does not list', async () => {
    using world = await server.world();
    const createSecret: typeof world.iam.createSecret = async (id, secret) => {
      await world.iam.createSecret(id, secret);
      await world.iam.createSecret(id, { ...secret, expiresAt: world.clock.now() + DAY });
      return 'an-id-of-something-else';
    };
    await world.rotate({ iam: { ...world.iam, createSecret } });
    await world.finish();
    const [only, ...others] = await world.listed();
    expect([others, world.journal().current]).toEqual([[], only]);
    expect(only?.expiresAt).toBeGreaterThan(world.clock.now() + 80 * DAY);
    expect(await world.tokenFor(world.stored())).toBe('accepted');
  });

  it('tells nothing of a secret in what it reports', async () => {
    using world = await server.world();
    await world.rotate();
    const stored = world.stored();
    await world.finish();
    const told = JSON.stringify(world.progress);
    expect([told.includes(FIRST_VALUE), told.includes(stored)]).toEqual([false, false]);
  });
});
