// Files that survive: whole before or whole after, with the mode, owner and links they had.
import { chmodSync, lstatSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { prepareReplace, readText, replaceFile } from '../../../src/iam/rotation/durable-file.ts';
import { createFolder } from '../../support/folder.ts';

describe('rotation/durable-file', () => {
  it('makes a new file for its owner’s eyes only', async () => {
    using folder = createFolder();
    const file = join(folder.path, 'new');
    expect(await readText(file)).toBeUndefined();
    await replaceFile(file, 'content\n');
    expect([readFileSync(file, 'utf8'), statSync(file).mode & 0o777]).toEqual(['content\n', 0o600]);
    expect(readdirSync(folder.path)).toEqual(['new']);
  });

  it.each([0o600, 0o640, 0o444])('keeps mode %o of a file', async (mode) => {
    using folder = createFolder();
    const file = folder.write('secret', 'old', mode);
    chmodSync(file, mode);
    await replaceFile(file, 'new');
    expect([readFileSync(file, 'utf8'), statSync(file).mode & 0o777]).toEqual(['new', mode]);
  });

  it.runIf(process.getuid?.() === 0)('keeps owner and group of a file', async () => {
    using folder = createFolder();
    const file = folder.write('secret', 'old');
    const { chownSync } = await import('node:fs');
    chownSync(file, 65534, 65534);
    await replaceFile(file, 'new');
    expect(statSync(file)).toMatchObject({ uid: 65534, gid: 65534 });
  });

  it.runIf(process.getuid?.() === 0)('gives a new file the owner of another one, where told', async () => {
    using folder = createFolder();
    const secret = folder.write('secret', 'old');
    const { chownSync } = await import('node:fs');
    chownSync(secret, 65534, 65534);
    await replaceFile(`${secret}.rotation`, 'journal', secret);
    expect(statSync(`${secret}.rotation`)).toMatchObject({ uid: 65534, gid: 65534 });
    expect(statSync(`${secret}.rotation`).mode & 0o777).toBe(0o600);
  });

  it('replaces what a symbolic link means, and not the link', async () => {
    using folder = createFolder();
    const file = folder.write('real', 'old');
    const name = join(folder.path, 'link');
    symlinkSync('real', name);
    await replaceFile(name, 'new');
    expect([lstatSync(name).isSymbolicLink(), readFileSync(file, 'utf8')]).toEqual([true, 'new']);
  });

  it('makes what a symbolic link means when it is not there yet, and keeps the link', async () => {
    using folder = createFolder();
    const name = join(folder.path, 'link');
    symlinkSync('real', name);
    await prepareReplace(name);
    await replaceFile(name, 'new');
    expect(lstatSync(name).isSymbolicLink()).toBe(true);
    expect([readFileSync(join(folder.path, 'real'), 'utf8'), statSync(name).mode & 0o777]).toEqual(['new', 0o600]);
  });

  it.each(['not-mounted/secret', 'link'])('leaves a link to %s, where nothing can be', async (target) => {
    using folder = createFolder();
    const name = join(folder.path, 'link');
    symlinkSync(target, name);
    for (const work of [prepareReplace, replaceFile]) {
      await expect(work(name, 'new')).rejects.toMatchObject({ code: 'ROTATION_STORE_FAILED' });
    }
    expect(readdirSync(folder.path)).toEqual(['link']);
    expect(lstatSync(name).isSymbolicLink()).toBe(true);
  });

  it('never shows a reader anything but the old or the new content, whole', async () => {
    using folder = createFolder();
    const contents = ['a'.repeat(200_000), 'b'.repeat(100_000)];
    const file = folder.write('secret', contents[0] ?? '');
    let done = false;
    const seen = new Set<string>();
    const reading = (async () => {
      while (!done) {
        seen.add(readFileSync(file, 'utf8'));
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let round = 0; round < 40; round += 1) await replaceFile(file, contents[round % 2] ?? '');
    done = true;
    await reading;
    expect([...seen].filter((content) => !contents.includes(content))).toEqual([]);
  });

  it('puts a temporary file that a crash left behind out of the way', async () => {
    using folder = createFolder();
    const file = folder.write('secret', 'old');
    const temporary = folder.write('.secret.aritma-new', 'half of a sec');
    await prepareReplace(file);
    expect(readdirSync(folder.path)).toEqual(['secret']);
    writeFileSync(temporary, 'half of a sec');
    await replaceFile(file, 'new');
    expect([readdirSync(folder.path), readFileSync(file, 'utf8')]).toEqual([['secret'], 'new']);
  });

  it('says what could not be done, to which file and why, and shows no content', async () => {
    using folder = createFolder();
    const inFile = join(folder.write('file', ''), 'below');
    await expect(replaceFile(inFile, 'canary')).rejects.toMatchObject({
      code: 'ROTATION_STORE_FAILED',
      extras: { fields: { doing: 'replace', file: inFile, errno: 'ENOTDIR' } },
    });
    await expect(readText(folder.path)).rejects.toMatchObject({ extras: { fields: { errno: 'EISDIR' } } });
  });
});
