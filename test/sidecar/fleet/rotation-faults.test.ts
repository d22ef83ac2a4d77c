/** A rotation in a fleet whose members die, sleep and disagree at the worst moment: nobody is left without a secret that works. */
import { describe, expect, it } from 'vitest';
import { FIRST, POLICY } from '../../support/fleet-rotation-member.ts';
import { RotationWorld } from '../../support/fleet-rotation-world.ts';

const isNew = (value: string) => value !== FIRST;

/** Lets `name` begin a rotation, and does something when it comes to the step that `isThere` tells. */
function at(world: RotationWorld, name: string, isThere: (step: string) => boolean, then: () => void): () => boolean {
  let isDone = false;
  world.onStep = (member, step) => {
    if (isDone || member.name !== name || !isThere(step)) return;
    isDone = true;
    then();
  };
  return () => isDone;
}

describe('a rotation in a fleet', () => {
  it('gives each member the new secret, and deletes the old one', async () => {
    const world = new RotationWorld(['a', 'b', 'c-memory']);
    world.member('a').rotates = true;
    await world.until(() => world.live.length === 1 && isNew(world.live[0]?.value ?? FIRST));
    expect(world.mostLive).toBe(2);
    expect(world.members.every((member) => member.secrets.includes(world.live[0]?.value ?? ''))).toBe(true);
  });

  it('keeps the new secret that a member may have in its file, although another one is refused with it', async () => {
    const world = new RotationWorld(['a', 'b']);
    const [a, b] = [world.member('a'), world.member('b')];
    world.refuses = (member, value) => member === 'b' && isNew(value);
    a.rotates = true;
    await world.until(
      at(
        world,
        'a',
        (step) => step === 'lease' && isNew(a.disk.secret),
        () => a.crash(),
      ),
    );
    b.rotates = true;
    await world.clock.advance(120_000);
    a.start();
    await world.clock.advance(30_000);
    expect(world.locked()).toEqual([]);
  });

  it('ends for a member that sleeps longer than its lease: what the others did since stands', async () => {
    const world = new RotationWorld(['a', 'b']);
    const [a, b] = [world.member('a'), world.member('b')];
    world.refuses = (member, value) => member === 'b' && isNew(value);
    a.rotates = true;
    let tries = 0;
    // After the last try of the new secret, before it is noted that it works.
    const sleeps = at(
      world,
      'a',
      (step) => {
        if (step === 'try') tries += 1;
        return step === 'lease' && tries === 4;
      },
      () => a.freeze(),
    );
    await world.until(sleeps);
    b.rotates = true;
    await world.until(() => world.live.length === 1);
    b.rotates = false;
    await world.clock.advance(5000);
    a.thaw();
    await world.clock.advance(30_000);
    expect(world.locked()).toEqual([]);
  });

  it.each([3_600_000, -3_600_000])(
    'keeps the old secret for `overlap`, also for a member with a clock %i ms ahead',
    async (aheadMs) => {
      const world = new RotationWorld(['a', 'b']);
      const [a, b] = [world.member('a'), world.member('b')];
      a.rotates = true;
      await world.until(() => isNew(a.disk.secret));
      const storedAt = world.clock.now().wallMs;
      b.aheadMs = aheadMs;
      b.rotates = true;
      await world.until(() => world.live.length === 1);
      const keptMs = world.clock.now().wallMs - storedAt;
      expect(keptMs).toBeGreaterThanOrEqual(POLICY.overlap);
      expect(keptMs).toBeLessThan(POLICY.overlap + 30_000);
    },
  );

  it('leaves a member that has no file the secret of before, while the next rotation is under way', async () => {
    const world = new RotationWorld(['a', 'b-memory']);
    const [a, b] = [world.member('a'), world.member('b-memory')];
    a.rotates = true;
    await world.until(() => world.live.length === 1 && isNew(world.live[0]?.value ?? FIRST));
    await world.until(
      at(
        world,
        'a',
        (step) => step === 'create',
        () => a.freeze(),
      ),
    );
    b.crash();
    b.start();
    await world.clock.advance(20_000);
    expect(world.locked()).toEqual([]);
  });

  it('goes on where it was when the store loses the journal and a new member comes first', async () => {
    const world = new RotationWorld(['a', 'b', 'c']);
    const [a, b, c] = [world.member('a'), world.member('b'), world.member('c')];
    b.isCutOff = true;
    a.rotates = true;
    await world.until(
      at(
        world,
        'a',
        (step) => step === 'close' && isNew(a.disk.secret),
        () => a.crash(),
      ),
    );
    c.crash();
    Object.assign(c.disk, { secret: FIRST, journal: undefined });
    world.scripts.flush();
    c.rotates = true;
    c.start();
    await world.clock.advance(5000);
    a.start();
    b.isCutOff = false;
    await world.until(() => world.live.length === 1 && isNew(world.live[0]?.value ?? FIRST));
    expect(world.locked()).toEqual([]);
  });

  it('deletes nothing of an attempt that another member began while this one slept', async () => {
    const world = new RotationWorld(['a', 'b']);
    const [a, b] = [world.member('a'), world.member('b')];
    a.rotates = true;
    const sleeps = at(
      world,
      'a',
      (step) => step === 'list',
      () => a.freeze(),
    );
    await world.until(sleeps);
    b.rotates = true;
    await world.until(
      at(
        world,
        'b',
        (step) => step === 'writeSecret',
        () => b.freeze(),
      ),
    );
    a.thaw();
    await world.clock.advance(1000);
    b.thaw();
    await world.clock.advance(60_000);
    expect(world.locked()).toEqual([]);
  });

  it('leaves the secret in the journal for a member without a file that dies while the old one is deleted', async () => {
    const world = new RotationWorld(['a', 'b-memory']);
    const [a, b] = [world.member('a'), world.member('b-memory')];
    a.rotates = true;
    await world.until(
      at(
        world,
        'a',
        (step) => step === 'delete',
        () => a.freeze(),
      ),
    );
    b.crash();
    await world.clock.advance(35_000);
    a.thaw();
    await world.until(() => world.live.length === 1);
    await world.clock.advance(5000);
    b.start();
    await world.clock.advance(30_000);
    expect(world.locked()).toEqual([]);
  });
});
