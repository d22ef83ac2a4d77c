/** What is generated is current: the pages say what the tables in the source say. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { renderPages } from './support/generate-pages.ts';
import { MARKDOWN_FILES } from './support/markdown.ts';

describe.each(renderPages())('$path', ({ is, should }) => {
  it('has the tables of the source (npm run generate renews them)', () => {
    expect(is).toBe(should);
  });
});

it('the pages name only scripts that package.json has', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
  const named = MARKDOWN_FILES.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/npm run (?:-s )?([a-z:-]+)/g)].map(([, name = '']) => `${file}: ${name}`),
  );
  expect(named.filter((name) => !((name.split(': ')[1] ?? '') in scripts))).toEqual([]);
});
