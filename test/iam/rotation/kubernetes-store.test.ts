// One client secret in one Kubernetes Secret: who may rotate it, and that nobody loses anything while it is done.
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { SidecarError } from '../../../src/core/errors.ts';
import { Secret } from '../../../src/core/secret.ts';
import { leaseName } from '../../../src/iam/rotation/kubernetes-lease.ts';
import type { OpenStore } from '../../../src/iam/rotation/store.ts';
import { describeWithOpenssl, makeCertificates } from '../../support/certificates.ts';
import { NEW, OLD, SECRET_ID, startKubernetesWorld, TOKEN } from '../../support/kubernetes-world.ts';

const JOURNAL = `{"value":"${NEW}"}\n`;
const SECONDS = 1000;

async function refusalOf(work: Promise<unknown>): Promise<{ code: string; fields: Record<string, unknown> }> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof SidecarError)) throw new Error(`no refusal but ${inspect(error)}`);
  const printed = inspect(error, { depth: 20, showHidden: true }) + JSON.stringify(error.extras.fields);
  for (const value of [TOKEN, OLD, NEW]) {
    expect(printed).not.toContain(value);
    expect(printed).not.toContain(Buffer.from(value).toString('base64'));
  }
  return { code: error.code, fields: { ...error.extras.fields } };
}

const revealed = async (store: OpenStore) => (await store.readSecret())?.reveal();

