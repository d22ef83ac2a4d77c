// That the system tells of every way in which people and programs replace a file; with real files and real events.
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { subscribeToFiles } from '../../src/config/file-events.ts';
import { fileState } from '../../src/config/regular-file.ts';
import { watchFiles } from '../../src/config/watch.ts';
import { createFolder } from '../support/folder.ts';
import { until } from '../support/until.ts';
import { createHandWatch } from '../support/watch-system.ts';

const [QUICK, SLOW] = [500, 10_000];

interface Way {
  readonly way: string;
  /** Creates what there is first, and returns the watched path. */
  readonly before: (root: string) => string;
  readonly change: (file: string, root: string) => void;
  /** Content afterwards; undefined = the file is gone. */
  readonly after?: string | undefined;
}

const plain = (root: string) => {
  writeFileSync(join(root, 'file'), 'one');
  return join(root, 'file');
};

/** As the kubelet does it: a folder with a new name, and a link that is renamed over the old one. */
function project(root: string, content: string): void {
  const folder = mkdtempSync(join(root, '..data_'));
  writeFileSync(join(folder, 'file'), content);
  symlinkSync(folder, join(root, '..data_tmp'));
  renameSync(join(root, '..data_tmp'), join(root, '..data'));
}

const WAYS: readonly Way[] = [
  { way: 'is written in place', before: plain, change: (file) => writeFileSync(file, 'two'), after: 'two' },
  { way: 'is appended to', before: plain, change: (file) => appendFileSync(file, '+'), after: 'one+' },
  {
    way: 'is replaced by rename',
    before: plain,
    change(file) {
      writeFileSync(`${file}.new`, 'two');
      renameSync(`${file}.new`, file);
    },
    after: 'two',
  },
  {
    way: 'is moved aside and written again, as editors do',
    before: plain,
    change(file) {
      renameSync(file, `${file}~`);
      writeFileSync(file, 'two');
    },
    after: 'two',
  },
  { way: 'is deleted', before: plain, change: (file) => rmSync(file) },
  {
    way: 'is deleted and created again',
    before: plain,
    change(file) {
      rmSync(file);
      writeFileSync(file, 'two');
    },
    after: 'two',
  },
  {
    way: 'is in a volume of Kubernetes whose ..data link is swapped',
    before(root) {
      project(root, 'one');
      symlinkSync('..data/file', join(root, 'file'));
      return join(root, 'file');
    },
    change: (_, root) => project(root, 'two'),
    after: 'two',
  },
  {
    way: 'is written under another name, as through a mount of this one file',
    before(root) {
      mkdirSync(join(root, 'elsewhere'));
      mkdirSync(join(root, 'here'));
      writeFileSync(join(root, 'elsewhere/file'), 'one');
      linkSync(join(root, 'elsewhere/file'), join(root, 'here/file'));
      return join(root, 'here/file');
    },
    change: (_, root) => writeFileSync(join(root, 'elsewhere/file'), 'two'),
    after: 'two',
  },
  {
    way: 'is the target of a link and replaced there',
    before(root) {
      mkdirSync(join(root, 'elsewhere'));
      writeFileSync(join(root, 'elsewhere/file'), 'one');
      symlinkSync('elsewhere/file', join(root, 'link'));
      return join(root, 'link');
    },
    change(_, root) {
      writeFileSync(join(root, 'elsewhere/new'), 'two');
      renameSync(join(root, 'elsewhere/new'), join(root, 'elsewhere/file'));
    },
    after: 'two',
  },
  {
    way: 'is below a linked folder, and the link is set to another folder',
    before(root) {
      for (const [name, content] of Object.entries({ r1: 'one', r2: 'two' })) {
        mkdirSync(join(root, 'releases', name, 'etc'), { recursive: true });
        writeFileSync(join(root, 'releases', name, 'etc/file'), content);
      }
      symlinkSync('releases/r1', join(root, 'current'));
      return join(root, 'current/etc/file');
    },
    change(_, root) {
      symlinkSync('releases/r2', join(root, 'next'));
      renameSync(join(root, 'next'), join(root, 'current'));
    },
    after: 'two',
  },
  {
    way: 'does not exist yet, like its folder',
    before: (root) => join(root, 'a/file'),
    change(file) {
      mkdirSync(dirname(file));
      writeFileSync(file, 'two');
    },
    after: 'two',
  },
  {
    way: 'is behind a link to nothing that gets a target',
    before(root) {
      symlinkSync('target', join(root, 'link'));
      return join(root, 'link');
    },
    change: (_, root) => writeFileSync(join(root, 'target'), 'two'),
    after: 'two',
  },
  {
    way: 'is in a folder that is replaced',
    before(root) {
      mkdirSync(join(root, 'etc'));
      return plain(join(root, 'etc'));
    },
    change(file, root) {
      renameSync(join(root, 'etc'), join(root, 'old'));
      mkdirSync(join(root, 'etc'));
      writeFileSync(file, 'two');
    },
    after: 'two',
  },
];

