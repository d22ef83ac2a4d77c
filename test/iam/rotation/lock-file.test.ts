// One at a time, between processes, and who it is; and what a dead holder leaves behind.
import { fork, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { acquireLock } from '../../../src/iam/rotation/lock-file.ts';
import { createFolder } from '../../support/folder.ts';
import { PATIENCE_MS } from '../../support/own-time.ts';

const folder = createFolder();
const path = join(folder.path, 'secret.rotation.lock');
const owner = (over: object) =>
  JSON.stringify({ host: hostname(), pid: 1, startedAt: '1', nonce: 'x', since: 's', ...over });

/** A process that takes the lock and then does what it is told. */
async function holder() {
  const child = fork(new URL('../../support/lock-holder.ts', import.meta.url).pathname, [path], { execArgv: [] });
  await once(child, 'message');
  return child;
}

describe('rotation/lock', () => {
  it('is had by one at a time, who is named to the others by machine and process', async () => {
    using own = createFolder();
    const file = join(own.path, 'lock');
    const lock = await acquireLock(file);
    await expect(acquireLock(file)).rejects.toMatchObject({
      code: 'ROTATION_LOCKED',
      extras: { fields: { host: hostname(), pid: process.pid, since: expect.stringMatching(/^\d{4}-/) } },
    });
    await lock.confirm();
    await lock.release();
    await (await acquireLock(file)).release();
    expect(readdirSync(own.path)).toEqual([]);
  });

  it('is had by exactly one of many who ask at the same time', async () => {
    using own = createFolder();
    const file = join(own.path, 'lock');
    const tries = await Promise.allSettled(Array.from({ length: 50 }, () => acquireLock(file)));
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(readdirSync(own.path)).toEqual(['lock']);
  });

  it('of a process that was killed is taken over at once, by exactly one', async () => {
    const child = await holder();
    await expect(acquireLock(path)).rejects.toMatchObject({ extras: { fields: { pid: child.pid } } });
    child.kill('SIGKILL');
    await once(child, 'exit');
    const tries = await Promise.allSettled(Array.from({ length: 20 }, () => acquireLock(path)));
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ pid: process.pid });
  });

  it('of a dead holder, wanted by many, is not lost by the one who gets it, and the others are told who that is', async () => {
    using own = createFolder();
    const ended = spawnSync('true').pid;
    for (let round = 0; round < 100; round += 1) {
      const file = own.write(`lock-${round}`, owner({ pid: ended }));
      const tries = await Promise.allSettled(
        Array.from({ length: 10 }, async (_none, index) => {
          await setTimeout(index % 3);
          const lock = await acquireLock(file);
          // Others may just be looking whether the one before was alive.
          for (let check = 0; check < 5; check += 1) await lock.confirm().then(() => setTimeout(1));
          return lock;
        }),
      );
      const locks = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
      const told = tries.flatMap((one) => (one.status === 'rejected' ? [one.reason.extras?.fields] : []));
      expect(locks).toHaveLength(1);
      expect(new Set(told.map(({ pid }) => pid))).toEqual(new Set([process.pid]));
      for (const lock of locks) await lock.release();
    }
    expect(readdirSync(own.path)).toEqual([]);
  });

  it('is cleared of what others were killed over, of its own name only', async () => {
    using own = createFolder();
    const file = join(own.path, 'lock');
    own.write(`lock.${randomUUID()}`, '');
    own.write(`lock.${randomUUID()}`, owner({ pid: 4711 }).slice(0, 20));
    own.write(`lock.${randomUUID()}`, owner({ pid: 4711 }));
    own.write('lock-of-another', '');
    const lock = await acquireLock(file);
    expect(readdirSync(own.path).sort()).toEqual(['lock', 'lock-of-another']);
    await lock.release();
  });

  it.runIf(process.platform === 'linux')('of a holder that ended and was never asked how is taken over', async () => {
    using own = createFolder();
    const file = join(own.path, 'lock');
    const script = new URL('../../support/lock-holder.ts', import.meta.url).pathname;
    // Its shell becomes a program that never waits for children.
    const parent = spawn('sh', ['-c', '"$0" "$1" "$2" & exec sleep 30', process.execPath, script, file]);
    try {
      const held = () =>
        existsSync(file) &&
        acquireLock(file).then(
          () => false,
          () => true,
        );
      await vi.waitFor(async () => expect(await held()).toBe(true), { timeout: PATIENCE_MS });
      const { pid } = JSON.parse(readFileSync(file, 'utf8')) as { pid: number };
      process.kill(pid, 'SIGKILL');
      const state = () =>
        readFileSync(`/proc/${pid}/stat`, 'utf8')
          .replace(/^.*\) /, '')
          .slice(0, 1);
      await vi.waitFor(() => expect(state()).toBe('Z'), { timeout: PATIENCE_MS });
      await (await acquireLock(file)).release();
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it('of another machine is taken over when its stamp is of a clock that was far ahead', async () => {
    using own = createFolder();
    const file = own.write('lock', owner({ host: 'another' }));
    const nextYear = Date.now() / 1000 + 365 * 86_400;
    utimesSync(file, nextYear, nextYear);
    await (await acquireLock(file)).release();
  });

  it('of an earlier process with this very pid, as in a restarted container, is taken over', async () => {
    using own = createFolder();
    const file = own.write('lock', owner({ pid: process.pid, startedAt: 'another start' }));
    await (await acquireLock(file)).release();
  });

  it('that could not be removed by this very process is had again once it has not been renewed for a minute', async () => {
    using own = createFolder();
    const file = join(own.path, 'lock');
    const lock = await acquireLock(file);
    const text = readFileSync(file, 'utf8');
    await lock.release();
    own.write('lock', text);
    await expect(acquireLock(file)).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
    const agoS = Date.now() / 1000 - 61;
    utimesSync(file, agoS, agoS);
    await (await acquireLock(file)).release();
  });

  it('of a pid that runs, on a system that does not say since when, holds while it is renewed and a minute longer', async () => {
    using own = createFolder();
    const file = own.write('lock', owner({ pid: process.ppid, startedAt: '' }));
    await expect(acquireLock(file)).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
    const agoS = Date.now() / 1000 - 61;
    utimesSync(file, agoS, agoS);
    await (await acquireLock(file)).release();
  });

  it('of another machine holds while it is renewed, and no longer than a minute after that', async () => {
    using own = createFolder();
    const file = own.write('lock', owner({ host: 'another-machine', pid: 4711 }));
    await expect(acquireLock(file)).rejects.toMatchObject({
      extras: { fields: { host: 'another-machine', pid: 4711 } },
    });
    const agoS = (seconds: number) => Date.now() / 1000 - seconds;
    utimesSync(file, agoS(30), agoS(30));
    await expect(acquireLock(file)).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
    utimesSync(file, agoS(61), agoS(61));
    await (await acquireLock(file)).release();
  });

  it('that somebody has taken over is noticed by its former holder, who leaves it alone', async () => {
    using own = createFolder();
    const file = join(own.path, 'lock');
    const lock = await acquireLock(file);
    writeFileSync(file, owner({ host: 'another-machine', nonce: 'another' }));
    await expect(lock.confirm()).rejects.toMatchObject({ code: 'ROTATION_LOCKED' });
    await lock.release();
    expect(readdirSync(own.path)).toEqual(['lock']);
  });

  it('in a folder that is not there is a store that cannot be used', async () => {
    await expect(acquireLock('/nowhere/at/all/lock')).rejects.toMatchObject({
      code: 'ROTATION_STORE_FAILED',
      extras: { fields: { errno: 'ENOENT' } },
    });
  });
});
