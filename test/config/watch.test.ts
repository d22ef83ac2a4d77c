// Which changes of files are noticed, and when; with real files, since the clock of the file system decides.
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { watchFiles } from '../../src/config/watch.ts';
import { createFolder } from '../support/folder.ts';
import { until } from '../support/until.ts';

describe('config/watch', () => {
  it('notices a file that has changed once, whatever becomes of one that never rests', async () => {
    using folder = createFolder();
    const [secret, restless] = [folder.write('secret', 'one'), folder.write('restless', '0')];
    let noticed = 0;
    let writes = 0;
    const writing = setInterval(() => {
      writes += 1;
      writeFileSync(restless, String(writes));
    }, 50);
    const stop = watchFiles(
      () => [secret, restless],
      () => {
        noticed += 1;
      },
    );
    try {
      renameSync(folder.write('new', 'two'), secret);
      await until('the change is noticed', () => noticed === 1);
      const enough = writes + 40;
      await until('two more seconds have passed', () => writes >= enough);
      expect(noticed).toBe(1);
    } finally {
      stop();
      clearInterval(writing);
    }
  });

  it('notices what changes while the change before is being read', async () => {
    using folder = createFolder();
    const file = folder.write('secret', 'one');
    let noticed = 0;
    const stop = watchFiles(
      () => [file],
      () => {
        noticed += 1;
        if (noticed === 1) renameSync(folder.write('new', 'three'), join(folder.path, 'secret'));
      },
    );
    try {
      renameSync(folder.write('new', 'two'), file);
      await until('both are noticed', () => noticed === 2);
    } finally {
      stop();
    }
  });
});
