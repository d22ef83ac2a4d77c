// Renames where others look into files: what is waited for, and what is not.
import { describe, expect, it } from 'vitest';
import { type RenameSystem, renameWithRetry } from '../../src/core/durable-fs.ts';

/** Fails as often as there are codes. */
function failing(platform: NodeJS.Platform, ...codes: readonly string[]) {
  const left = [...codes];
  const done: string[] = [];
  let pausedMs = 0;
  const system: RenameSystem = {
    platform,
    async rename(from, to) {
      const code = left.shift();
      if (code !== undefined) throw Object.assign(new Error(code), { code });
      done.push(`${from} ${to}`);
    },
    async pause(ms) {
      pausedMs += ms;
    },
  };
  return { system, done, pausedMs: () => pausedMs };
}

describe('patient-rename', () => {
  it.each(['EPERM', 'EACCES', 'EBUSY'])('on Windows waits until nobody holds the file any more (%s)', async (code) => {
    const { system, done, pausedMs } = failing('win32', code, code, code);
    await renameWithRetry('a', 'b', system);
    expect([done, pausedMs()]).toEqual([['a b'], 70]);
  });

  it('on Windows gives up with the system’s error after a second and a bit', async () => {
    const { system, done, pausedMs } = failing('win32', ...Array.from({ length: 20 }, () => 'EBUSY'));
    await expect(renameWithRetry('a', 'b', system)).rejects.toMatchObject({ code: 'EBUSY' });
    expect(done).toEqual([]);
    expect(pausedMs()).toBeGreaterThan(1000);
    expect(pausedMs()).toBeLessThan(2000);
  });

  it('on Windows does not wait for what will not change', async () => {
    const { system, pausedMs } = failing('win32', 'ENOENT');
    await expect(renameWithRetry('a', 'b', system)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(pausedMs()).toBe(0);
  });

  it('elsewhere fails at once, because there no reader can be the reason', async () => {
    const { system, pausedMs } = failing('linux', 'EPERM');
    await expect(renameWithRetry('a', 'b', system)).rejects.toMatchObject({ code: 'EPERM' });
    expect(pausedMs()).toBe(0);
  });
});
