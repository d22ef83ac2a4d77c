// The lease of a rotation: one holder, kept while it works, over when it is not heard of.
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { Lease } from '../../src/fleet/lease.ts';
import { createSealer } from '../../src/fleet/seal.ts';
import { createFakeClock } from '../support/clock.ts';
import { newFleetKey } from '../support/redis-member.ts';
import { RotationStore } from '../support/rotation-store.ts';

const KEY = 'lease';

function openWorld() {
  const clock = createFakeClock();
  const store = new RotationStore(() => clock.now().wallMs);
  const { run } = store.access(createSealer([new Secret(newFleetKey())]), 'host');
  const leaseOf = (holder: string) => new Lease({ holder, clock, run: (script, args) => run(script, [KEY], args) });
  return { clock, store, leaseOf };
}

describe('a lease', () => {
  it('is refused to another with the name of its holder, and is free once it was given back', async () => {
    const { leaseOf } = openWorld();
    const [one, other] = [leaseOf('one'), leaseOf('other')];
    await one.take();
    await expect(other.take()).rejects.toMatchObject({
      code: 'ROTATION_LOCKED',
      extras: { fields: { holder: 'one' } },
    });
    await one.release();
    await expect(other.take()).resolves.toBeUndefined();
  });

  it('lasts as long as its holder keeps it, and 30 s longer than its holder lives', async () => {
    const { clock, leaseOf } = openWorld();
    const [one, other] = [leaseOf('one'), leaseOf('other')];
    await one.take();
    one.keep();
    for (let seconds = 0; seconds < 120; seconds += 10) {
      await clock.advance(10_000);
      await expect(other.take()).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
    }
    await one.release();
    const dead = leaseOf('dead');
    await dead.take();
    await clock.advance(29_999);
    await expect(other.take()).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
    await clock.advance(1);
    await expect(other.take()).resolves.toBeUndefined();
  });

  it('that another has taken meanwhile is not the holder’s any more, and giving it back takes nothing from the other', async () => {
    const { clock, leaseOf } = openWorld();
    const [frozen, other] = [leaseOf('frozen'), leaseOf('other')];
    await frozen.take();
    await clock.advance(30_000);
    await other.take();
    await expect(frozen.confirm()).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
    await frozen.release();
    await expect(leaseOf('third').take()).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
  });

  it('that is over is not taken again by its holder to go on, even if it is free: others may have begun and ended anything', async () => {
    const { clock, leaseOf } = openWorld();
    const frozen = leaseOf('frozen');
    await frozen.take();
    await expect(frozen.confirm()).resolves.toBe(clock.now().wallMs);
    await clock.advance(30_000);
    await expect(frozen.confirm()).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
  });

  it('is tried again when the store fails once, and its release never throws', async () => {
    const { clock, store, leaseOf } = openWorld();
    const one = leaseOf('one');
    await one.take();
    one.keep();
    store.fault = new Error('down');
    await clock.advance(10_000);
    await expect(one.confirm()).rejects.toThrow('down');
    store.fault = undefined;
    await clock.advance(10_000);
    await clock.advance(15_000);
    await expect(leaseOf('other').take()).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
    store.fault = new Error('down');
    await expect(one.release()).resolves.toBeUndefined();
  });
});
