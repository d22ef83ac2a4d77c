/**
 * Before the tests that start the program as users do: bundles it as the package does, because a bundle starts in half the
 * time of two hundred sources. Hides the place of the bundle; tests without it start the source.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { bundle, TYPE_OF_MANY } from '../../deploy/package/bundle.ts';
import { COMPILED } from './compiled.ts';

/** Vitest's global setup. */
export async function setup(): Promise<void> {
  const { chunks } = await bundle('many');
  const digest = createHash('sha256').update(JSON.stringify(chunks)).digest('hex').slice(0, 16);
  // Named by its content: the same program is compiled once, and parallel runs keep theirs.
  const folder = join(COMPILED['NODE_COMPILE_CACHE'] ?? '', `program-${digest}`);
  if (!existsSync(folder)) {
    const unfinished = `${folder}.${process.pid}`;
    mkdirSync(unfinished, { recursive: true });
    for (const { fileName, code } of chunks) writeFileSync(join(unfinished, fileName), code);
    writeFileSync(join(unfinished, 'package.json'), JSON.stringify({ type: TYPE_OF_MANY }));
    try {
      renameSync(unfinished, folder);
    } catch (error) {
      rmSync(unfinished, { recursive: true });
      if (!existsSync(folder)) throw error;
    }
  }
  forgetOthers(folder);
  process.env['TEST_PROGRAM'] = join(folder, 'main.js');
}

const DAY_MS = 86_400_000;

/** Deletes older bundles that no run can be using. */
function forgetOthers(folder: string): void {
  for (const name of readdirSync(dirname(folder))) {
    const path = join(dirname(folder), name);
    const isOld = name.startsWith('program-') && Date.now() - statSync(path).mtimeMs > DAY_MS;
    if (isOld && name !== basename(folder)) rmSync(path, { recursive: true, force: true });
  }
}