describe.runIf(process.platform === 'linux')('config/file-events', () => {
  it.each(WAYS)('tells of a file that $way, and it is noticed exactly once', async ({ before, change, after }) => {
    using folder = createFolder();
    const file = before(folder.path);
    const system = createHandWatch(subscribeToFiles);
    const found: (string | undefined)[] = [];
    const read = new Map([[file, fileState(file)]]);
    const stop = watchFiles(
      () => read,
      () => void found.push(contentOf(file)),
      { system },
    );
    try {
      system.pass(QUICK, 10);
      expect(system.interval).toBe(SLOW);
      change(file, folder.path);
      await until('the event arrives', () => system.interval === QUICK);
      system.pass(QUICK, 11);
      expect(found).toEqual([after]);
      // It is found again where it is now.
      expect(system.interval).toBe(SLOW);
    } finally {
      stop();
    }
  });

  it('tells of the next change at the new target of a link', async () => {
    using folder = createFolder();
    project(folder.path, 'one');
    symlinkSync('..data/file', join(folder.path, 'file'));
    const system = createHandWatch(subscribeToFiles);
    const found: (string | undefined)[] = [];
    const file = join(folder.path, 'file');
    const read = new Map([[file, fileState(file)]]);
    const stop = watchFiles(
      () => read,
      () => void found.push(contentOf(file)),
      { system },
    );
    try {
      const changes = [() => project(folder.path, 'two'), () => writeFileSync(file, 'three')];
      for (const change of changes) {
        system.pass(QUICK, 10);
        change();
        await until('the event arrives', () => system.interval === QUICK);
        system.pass(QUICK);
      }
      expect(found).toEqual(['two', 'three']);
    } finally {
      stop();
    }
  });

  it('refuses a file system that does not tell of every change', () => {
    expect(() => subscribeToFiles(['/proc/self/status'], () => undefined)).toThrow(
      expect.objectContaining({ code: 'EOPNOTSUPP' }),
    );
  });

  it('refuses links that lead in a circle', () => {
    using folder = createFolder();
    symlinkSync('b', join(folder.path, 'a'));
    symlinkSync('a', join(folder.path, 'b'));
    expect(() => subscribeToFiles([join(folder.path, 'a')], () => undefined)).toThrow(
      expect.objectContaining({ code: 'EOPNOTSUPP' }),
    );
  });
});

it('config/file-events refuses other systems than Linux, where it was not tried', () => {
  using folder = createFolder();
  const file = folder.write('file', 'one');
  for (const platform of ['win32', 'darwin'] as const) {
    using _ = vi.spyOn(process, 'platform', 'get').mockReturnValue(platform);
    expect(() => subscribeToFiles([file], () => undefined)).toThrow(expect.objectContaining({ code: 'EOPNOTSUPP' }));
  }
});

function contentOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
