/** Every link in the pages leads somewhere, every page is found from the README, and none is longer than people read. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pageProblems } from '../support/doc-links.ts';
import { createFolder } from '../support/folder.ts';

it('the pages are linked, found, short enough, and say for whom they are', () => {
  expect(pageProblems('.').join('\n')).toBe('');
});

describe('the check of the pages', () => {
  /** Those of a small project that has nothing wrong with it but what is given. */
  function problemsOf(files: Readonly<Record<string, string>>): string[] {
    using folder = createFolder();
    const sound = { 'README.md': '# It\n\n[Page](docs/page.md)\n', 'docs/page.md': '# Page\n\nFor everybody.\n' };
    for (const [name, text] of Object.entries({ ...sound, ...files })) {
      mkdirSync(dirname(join(folder.path, name)), { recursive: true });
      writeFileSync(join(folder.path, name), text);
    }
    return pageProblems(folder.path);
  }
  const page = (...lines: string[]) => ['# Page', '', 'For everybody.', '', ...lines, ''].join('\n');

  it.each([
    ['a sound project', ''],
    ['a link to a heading', '[a](#the-page)\n\n## The page'],
    ['a link to the second heading of a name', '[a](#twice-1)\n\n## Twice\n\n## Twice'],
    ['a heading with code and punctuation', '[a](#a-b_c-d-and-e)\n\n## `a b_c`, d *and* (e)?'],
    ['a heading that is underlined', '[a](#under)\n\nUnder\n-----'],
    ['a link to an id', '<a id="here"></a>\n\n[a](#here)'],
    ['a link up and to a folder', '[a](../README.md#it) [b](../docs) [c](../docs/)'],
    ['a link to a web page', '[a](https://example.com/nowhere#at-all) <https://example.com>'],
    ['what looks like a link in code', '`[a](nowhere.md)`\n\n```\n[a](nowhere.md)\n```'],
  ])('finds nothing wrong with %s', (_what, text) => {
    expect(problemsOf({ 'docs/page.md': page(text) })).toEqual([]);
  });

  it.each([
    [
      'a file that is not there',
      '[a](nowhere.md)',
      'docs/page.md:5: the link `nowhere.md` leads nowhere: there is no docs/nowhere.md',
    ],
    ['a picture that is not there', '![a](images/none.png)', 'there is no docs/images/none.png'],
    ['one in a table', '| a |\n| - |\n| [b](nowhere.md) |', 'docs/page.md:7: '],
    ['one by reference', '[a][b]\n\n[b]: nowhere.md', 'docs/page.md:5: '],
    ['one in HTML', 'x <img src="none.png"> y', 'there is no docs/none.png'],
    ['a heading that is not there', '[a](../README.md#nothing)', 'leads nowhere: README.md has only #it'],
    ['the third of two headings', '[a](#twice-2)\n\n## Twice\n\n## Twice', 'has only #page #twice #twice-1'],
    ['a heading in a comment', '[a](#gone)\n\n<!--\n## Gone\n-->', 'has only #page'],
    ['a place outside', '[a](../../other/README.md)', 'leaves the repository'],
  ])('finds a link to %s', (_what, text, expected) => {
    const [problem = '', ...more] = problemsOf({ 'docs/page.md': page(text) });
    expect(more).toEqual([]);
    expect(problem).toContain(expected);
  });

  it.each([
    [
      'a page in docs/ that the README does not link',
      { 'docs/other.md': page() },
      'docs/other.md: no link leads here from README.md',
    ],
    [
      'a page in docs/ that only deploy/README.md links',
      {
        'docs/other.md': page(),
        'deploy/README.md': '[a](../docs/other.md)',
        'README.md': '[a](docs/page.md) [b](deploy/README.md)',
      },
      'docs/other.md: no link leads here from README.md: add one',
    ],
    ['a page in deploy/ that neither links', { 'deploy/x/README.md': '# X\n' }, 'from README.md or deploy/README.md'],
    [
      'a page of 400 lines',
      { 'docs/page.md': page(...Array.from({ length: 396 }, () => 'x')) },
      'has 400 lines: fewer than 400',
    ],
    ['a README of 201 lines', { 'README.md': `[a](docs/page.md)${'\n'.repeat(201)}` }, 'README.md: has 201 lines'],
    [
      'a README of more than 12 KiB',
      { 'README.md': `[a](docs/page.md) ${'x'.repeat(12_288)}` },
      'bytes: at most 200 lines and 12288',
    ],
    ['a page without a heading', { 'docs/page.md': 'For everybody.\n' }, 'docs/page.md:1: does not start with'],
    [
      'a page that starts with a list',
      { 'docs/page.md': '# Page\n\n- For all\n' },
      'docs/page.md:1: does not start with',
    ],
    ['a page that says not for whom', { 'docs/page.md': '# Page\n\nAll of it.\n' }, 'does not say for whom'],
  ])('finds %s', (_what, files, expected) => {
    const [problem = '', ...more] = problemsOf(files);
    expect(more).toEqual([]);
    expect(problem).toContain(expected);
  });
});
