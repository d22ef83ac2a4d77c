/** What is generated is current: the README says what the tables in the source say. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderReadme } from './support/readme.ts';

const ROOT = join(import.meta.dirname, '..');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

describe('README.md', () => {
  it('has the tables of the source (npm run generate renews them)', () => {
    expect(renderReadme(README)).toBe(README);
  });

  it('names every source file in its file map, and none that does not exist', () => {
    const map = README.slice(README.indexOf('## File map'));
    const block = map.slice(map.indexOf('```') + 3, map.indexOf('```', map.indexOf('```') + 3));
    const named: string[] = [];
    let folder = '';
    for (const line of block.split('\n')) {
      const heading = /^src\/(\S*)/.exec(line);
      if (heading) folder = heading[1] ?? '';
      const entry = /^ {2}([a-z-]+(?:\.d)?\.ts) /.exec(line);
      if (entry) named.push(`src/${folder}${entry[1]}`);
    }
    expect(named.sort()).toEqual(globSync('src/**/*.ts', { cwd: ROOT }).sort());
  });

  it('names only scripts that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...README.matchAll(/npm run ([a-z:-]+)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});
