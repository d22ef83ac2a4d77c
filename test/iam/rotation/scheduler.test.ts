// The rotation scheduler of a running sidecar, with a clock of the test's own: rotation on schedule, expiry, failures.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { createLog } from '../../../src/core/log.ts';
import { createMetrics } from '../../../src/core/metrics.ts';
import { acquireLock } from '../../../src/iam/rotation/lock-file.ts';
import { createRotationScheduler } from '../../../src/iam/rotation/scheduler.ts';
import type { SecretStore } from '../../../src/iam/rotation/store.ts';
import { FIRST_VALUE, type RotationWorld, startRotationServer } from '../../support/rotation-world.ts';
import { until } from '../../support/until.ts';

const DAY = 86_400_000;
const LOOK_MS = 10;
const server = await startRotationServer();
afterAll(() => server[Symbol.asyncDispose]());

/** As a fleet has it, whose clock is that of its store. */
function shared(local: SecretStore, now: () => number): SecretStore {
  return { ...local, open: async () => ({ ...(await local.open()), now: async () => now() }) };
}

/** @param aheadMs of a fleet: by how much the clock here is ahead of the store's */
async function startCare(world: RotationWorld, rotation: object | null = { every: '60d' }, aheadMs = 0) {
  writeFileSync(`${world.folder}/admin`, 'secret-of-the-administrator', { mode: 0o600 });
  const tokenEndpoint = `${world.url}/connect/token`;
  const credential = {
    tokenEndpoint,
    clientId: world.clientId,
    secrets: [{ file: world.file }],
    scope: 'api',
    ...(rotation && { rotation }),
  };
  const admin = { tokenEndpoint, clientId: 'test-admin', secrets: [{ file: `${world.folder}/admin` }] };
  const config = {
    ...{ credentials: { default: credential, admin }, routes: [{ path: '/', upstream: world.url }] },
    iam: { url: `${world.url}/core/iam`, credential: 'admin', timeout: '1s' },
  };
  const file = `${world.folder}/config.yaml`;
  writeFileSync(file, JSON.stringify(config));
  let loaded = loadConfig({ file, env: {} });
  let stored = readFileSync(world.file, 'utf8');
  const readAgainIfChanged = () => {
    const now = readFileSync(world.file, 'utf8');
    if (now !== stored) loaded = loaded.reload();
    stored = now;
  };
  const logs: string[] = [];
  const log = createLog({ level: 'info', format: 'json', write: (line) => logs.push(line) });
  const metrics = createMetrics('1');
  let look = () => undefined as undefined | undefined;
  const care = createRotationScheduler({
    ...{ current: () => loaded, log, metrics, clock: world.clock },
    fleet: {
      share: (_credential, local) => (aheadMs > 0 ? shared(local, () => world.clock.now() - aheadMs) : local),
      isLeft: () => false,
    },
    every(_ms, run) {
      look = () => void run();
      return () => undefined;
    },
  });
  const rotation$ = () => care.view('default')?.rotation;
  return {
    ...{ care, logs, metrics, rotation: rotation$ },
    /** Looks until something has come of it, reading changed files before each look as a running sidecar does. */
    async untilLooked(what: string, isTrue: () => boolean | Promise<boolean>) {
      await until(what, async () => {
        readAgainIfChanged();
        look();
        await setTimeout(LOOK_MS);
        return await isTrue();
      });
    },
  };
}

/** One whose rotation has failed at its last step. */
async function startFailing(world: RotationWorld) {
  const running = await startCare(world);
  await running.untilLooked('a journal', () => running.rotation()?.nextAt !== undefined);
  world.clock.advance(60 * DAY);
  await running.untilLooked('the overlap', () => running.rotation()?.state === 'overlap');
  await world.control('/faults', { target: 'iam', method: 'DELETE', status: 403, times: 1 });
  world.clock.advance(3_600_000);
  await running.untilLooked('a failure', () => running.rotation()?.state === 'failing');
  return running;
}

/** Somebody puts a secret that expires in the place of the one there is. */
async function replaceByHand(world: RotationWorld, expiresAt: number): Promise<void> {
  for (const { clientSecretId } of await world.listed()) await world.iam.deleteSecret(world.clientId, clientSecretId);
  const expiration = new Date(expiresAt).toISOString();
  await world.control(`/clients/${world.clientId}/secrets`, { value: 'made-by-hand', expiration });
  writeFileSync(world.file, 'made-by-hand\n');
}

