/** Compiled code beside the program: who may write it, and a program that may not. */
import { execFileSync } from 'node:child_process';
import { globSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Bundle, bundle } from '../../deploy/package/bundle.ts';
import { createFolder } from '../support/folder.ts';

describe('compile-cache beside main.js', () => {
  let built: Bundle;
  beforeAll(async () => {
    built = await bundle('many');
  });

  function installed() {
    const folder = createFolder();
    for (const { fileName, code } of built.chunks) folder.write(fileName, code);
    const cache = join(folder.path, 'compile-cache');
    // A shell, because a process can set no other umask for its child.
    const version = () =>
      execFileSync(
        'sh',
        ['-c', 'umask 000; exec "$0" "$1" --version', process.execPath, join(folder.path, 'main.js')],
        {
          encoding: 'utf8',
          env: {},
        },
      );
    return { cache, version, [Symbol.dispose]: () => folder[Symbol.dispose]() };
  }

  it('is written when the program ends, and belongs to its owner alone whatever the umask is', () => {
    using program = installed();
    program.version();
    expect(statSync(program.cache).mode & 0o777).toBe(0o700);
    expect(globSync(join(program.cache, '*/*'))).not.toHaveLength(0);
  });

  it('is left alone by a program that cannot write it, which runs all the same', () => {
    using program = installed();
    // In the way of its folder; a file mode would not stop root.
    writeFileSync(program.cache, '');
    expect(program.version()).toMatch(/^\d+\.\d+\.\d+/);
    expect(statSync(program.cache).size).toBe(0);
  });
});
