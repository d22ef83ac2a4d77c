/** The Markdown pages of the project, and what tests ask about one: its headings, links and fenced blocks, each with its line. */
import { globSync } from 'node:fs';
import Slugger from 'github-slugger';
import MarkdownIt, { type Token } from 'markdown-it';

/** Paths from the root, where tests run; without what is installed, built or left behind. */
export const MARKDOWN_FILES: readonly string[] = markdownFiles('.');

/** The same of another folder with the layout of the project. */
export function markdownFiles(root: string): string[] {
  return ['*.md', 'docs/**/*.md', 'deploy/**/*.md', '.github/**/*.md']
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .filter((file) => file !== 'CHANGELOG.md');
}

/** An HTML comment on a line of its own. */
export interface Comment {
  readonly line: number;
  readonly text: string;
}

export interface Fence {
  /** Line of the opening fence, from 1. */
  readonly line: number;
  readonly endLine: number;
  readonly language: string;
  readonly text: string;
  /** On the lines directly above, the first one first. */
  readonly comments: readonly Comment[];
}

export interface Page {
  /** From the root. */
  readonly path: string;
  /** How many lines it has. */
  readonly length: number;
  readonly bytes: number;
  /** Where a link may lead: the slugs of its headings as GitHub makes them, and the ids in its HTML. */
  readonly anchors: ReadonlySet<string>;
  readonly links: readonly { readonly line: number; readonly href: string }[];
  readonly fences: readonly Fence[];
  /** Those above fences, too. */
  readonly comments: readonly Comment[];
  /** What it starts with, if that is a heading and a paragraph. */
  readonly opening: { readonly heading: string; readonly paragraph: string } | undefined;
}

const parser = new MarkdownIt({ html: true });

export function parsePage(path: string, text: string): Page {
  const lines = text.split('\n');
  const tokens = parser.parse(text, {});
  const comments = lines.flatMap((line, index) => {
    const comment = /^\s*<!--\s*(.*?)\s*-->\s*$/.exec(line)?.[1];
    return comment === undefined ? [] : [{ line: index + 1, text: comment }];
  });
  return {
    path,
    length: lines.at(-1) === '' ? lines.length - 1 : lines.length,
    bytes: Buffer.byteLength(text),
    anchors: anchorsOf(tokens),
    links: linksOf(tokens),
    fences: fencesOf(tokens, comments),
    // What looks like one inside a block is text.
    comments: comments.filter(({ line }) => !tokens.some((token) => token.type === 'fence' && isWithin(token, line))),
    opening: openingOf(tokens),
  };
}

const firstLine = ({ map }: Token) => (map?.[0] ?? 0) + 1;
const isWithin = (token: Token, line: number) => firstLine(token) <= line && line <= (token.map?.[1] ?? 0);

function fencesOf(tokens: readonly Token[], comments: readonly Comment[]): Fence[] {
  return tokens
    .filter(({ type }) => type === 'fence')
    .map((token) => {
      const above: Comment[] = [];
      for (let line = firstLine(token) - 1; ; line -= 1) {
        const comment = comments.find((each) => each.line === line);
        if (!comment) break;
        above.unshift(comment);
      }
      const language = token.info.trim().split(/\s/)[0] ?? '';
      const [line, endLine] = [firstLine(token), token.map?.[1] ?? 0];
      return { line, endLine, language, text: token.content, comments: above };
    });
}

/** What a reader sees of a heading or paragraph, without its formatting. */
function plain(inline: Token | undefined): string {
  return (inline?.children ?? [])
    .map(({ type, content }) =>
      type === 'softbreak' ? ' ' : type === 'html_inline' || type === 'image' ? '' : content,
    )
    .join('');
}

function anchorsOf(tokens: readonly Token[]): Set<string> {
  const slugger = new Slugger();
  const headings = tokens.flatMap(({ type }, index) =>
    type === 'heading_open' ? [slugger.slug(plain(tokens[index + 1]))] : [],
  );
  const ids = htmlOf(tokens).flatMap(({ html }) => [...html.matchAll(/\b(?:id|name)="([^"]+)"/g)]);
  return new Set([...headings, ...ids.map(([, id = '']) => id)]);
}

function linksOf(tokens: readonly Token[]): { line: number; href: string }[] {
  // What is in a cell of a table has no line of its own.
  let line = 1;
  const links = tokens.flatMap((block) => {
    line = block.map ? firstLine(block) : line;
    return (block.children ?? []).flatMap((token) => {
      const href = token.attrGet(token.type === 'image' ? 'src' : 'href');
      return href === null ? [] : [{ line, href: String(href) }];
    });
  });
  const inHtml = htmlOf(tokens).flatMap(({ line, html }) =>
    [...html.matchAll(/\b(?:href|src)="([^"]+)"/g)].map(([, href = '']) => ({ line, href })),
  );
  return [...links, ...inHtml];
}

function htmlOf(tokens: readonly Token[]): { line: number; html: string }[] {
  return tokens.flatMap((block) =>
    [block, ...(block.children ?? [])]
      .filter(({ type }) => type === 'html_block' || type === 'html_inline')
      .map(({ content }) => ({ line: firstLine(block), html: content.replaceAll(/<!--[\s\S]*?-->/g, '') })),
  );
}

function openingOf(tokens: readonly Token[]): Page['opening'] {
  const [open, heading, , start, paragraph] = tokens.filter(
    ({ type, content }) => !(type === 'html_block' && content.trimStart().startsWith('<!--')),
  );
  if (open?.type !== 'heading_open' || open.tag !== 'h1' || start?.type !== 'paragraph_open') return undefined;
  return { heading: plain(heading), paragraph: plain(paragraph) };
}