describe('the rotation scheduler', () => {
  it('counts from its first look, rotates after `every`, retires after the overlap, and says so', async () => {
    using world = await server.world();
    const running = await startCare(world);
    const start = world.clock.now();
    await running.untilLooked('a journal', () => running.rotation()?.nextAt === start + 60 * DAY);
    world.clock.advance(59 * DAY);
    await running.untilLooked('another look', () => running.rotation()?.state === 'idle');
    expect(world.stored()).toBe(FIRST_VALUE);
    world.clock.advance(DAY);
    await running.untilLooked('the overlap', () => running.rotation()?.state === 'overlap');
    expect(world.stored()).not.toBe(FIRST_VALUE);
    expect(await world.tokenFor(FIRST_VALUE)).toBe('accepted');
    world.clock.advance(3_600_000);
    await running.untilLooked('the end', () => running.rotation()?.rotatedAt !== undefined);
    expect(await world.tokenFor(FIRST_VALUE)).toBe('refused');
    // With the whole reserve before its expiry, which counts from when it was made.
    const expiresAt = world.journal().current?.expiresAt ?? 0;
    expect(running.rotation()).toMatchObject({ state: 'idle', nextAt: expiresAt - 30 * DAY });
    await running.untilLooked(
      'the expiry',
      () => (running.care.view('default')?.expiries.get('1') ?? 0) > start + 100 * DAY,
    );
    expect(await running.metrics.render('text', [])).toContain(
      'aritma_sidecar_rotations_total{credential="default",result="ok"} 1',
    );
    expect(running.logs.join('')).not.toContain(world.stored());
    await running.care.close();
  });

  it('rotates a secret of unknown making before it expires, with the reserve a new one has', async () => {
    using world = await server.world();
    const expiresAt = world.clock.now() + 40 * DAY;
    await replaceByHand(world, expiresAt);
    const running = await startCare(world);
    await running.untilLooked('when', () => running.rotation()?.nextAt === expiresAt - 30 * DAY);
    world.clock.advance(9 * DAY);
    await running.untilLooked('another look', () => running.rotation()?.state === 'idle');
    expect(world.stored()).toBe('made-by-hand');
    world.clock.advance(DAY);
    await running.untilLooked('the overlap', () => running.rotation()?.state === 'overlap');
    world.clock.advance(3_600_000);
    await running.untilLooked('the end', () => running.rotation()?.rotatedAt !== undefined);
    expect(running.rotation()?.nextAt).toBeGreaterThan(world.clock.now() + 59 * DAY);
    expect(await world.listed()).toHaveLength(1);
    await running.care.close();
  });

  it('does not wait for the end of a pause that began when the clock was far ahead', async () => {
    using world = await server.world();
    const running = await startCare(world);
    await running.untilLooked('a journal', () => running.rotation()?.nextAt !== undefined);
    await world.control('/faults', { target: 'iam', method: 'POST', status: 403, times: 1 });
    world.clock.advance(460 * DAY);
    await running.untilLooked('a failure', () => running.rotation()?.state === 'failing');
    world.clock.advance(-400 * DAY);
    await running.untilLooked('the overlap', () => running.rotation()?.state === 'overlap');
    await running.care.close();
  });

  it('tells when secrets expire though nothing is rotated, and asks again when they change', async () => {
    using world = await server.world();
    const running = await startCare(world, null);
    await running.untilLooked('nothing known', () => running.care.view('default') !== undefined);
    const expiration = new Date(world.clock.now() + 20 * DAY).toISOString();
    await world.control(`/clients/${world.clientId}/secrets`, { value: 'another-secret', expiration });
    writeFileSync(world.file, 'another-secret');
    await running.untilLooked(
      'the expiry',
      () => running.care.view('default')?.expiries.get('1') === Date.parse(expiration),
    );
    expect(running.rotation()).toBeUndefined();
    await running.care.close();
  });

  it('tries again with longer and longer pauses when IAM refuses, and goes on where it stopped', async () => {
    using world = await server.world();
    const running = await startCare(world);
    await running.untilLooked('a journal', () => running.rotation()?.nextAt !== undefined);
    await world.control('/faults', { target: 'iam', method: 'POST', status: 403, times: 1000 });
    world.clock.advance(60 * DAY);
    await running.untilLooked('a failure', () => running.rotation()?.lastError?.code === 'IAM_REFUSED');
    const [first] = [world.clock.now()];
    expect(running.rotation()).toMatchObject({ state: 'failing', nextAt: first + 60_000 });
    world.clock.advance(60_000);
    await running.untilLooked('another', () => running.rotation()?.nextAt === world.clock.now() + 120_000);
    await world.control('/faults', undefined, 'DELETE');
    world.clock.advance(120_000);
    await running.untilLooked('the overlap', () => running.rotation()?.state === 'overlap');
    expect(await running.metrics.render('text', [])).toContain(
      'aritma_sidecar_rotations_total{credential="default",result="IAM_REFUSED"} 2',
    );
    await running.care.close();
  });

  it('begins anew a minute after it has given up one that had failed for long', async () => {
    using world = await server.world();
    const running = await startCare(world);
    await running.untilLooked('a journal', () => running.rotation()?.nextAt !== undefined);
    world.clock.advance(60 * DAY);
    await running.untilLooked('the overlap', () => running.rotation()?.state === 'overlap');
    await world.iam.deleteSecret(world.clientId, world.journal().current?.clientSecretId ?? '');
    world.clock.advance(3_600_000);
    for (let failures = 1; failures <= 6; failures += 1) {
      const count = () => running.logs.filter((line) => line.includes('IAM does not list the new secret')).length;
      await running.untilLooked(`failure ${failures}`, () => count() === failures);
      world.clock.advance(3_600_000);
    }
    writeFileSync(world.file, `${FIRST_VALUE}\n`);
    await running.untilLooked('that it is given up', () => running.logs.some((line) => line.includes('is given up')));
    expect(running.rotation()?.nextAt).toBe(world.clock.now() + 60_000);
    world.clock.advance(60_000);
    await running.untilLooked('the next overlap', () => running.rotation()?.state === 'overlap');
    await running.care.close();
  });

  it('no longer says that it fails when another process has finished what failed here', async () => {
    using world = await server.world();
    const running = await startFailing(world);
    await world.rotate();
    await running.untilLooked('that it is over', () => running.rotation()?.state === 'idle');
    expect(running.rotation()).toMatchObject({ rotatedAt: world.clock.now(), lastError: undefined });
    await running.care.close();
  });

  it('rotates by the clock of the fleet, where its own is ahead by the time between two rotations', async () => {
    using world = await server.world();
    const running = await startCare(world, { every: '1d' }, DAY);
    await running.untilLooked('a journal', () => running.rotation()?.nextAt !== undefined);
    world.clock.advance(2 * DAY);
    await running.untilLooked('the overlap', () => running.rotation()?.state === 'overlap');
    world.clock.advance(3_600_000);
    await running.untilLooked('the end', () => running.rotation()?.rotatedAt !== undefined);
    expect(running.rotation()?.rotatedAt).toBe(world.clock.now() - DAY);
    for (let looks = 0; looks < 5; looks += 1) {
      world.clock.advance(60_000);
      await running.untilLooked('again', () => true);
    }
    expect(running.logs.filter((line) => line.includes('"step":"started"'))).toHaveLength(1);
    await running.care.close();
  });

  it('goes on with its pauses when another process has given up what failed here, and the next one cannot begin', async () => {
    using world = await server.world();
    const running = await startFailing(world);
    await world.iam.deleteSecret(world.clientId, world.journal().current?.clientSecretId ?? '');
    writeFileSync(world.file, `${FIRST_VALUE}\n`);
    await world.rotate().catch(() => undefined);
    expect(world.journal().attempt).toBeUndefined();
    await world.control(`/clients/${world.clientId}/secrets`, { value: 'made-by-hand' });
    const failures = () => running.logs.filter((line) => line.includes('ROTATION_TOO_MANY_SECRETS')).length;
    await running.untilLooked('that it cannot begin', () => failures() === 1);
    for (let looks = 0; looks < 5; looks += 1) await running.untilLooked('again', () => true);
    expect(failures()).toBe(1);
    await running.care.close();
  });

  it('leaves a rotation to another that has the lock, which is no failure', async () => {
    using world = await server.world();
    const running = await startCare(world);
    await running.untilLooked('a journal', () => running.rotation()?.nextAt !== undefined);
    const lock = await acquireLock(`${world.file}.rotation.lock`);
    world.clock.advance(60 * DAY);
    await running.untilLooked('a word of it', () => running.logs.some((line) => line.includes('somebody else')));
    expect(running.rotation()).toMatchObject({ state: 'idle', lastError: undefined });
    await lock.release();
    world.clock.advance(60_000);
    await running.untilLooked('the overlap', () => running.rotation()?.state === 'overlap');
    await running.care.close();
  });

  it('of several sidecars with one secret, one rotates and the others notice', async () => {
    using world = await server.world();
    const all = await Promise.all([startCare(world), startCare(world), startCare(world)]);
    for (const running of all) {
      await running.untilLooked('a journal', () => {
        world.clock.advance(1000);
        return running.rotation()?.nextAt !== undefined;
      });
    }
    world.clock.advance(60 * DAY);
    const looks = all.map((running) =>
      running.untilLooked('the overlap', () => running.rotation()?.state === 'overlap'),
    );
    // Those who met the lock look again a minute later.
    await until('all know', async () => {
      world.clock.advance(10_000);
      return all.every((running) => running.rotation()?.state === 'overlap');
    });
    await Promise.all(looks);
    expect(await world.listed()).toHaveLength(2);
    expect(all.flatMap(({ logs }) => logs).filter((line) => line.includes('"step":"promoted"'))).toHaveLength(1);
    await Promise.all(all.map(({ care }) => care.close()));
  });

  it('stops at its next pause when the sidecar stops, and the next one goes on', async () => {
    using world = await server.world({ clientCacheS: 90 });
    const first = await startCare(world);
    await first.untilLooked('a journal', () => first.rotation()?.nextAt !== undefined);
    world.clock.advance(60 * DAY);
    await first.untilLooked('it has begun', () => first.logs.some((line) => line.includes('"step":"created"')));
    await first.care.close();
    const next = await startCare(world);
    await next.untilLooked('the overlap', () => {
      // The first may still have been at it when the next one looked.
      world.clock.advance(10_000);
      return next.rotation()?.state === 'overlap';
    });
    expect(await world.listed()).toHaveLength(2);
    await next.care.close();
  });
});
