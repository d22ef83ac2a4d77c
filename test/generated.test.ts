/** What is generated is current: the README says what the tables in the source say. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { renderCliPage } from './support/generate-cli.ts';
import { renderReadme } from './support/readme.ts';

const ROOT = join(import.meta.dirname, '..');
const README = readFileSync(join(ROOT, 'README.md'), 'utf8');

describe('README.md', () => {
  it('has the tables of the source (npm run generate renews them)', () => {
    expect(renderReadme(README)).toBe(README);
  });

  it('names only scripts that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...README.matchAll(/npm run ([a-z:-]+)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});

describe('docs/cli.md', () => {
  it('has the commands of the source (npm run generate renews it)', () => {
    expect(readFileSync(join(ROOT, 'docs/cli.md'), 'utf8')).toBe(renderCliPage());
  });
});

describe('docs/architecture.md', () => {
  it('links to files that are there', () => {
    const text = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');
    const files = [...text.matchAll(/\]\(\.\.\/(src\/[^)]+)\)/g)].map(([, file = '']) => file);
    expect(files.length).toBeGreaterThan(5);
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  });
});
