/** What is wrong with the pages as pages: links that lead nowhere, pages nobody links to, pages that are too long or say not for whom. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { markdownFiles, type Page, parsePage } from './markdown.ts';

const README = { lines: 200, bytes: 12 * 1024 } as const;
const LINES_OF_DOCS = 400;

/** A sentence for each fault, with page and line. */
export function pageProblems(root: string): string[] {
  const pages = markdownFiles(root).map((path) => parsePage(path, readFileSync(join(root, path), 'utf8')));
  const byPath = new Map(pages.map((page) => [page.path, page]));
  return [
    ...pages.flatMap((page) => page.links.flatMap((link) => linkProblem(root, byPath, page, link))),
    ...unlinked(pages, byPath),
    ...pages.flatMap(shapeProblems),
  ];
}

function linkProblem(
  root: string,
  pages: ReadonlyMap<string, Page>,
  page: Page,
  { line, href }: Page['links'][number],
): string[] {
  if (/^[a-z][a-z0-9+.-]*:|^\/\//i.test(href)) return [];
  const fail = (what: string) => [`${page.path}:${line}: the link \`${href}\` ${what}`];
  const [file = '', anchor] = decodeURIComponent(href).split('#');
  const target = targetOf(page.path, file);
  if (target.startsWith('..') || target.startsWith('/')) return fail('leaves the repository: write a whole URL');
  if (!existsSync(join(root, target))) return fail(`leads nowhere: there is no ${target}`);
  if (anchor === undefined) return [];
  const { anchors } = pages.get(target) ?? {};
  if (anchors) return anchors.has(anchor) ? [] : fail(`leads nowhere: ${target} has only #${[...anchors].join(' #')}`);
  return /^L\d/.test(anchor) && statSync(join(root, target)).isFile() ? [] : fail(`has an anchor: ${target} has none`);
}

const targetOf = (from: string, file: string) => (file === '' ? from : normalize(join(dirname(from), file)));

function unlinked(pages: readonly Page[], byPath: ReadonlyMap<string, Page>): string[] {
  const linkedFrom = (path: string) =>
    (byPath.get(path)?.links ?? []).map(({ href }) => targetOf(path, decodeURIComponent(href).split('#')[0] ?? ''));
  const places = [
    [/^docs\//, ['README.md']],
    [/^deploy\//, ['README.md', 'deploy/README.md']],
  ] as const;
  return places.flatMap(([where, from]) => {
    const linked = new Set<string>(from.flatMap(linkedFrom));
    return pages
      .filter(({ path }) => where.test(path) && !linked.has(path))
      .map(({ path }) => `${path}: no link leads here from ${from.join(' or ')}: add one`);
  });
}

function shapeProblems({ path, length, bytes, opening }: Page): string[] {
  if (path === 'README.md') {
    const isLong = length > README.lines || bytes > README.bytes;
    const most = `at most ${README.lines} lines and ${README.bytes} bytes`;
    return isLong ? [`README.md: has ${length} lines and ${bytes} bytes: ${most} are read`] : [];
  }
  if (!path.startsWith('docs/')) return [];
  return [
    ...(length >= LINES_OF_DOCS ? [`${path}: has ${length} lines: fewer than ${LINES_OF_DOCS} are read`] : []),
    ...(opening === undefined ? [`${path}:1: does not start with a \`#\` heading and a paragraph below it`] : []),
    ...(opening && !/\bfor\b/i.test(opening.paragraph)
      ? [`${path}:3: the first paragraph does not say for whom the page is: write "For …"`]
      : []),
  ];
}
