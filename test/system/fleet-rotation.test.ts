// One member of a fleet rotates the client secret that all use: each takes it over before the old one is deleted.
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPacedLoad } from '../support/paced-load.ts';
import { missingRedis } from '../support/redis-server.ts';
import { type RotationFleet, type RotationMember, startRotationFleet } from '../support/rotation-fleet.ts';
import { until } from '../support/until.ts';

type Members = readonly [RotationMember, RotationMember, RotationMember];

/** The list of members must be complete before a rotation begins: 30 s after the store was empty. */
const BEGIN_MS = 90_000;
/** A lease ends 30 s after its holder, and members look every 10 s. */
const END_MS = 180_000;
const TEST_MS = 300_000;

describe.skipIf(missingRedis().length > 0 && !process.env['CI'])('a rotation in a fleet', () => {
  let fleet: RotationFleet;
  let members: Members;
  beforeAll(async () => {
    fleet = await startRotationFleet({ members: 3, overlap: '5s', inMemory: 2 });
    members = fleet.members as unknown as Members;
  });
  afterAll(async () => await fleet?.[Symbol.asyncDispose]());

  /** Tries until one has begun, as a timer would. */
  async function rotateBy(member: RotationMember): Promise<void> {
    await until('a rotation begins', async () => (await member.rotate('--no-wait')).code === 0, BEGIN_MS);
  }

  /** Resolves when the client has one secret, which is not `old`. */
  async function overWithout(old: string): Promise<void> {
    await until('the old one is deleted', async () => !(await fleet.accepts(old)), END_MS);
    expect(await fleet.secretsAtIam()).toHaveLength(1);
  }

  const planted = async (value: string) => {
    const dump = `${(await fleet.store.ask('KEYS', '*')).split('\n').join(' ')}`;
    const values = await Promise.all(dump.split(' ').map((key) => fleet.store.ask('DUMP', key)));
    const forms = [value, value.replaceAll('"', '\\"')];
    return [dump, ...values].some((text) => forms.some((form) => text.includes(form)));
  };

  it(
    'ends with one secret that all have, in their files or in memory, and shows it nowhere in the store',
    async () => {
      const [one, two, three] = members;
      await using load = startPacedLoad(
        members.map(({ url }) => url),
        100,
      );
      const old = one.secret();
      await rotateBy(one);
      expect(await fleet.accepts(old)).toBe(true);
      await until('the second has it', () => two.secret() === one.secret());
      // As a member writes it: a short name alone occurs in any text.
      const host = `"host":"${hostname()}"`;
      const shown = await Promise.all([one.secret(), old, 'fleet-erp', host].map(planted));
      expect(shown).toEqual([false, false, false, false]);
      await overWithout(old);
      expect(await fleet.accepts(two.secret())).toBe(true);
      expect(three.log()).toContain('new client secret of the fleet taken over, but only in memory');
      const journal = () => JSON.parse(readFileSync(`${two.secretFile}.rotation`, 'utf8')) as { attempt?: object };
      await until('its own journal is without the value', () => journal().attempt === undefined);
      const { requests, failures } = await load.stop();
      expect([failures, requests > 500]).toEqual([{}, true]);
    },
    TEST_MS,
  );

  it(
    'reaches a member that has it only in memory also after its restart, as the store keeps it for that one',
    async () => {
      const [, , three] = members;
      await three.kill();
      await three.restart();
      await until('it has the secret again', () => three.log().includes('but only in memory'), END_MS);
      await until('it gets its own token', async () => (await three.refresh()) === 200);
    },
    TEST_MS,
  );

  it(
    'deletes nothing while a member is cut off from the store, and names it',
    async () => {
      const [one, two] = members;
      const old = one.secret();
      two.relay.mode = 'swallow';
      two.relay.reset();
      await rotateBy(one);
      await until('somebody tells', () => one.log().includes('ROTATION_NOT_RETIRED'), END_MS);
      expect(one.log()).toMatch(/not taken over yet by [^"]+/);
      expect([await fleet.accepts(old), two.secret()]).toEqual([true, old]);
      two.relay.mode = 'pass';
      await overWithout(old);
      expect(two.secret()).toBe(one.secret());
    },
    TEST_MS,
  );

  it(
    'is ended by another member when the program that began it was killed before the new secret was in any file',
    async () => {
      const [one, two] = members;
      const old = one.secret();
      await using running = await begunBy(one);
      await running.untilStdout(/"step":"created"/);
      running.kill('SIGKILL');
      await running.ended;
      await overWithout(old);
      expect(two.secret()).toBe(one.secret());
    },
    TEST_MS,
  );

  async function begunBy(member: RotationMember) {
    for (const end = Date.now() + BEGIN_MS; ; ) {
      const running = member.startRotate('--no-wait');
      const hasBegun = running.untilStdout(/"step":"started"/).then(() => true);
      if (await Promise.race([hasBegun, running.ended.then(() => false)])) return running;
      hasBegun.catch(() => undefined);
      if (Date.now() > end) throw new Error('no rotation could begin');
    }
  }

  it(
    'without the fleet leaves the others with a secret that is deleted: the control',
    async () => {
      const [one, two] = members;
      const old = two.secret();
      one.configure({ fleet: undefined });
      expect((await one.rotate()).code).toBe(0);
      expect([two.secret(), await fleet.accepts(old)]).toEqual([old, false]);
      expect(await two.refresh()).toBe(503);
    },
    TEST_MS,
  );
});
