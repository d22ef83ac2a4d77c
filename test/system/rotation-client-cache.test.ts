/**
 * An identity server that keeps what it knows of a client for a minute and a half, in real time: a new secret is refused
 * that long, a deleted one accepted.
 */
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { startLoadedSidecar } from '../support/loaded-sidecar.ts';
import { createRotationWorld, journalWrong, type Lane, valueIn } from '../support/rotation-lanes.ts';

const CACHE_S = 90;

describe('rotate, when the identity server is late', () => {
  it('waits until the new secret is accepted, and no caller notices', { timeout: 400_000 }, async () => {
    await using world = await createRotationWorld({ lanes: 1, iam: { clientCacheS: CACHE_S } });
    const [lane] = world.lanes as [Lane];
    const old = valueIn(lane);
    const { load, tokenRequests } = await startLoadedSidecar(world, 200);
    const startedAt = performance.now();
    const { code, output } = await world.rotate(lane, { limitMs: 300_000 });
    const seconds = (performance.now() - startedAt) / 1000;
    expect([code, output]).toEqual([0, expect.stringContaining('"verdict":"refused"')]);
    // The server goes on taking the old one, and the sidecar needs several more tokens with the new one.
    expect(await world.accepts(lane.clientId, old)).toBe(true);
    await setTimeout(20_000);
    const { requests, failures } = await load.stop();
    process.stdout.write(`client cache of ${CACHE_S} s: ${Math.round(seconds)} s, ${requests} requests\n`);
    expect(failures).toEqual({});
    expect(await tokenRequests()).toEqual({ ok: expect.any(Number) });
    expect(seconds).toBeGreaterThan(CACHE_S - 10);
    expect(await world.secretsOf(lane.clientId)).toHaveLength(1);
    expect(await world.accepts(lane.clientId, valueIn(lane))).toBe(true);
    expect(valueIn(lane)).not.toBe(old);
    expect(await journalWrong(world, lane, old)).toEqual([]);
  });
});
