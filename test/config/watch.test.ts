// Which changes of files are noticed, and when; with real files, since the clock of the file system decides.
import { appendFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileState } from '../../src/config/regular-file.ts';
import { watchFiles } from '../../src/config/watch.ts';
import { createFolder } from '../support/folder.ts';
import { until } from '../support/until.ts';
import { createHandWatch } from '../support/watch-system.ts';

const [QUICK, SLOW] = [500, 10_000];

/** As they are now. */
const statesOf = (...files: readonly string[]) => new Map(files.map((file) => [file, fileState(file)]));

function createWorld() {
  const folder = createFolder();
  const [config, secret] = [folder.write('config', 'one'), folder.write('secret', 'one')];
  const files = statesOf(config, secret);
  const system = createHandWatch();
  const noticed: { count: number; onChange?: () => void } = { count: 0 };
  const reported: string[] = [];
  const onChange = () => {
    noticed.count += 1;
    noticed.onChange?.();
  };
  const stop = watchFiles(() => files, onChange, { system, onNoEvents: (errno) => reported.push(errno) });
  return { folder, files, config, secret, system, noticed, reported, stop, [Symbol.dispose]: folder[Symbol.dispose] };
}

describe('config/watch', () => {
  it('notices a file that has changed once, whatever becomes of one that never rests', async () => {
    using folder = createFolder();
    const [secret, restless] = [folder.write('secret', 'one'), folder.write('restless', '0')];
    const read = statesOf(secret, restless);
    let noticed = 0;
    let writes = 0;
    const writing = setInterval(() => {
      writes += 1;
      writeFileSync(restless, String(writes));
    }, 50);
    const stop = watchFiles(
      () => read,
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
    const read = statesOf(file);
    let noticed = 0;
    const stop = watchFiles(
      () => read,
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

  it('notices what changed after it was read and before the first look', () => {
    using world = createWorld();
    world.stop();
    renameSync(world.folder.write('new', 'two'), world.secret);
    const stop = watchFiles(
      () => world.files,
      () => {
        world.noticed.count += 1;
      },
      { system: world.system },
    );
    world.system.pass(QUICK, 9);
    stop();
    expect(world.noticed.count).toBe(1);
  });

  it('looks twice a second for five seconds, then relies on events and looks every ten seconds', () => {
    using world = createWorld();
    world.system.pass(QUICK, 9);
    expect(world.system.subscribed).toBeUndefined();
    world.system.pass(QUICK);
    expect(world.system.subscribed).toEqual([...world.files.keys()]);
    world.system.pass(SLOW, 100);
    expect(world.noticed.count).toBe(0);
  });

  it('notices a change once, half a second after its event, however many events there are', () => {
    using world = createWorld();
    world.system.pass(QUICK, 10);
    const { event } = world.system;
    renameSync(world.folder.write('new', 'two'), world.secret);
    event();
    expect([world.system.interval, world.system.subscribed, world.noticed.count]).toEqual([QUICK, undefined, 0]);
    event();
    world.system.pass(QUICK);
    expect(world.noticed.count).toBe(1);
    world.system.pass(QUICK, 10);
    expect(world.system.subscribed).toEqual([...world.files.keys()]);
    // Of something else in the same folder.
    world.system.event();
    world.system.pass(QUICK, 10);
    world.system.pass(SLOW, 3);
    expect(world.noticed.count).toBe(1);
  });

  it('notices a change without any event half a second after the slow look', () => {
    using world = createWorld();
    world.system.pass(QUICK, 10);
    renameSync(world.folder.write('new', 'two'), world.config);
    world.system.pass(SLOW);
    expect([world.system.interval, world.noticed.count]).toEqual([QUICK, 0]);
    world.system.pass(QUICK);
    expect(world.noticed.count).toBe(1);
  });

  it('notices what changed just before the events began', () => {
    using world = createWorld();
    world.system.pass(QUICK, 9);
    const { subscribe } = world.system;
    world.system.subscribe = (files, onEvent) => {
      renameSync(world.folder.write('new', 'two'), world.config);
      world.system.subscribe = subscribe;
      return subscribe(files, onEvent);
    };
    world.system.pass(QUICK);
    expect([world.system.interval, world.system.subscribed]).toEqual([QUICK, undefined]);
    world.system.pass(QUICK);
    expect(world.noticed.count).toBe(1);
  });

  it('does not notice a file before it has stayed the same for half a second, whatever events say', () => {
    using world = createWorld();
    world.system.pass(QUICK, 10);
    writeFileSync(world.secret, '');
    world.system.event();
    for (let part = 0; part < 20; part += 1) {
      appendFileSync(world.secret, 'part');
      world.system.pass(QUICK);
    }
    expect(world.noticed.count).toBe(0);
    world.system.pass(QUICK);
    expect(world.noticed.count).toBe(1);
  });

  it('notices a file that goes, and the same one that comes back', () => {
    using world = createWorld();
    for (const change of [() => rmSync(world.secret), () => void world.folder.write('secret', 'one')]) {
      world.system.pass(QUICK, 10);
      change();
      world.system.event();
      world.system.pass(QUICK);
    }
    expect(world.noticed.count).toBe(2);
  });

  it('asks for events of the files that the configuration names after a reload', () => {
    using world = createWorld();
    world.system.pass(QUICK, 10);
    const more = world.folder.write('more', 'one');
    world.noticed.onChange = () => void world.files.set(more, fileState(more));
    renameSync(world.folder.write('new', 'two'), world.config);
    world.system.event();
    world.system.pass(QUICK, 12);
    expect(world.noticed.count).toBe(1);
    expect(world.system.subscribed).toContain(more);
  });

  it('asks for events of new files after a reload that it did not cause', () => {
    using world = createWorld();
    world.system.pass(QUICK, 10);
    const more = world.folder.write('more', 'one');
    world.files.set(more, fileState(more));
    world.system.pass(SLOW);
    world.system.pass(QUICK, 11);
    expect(world.system.subscribed).toContain(more);
  });

  it.each(['ENOSPC', 'EMFILE', 'EOPNOTSUPP'])(
    'looks twice a second while events fail with %s, and says so once',
    (code) => {
      using world = createWorld();
      world.system.fail(code);
      world.system.pass(QUICK, 400);
      expect(world.reported).toEqual([code]);
      renameSync(world.folder.write('new', 'two'), world.secret);
      world.system.pass(QUICK, 2);
      expect(world.noticed.count).toBe(1);
      world.system.fail(undefined);
      world.system.pass(QUICK, 120);
      expect(world.system.interval).toBe(SLOW);
    },
  );

  it('ends timer and events when it is stopped, in either state', () => {
    for (const looks of [3, 10]) {
      using world = createWorld();
      world.system.pass(QUICK, looks);
      world.stop();
      expect([world.system.interval, world.system.subscribed]).toEqual([undefined, undefined]);
    }
  });
});