describeWithOpenssl('rotation/kubernetes-store.ts', () => {
  const certificates = makeCertificates((authority) => ({ server: authority.issue('api', 'IP:127.0.0.1') }));
  const start = () => startKubernetesWorld(certificates());

  describe('what it keeps', () => {
    it('reads and replaces the secret and its journal', async () => {
      await using world = await start();
      const store = await world.store().open();
      expect(await revealed(store)).toBe(OLD);
      expect(await store.readJournal()).toBeUndefined();
      await store.writeJournal(JOURNAL);
      await store.writeSecret(new Secret(NEW));
      expect(await store.readJournal()).toBe(JOURNAL);
      expect(await revealed(store)).toBe(NEW);
      await store.close();
      expect(await world.store().peek()).toBe(JOURNAL);
      expect(world.data()).toEqual({ 'client-secret': NEW, 'client-secret.rotation': JOURNAL, other: 'not-ours' });
    });

    it('reads a secret that was stored with a line break, and none where the key is missing or empty', async () => {
      await using world = await start();
      const store = await world.store().open();
      const set = (text: string) =>
        world.api.secrets.edit(SECRET_ID, ({ data = {} }) => {
          data['client-secret'] = Buffer.from(text).toString('base64');
        });
      set(`${OLD}\r\n`);
      expect(await revealed(store)).toBe(OLD);
      set('');
      expect(await revealed(store)).toBeUndefined();
      world.api.secrets.edit(SECRET_ID, (object) => {
        delete object.data;
      });
      expect(await revealed(store)).toBeUndefined();
      await store.writeSecret(new Secret(NEW));
      expect(world.data()).toEqual({ 'client-secret': NEW });
      await store.close();
    });

    it('refuses a value that is not text', async () => {
      await using world = await start();
      world.api.secrets.edit(SECRET_ID, ({ data = {} }) => {
        data['client-secret'] = Buffer.from([0xff, 0xfe, 0x00]).toString('base64');
      });
      const store = await world.store().open();
      expect(await refusalOf(store.readSecret())).toMatchObject({
        code: 'ROTATION_STORE_FAILED',
        fields: { reason: 'the value of client-secret is not text' },
      });
      await store.close();
    });

    it('leaves other keys, annotations and labels as they are', async () => {
      await using world = await start();
      world.api.secrets.edit(SECRET_ID, ({ metadata }) => {
        metadata.labels = { app: 'erp' };
        metadata.annotations = { 'example.org/owner': 'treasury' };
      });
      const store = await world.store().open();
      await store.writeJournal(JOURNAL);
      await store.writeSecret(new Secret(NEW));
      await store.close();
      expect(world.data()['other']).toBe('not-ours');
      expect(world.annotations()).toEqual({ 'example.org/owner': 'treasury' });
      expect(world.api.secrets.find(SECRET_ID)?.metadata.labels).toEqual({ app: 'erp' });
    });

    it('changes nothing when it is told the same again', async () => {
      await using world = await start();
      const store = await world.store().open();
      await store.writeSecret(new Secret(NEW));
      const patches = () => world.api.calls.filter(({ verb }) => verb === 'patch').length;
      const before = patches();
      await store.writeSecret(new Secret(NEW));
      expect(patches()).toBe(before);
      await store.close();
    });
  });

  describe('one at a time', () => {
    it('gives it to one of two that ask at once; the other hears who has it and since when', async () => {
      await using world = await start();
      const outcomes = await Promise.allSettled([world.store('pod-1').open(), world.store('pod-2').open()]);
      const won = outcomes.findIndex(({ status }) => status === 'fulfilled');
      const [winner] = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
      const [loser] = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
      expect(await refusalOf(Promise.reject(loser))).toEqual({
        code: 'ROTATION_LOCKED',
        fields: { host: `pod-${won + 1}`, since: '2026-06-01T00:00:00.000Z' },
      });
      await winner?.close();
      const next = await world.store('pod-2').open();
      await next.close();
      expect(world.annotations()).toEqual({});
    });

    it.each([20])('gives it to exactly one of %i', async (count) => {
      await using world = await start();
      const pods = Array.from({ length: count }, (_, index) => world.store(`pod-${index}`).open());
      const outcomes = await Promise.allSettled(pods);
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const outcome of outcomes) if (outcome.status === 'fulfilled') await outcome.value.close();
    });

    it('lets two credentials in one Secret be rotated at the same time', async () => {
      await using world = await start();
      const one = await world.store('pod-1').open();
      const two = await world.store('pod-1', { key: '.other_key-that.is-'.padEnd(200, 'x') }).open();
      await Promise.all([one.writeSecret(new Secret(NEW)), two.writeSecret(new Secret(OLD))]);
      expect(await revealed(one)).toBe(NEW);
      expect(await revealed(two)).toBe(OLD);
      await Promise.all([one.close(), two.close()]);
      expect(world.annotations()).toEqual({});
    });

    it('is kept for as long as its holder lives', async () => {
      await using world = await start();
      const store = await world.store('pod-1').open();
      for (let quarter = 0; quarter < 40; quarter++) {
        const before = world.annotations();
        await world.pass(15 * SECONDS);
        await expect.poll(() => world.annotations()).not.toEqual(before);
        await expect.poll(() => world.clock.timers).toBe(1);
      }
      await store.writeSecret(new Secret(NEW));
      expect(await refusalOf(world.store('pod-2').open())).toEqual({
        code: 'ROTATION_LOCKED',
        fields: { host: 'pod-1', since: '2026-06-01T00:00:00.000Z' },
      });
      await store.close();
      expect(world.clock.timers).toBe(0);
    });

    it('is not renewed any more after closing, even if a renewal was under way', async () => {
      await using world = await start();
      const store = await world.store().open();
      world.api.faults.push({ verb: 'get', what: 'silence' });
      const asked = world.api.calls.length;
      await world.pass(15 * SECONDS);
      await expect.poll(() => world.api.calls.length).toBeGreaterThan(asked);
      await store.close();
      // The renewal notices that its connection is gone, and then the timer would be set.
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(world.clock.timers).toBe(0);
      expect(world.annotations()).toEqual({});
    });

    it('is taken over from a holder that died 75 s ago and not before, whatever the clocks of the nodes say', async () => {
      await using world = await start();
      const dead = await world.store('pod-1').open();
      world.api.nowMs += 75 * SECONDS;
      expect((await refusalOf(world.store('pod-2').open())).fields).toMatchObject({ host: 'pod-1' });
      world.api.nowMs += SECONDS;
      const heir = await world.store('pod-2').open();
      // It was not dead after all, only cut off: nothing that it still wants to write has an effect.
      for (const work of [
        () => dead.writeSecret(new Secret(NEW)),
        () => dead.writeJournal(JOURNAL),
        () => dead.readSecret(),
        () => dead.readJournal(),
      ]) {
        expect(await refusalOf(work())).toMatchObject({ code: 'ROTATION_LOCKED', fields: { host: 'pod-2' } });
      }
      await dead.close();
      expect(world.data()).toEqual({ 'client-secret': OLD, other: 'not-ours' });
      expect(await revealed(heir)).toBe(OLD);
      await heir.close();
    });

    it('is taken over by one of several', async () => {
      await using world = await start();
      await world.store('pod-0').open();
      world.api.nowMs += 76 * SECONDS;
      const outcomes = await Promise.allSettled([1, 2, 3, 4].map((pod) => world.store(`pod-${pod}`).open()));
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const outcome of outcomes) if (outcome.status === 'fulfilled') await outcome.value.close();
    });

    it('is not held up by a stamp far in the future or one that nobody can read', async () => {
      await using world = await start();
      await world.store('pod-1').open();
      world.api.nowMs -= 3600 * SECONDS;
      const second = await world.store('pod-2').open();
      await second.close();
      const third = await world.store('pod-3').open();
      for (const text of [
        '',
        '{',
        '[]',
        'null',
        '{"host":1}',
        '{"host":"a","nonce":"b","since":"c","renewedAt":"d"}',
      ]) {
        world.api.secrets.edit(SECRET_ID, ({ metadata }) => {
          for (const name of Object.keys(metadata.annotations ?? {})) metadata.annotations = { [name]: text };
        });
        expect(await refusalOf(third.readSecret())).toMatchObject({ fields: { host: 'unknown' } });
        const other = await world.store('pod-4').open();
        await other.close();
        world.api.secrets.edit(SECRET_ID, ({ metadata }) => {
          metadata.annotations = { [leaseName('client-secret')]: text };
        });
      }
      await third.close();
    });

    it('is noticed to be lost when somebody has removed it, or the Secret was deleted and made anew', async () => {
      await using world = await start();
      const store = await world.store('pod-1').open();
      world.api.secrets.remove(SECRET_ID);
      expect(await refusalOf(store.writeSecret(new Secret(NEW)))).toMatchObject({ fields: { status: 404 } });
      world.api.secrets.create('payments', 'aritma-client', { 'client-secret': OLD });
      expect(await refusalOf(store.writeSecret(new Secret(NEW)))).toEqual({
        code: 'ROTATION_LOCKED',
        fields: { host: 'unknown' },
      });
      await store.close();
      expect(world.data()).toEqual({ 'client-secret': OLD });
    });

    it('is nobody’s after closing, which may be done twice and of what is lost', async () => {
      await using world = await start();
      const store = await world.store('pod-1').open();
      await store.close();
      await store.close();
      expect((await refusalOf(store.readSecret())).code).toBe('ROTATION_LOCKED');
      expect((await refusalOf(store.writeSecret(new Secret(NEW)))).code).toBe('ROTATION_LOCKED');
      expect(world.clock.timers).toBe(0);
    });
  });

  describe('others that change the object', () => {
    it('go first, and nothing of theirs is lost', async () => {
      await using world = await start();
      const store = await world.store().open();
      for (let round = 0; round < 8; round++) {
        world.api.afterRead.push(() =>
          world.api.secrets.edit(SECRET_ID, ({ metadata, data = {} }) => {
            metadata.annotations = { ...metadata.annotations, 'example.org/round': String(round) };
            data['other'] = Buffer.from(`round ${round}`).toString('base64');
          }),
        );
      }
      await store.writeSecret(new Secret(NEW));
      await store.close();
      expect(world.data()).toEqual({ 'client-secret': NEW, other: 'round 7' });
      expect(world.annotations()).toEqual({ 'example.org/round': '7' });
    });

    it('are given up on when they never stop', async () => {
      await using world = await start();
      const store = await world.store().open();
      let round = 0;
      const edit = () => {
        world.api.secrets.edit(SECRET_ID, ({ metadata }) => {
          metadata.labels = { round: String(round++) };
        });
        world.api.afterRead.push(edit);
      };
      world.api.afterRead.push(edit);
      expect(await refusalOf(store.writeSecret(new Secret(NEW)))).toMatchObject({
        code: 'ROTATION_STORE_FAILED',
        fields: { status: 409 },
      });
      expect(round).toBeLessThan(12);
      world.api.afterRead.length = 0;
      await store.close();
    });

    it('may take the lease between read and write: then nothing is written', async () => {
      await using world = await start();
      const store = await world.store('pod-1').open();
      world.api.afterRead.push(() =>
        world.api.secrets.edit(SECRET_ID, ({ metadata }) => {
          for (const name of Object.keys(metadata.annotations ?? {})) {
            const lease = JSON.parse(metadata.annotations?.[name] ?? '') as object;
            metadata.annotations = { [name]: JSON.stringify({ ...lease, nonce: 'another', host: 'pod-2' }) };
          }
        }),
      );
      expect(await refusalOf(store.writeSecret(new Secret(NEW)))).toMatchObject({
        code: 'ROTATION_LOCKED',
        fields: { host: 'pod-2' },
      });
      await store.close();
      expect(world.data()['client-secret']).toBe(OLD);
      expect(Object.values(world.annotations())[0]).toContain('another');
    });
  });
});
