/**
 * The shell blocks of a page, by the conventions that hold for every page. All blocks marked `sh` run, in order, in one shell.
 *
 * On the line directly above a fence:
 * - `<!-- not run: REASON -->`: it does not, for that reason (three words at least).
 * - `<!-- background -->`: it is a server, which runs until the page ends; what follows waits until it is ready.
 * - `<!-- exit: N -->`: its last command exits with N.
 * - `<!-- output -->`, above a plain fence that follows: what the block before prints; see doc-output.ts.
 * - `<!-- fragment -->`, `<!-- not a configuration: REASON -->` above `yaml`: see doc-config.ts.
 *
 * Anywhere in the page, for all of it:
 * - `<!-- before: COMMAND -->`: runs in the shell before the first block.
 * - `<!-- running: COMMAND -->`: runs as a server before the first block, instead of the local Aritma alone.
 * - `<!-- folder: PATH -->`: the page is read in this folder of a checkout (`.` is its root). So are pages that use `npm`.
 */
import type { Comment, Fence, Page } from './markdown.ts';

export interface Block {
  /** Of the opening fence. */
  readonly line: number;
  readonly text: string;
  /** Its first command, for names. */
  readonly title: string;
  /** Why it does not run. */
  readonly skip: string | undefined;
  readonly background: boolean;
  readonly exit: number;
  readonly output: { readonly line: number; readonly text: string } | undefined;
}

export interface ShellPage {
  readonly path: string;
  readonly blocks: readonly Block[];
  readonly before: readonly string[];
  readonly running: readonly string[];
  /** In a checkout; undefined = an empty folder. */
  readonly folder: string | undefined;
}

const SHELL = 'sh';
/** Other names for the same, with which a block would run nowhere. */
const ALSO_SHELL = new Set(['bash', 'shell', 'console', 'zsh', 'shell-session', 'shellsession', 'terminal']);
const REASON = /^\S+(?:\s+\S+){2,}/;
const PLACES = /^(before|running|folder):/;

export function shellPage(page: Page): ShellPage {
  const blocks = page.fences.filter(({ language }) => language === SHELL).map((fence) => blockOf(page, fence));
  const all = (name: string) => page.comments.flatMap((comment) => markerValue([comment], name) ?? []);
  const usesNpm = blocks.some(({ skip, text }) => skip === undefined && /\bnpm (?:ci|run|test)\b/.test(text));
  return {
    path: page.path,
    blocks,
    before: all('before'),
    running: all('running'),
    folder: all('folder')[0] ?? (usesNpm ? '.' : undefined),
  };
}

/** What stands after the colon; the empty string for a marker without one. */
function markerValue(comments: readonly Comment[], name: string): string | undefined {
  const found = comments.find(({ text }) => text === name || text.startsWith(`${name}:`));
  return found?.text.slice(name.length + 1).trim();
}

export const hasMarker = ({ comments }: Fence, name: string) => markerValue(comments, name) !== undefined;

function blockOf(page: Page, fence: Fence): Block {
  const next = page.fences[page.fences.indexOf(fence) + 1];
  const output = next && next.language !== SHELL && hasMarker(next, 'output') ? next : undefined;
  return {
    line: fence.line,
    text: fence.text,
    title: titleOf(fence.text),
    skip: markerValue(fence.comments, 'not run'),
    background: hasMarker(fence, 'background'),
    exit: Number(markerValue(fence.comments, 'exit') ?? 0),
    output: output && { line: output.line, text: output.text },
  };
}

function titleOf(text: string): string {
  const command = text.split('\n').find((line) => line.trim() !== '' && !line.startsWith('#')) ?? '';
  return command.replace(/\s{2,}#.*$/, '').trim();
}

/** A sentence for each fault in the markers of a page: what stands where, and what to write instead. */
export function markerProblems(page: Page): string[] {
  const placed = new Set(page.fences.flatMap(({ comments }) => comments.map(({ line }) => line)));
  const floating = page.comments.filter(({ line, text }) => !placed.has(line) && isOfFence(text) && !PLACES.test(text));
  return [
    ...page.fences
      .flatMap((fence, index) => [
        ...fence.comments.flatMap((comment) => faultOf(fence, comment, page.fences[index - 1])),
        ...languageFault(fence),
      ])
      .map((problem) => `${page.path}:${problem}`),
    ...floating.map(
      ({ line, text }) => `${page.path}:${line}: \`<!-- ${text} -->\` stands above no fence: move it directly above`,
    ),
  ];
}

const isOfFence = (text: string) => /^(?:not run|background|exit|output|fragment|not a configuration)\b/.test(text);

function languageFault({ line, language }: Fence): string[] {
  return ALSO_SHELL.has(language) ? [`${line}: \`\`\`${language} runs nowhere: write \`\`\`sh`] : [];
}

function faultOf(fence: Fence, { line, text }: Comment, before: Fence | undefined): string[] {
  if (PLACES.test(text)) return [];
  const [, name = '', value] = /^([^:]*)(?::\s*(.*))?$/.exec(text) ?? [];
  const isShell = fence.language === SHELL;
  const faults: Readonly<Record<string, string | false>> = {
    'not run':
      !REASON.test(value ?? '') &&
      `needs a reason of three words at least: <!-- not run: needs an account at Aritma -->`,
    'not a configuration': !REASON.test(value ?? '') && 'needs a reason of three words at least, after a colon',
    exit: (!isShell || !/^\d{1,3}$/.test(value ?? '')) && 'needs a number and stands above ```sh: <!-- exit: 2 -->',
    background: !isShell && 'stands above ```sh only',
    output:
      (isShell || before?.language !== SHELL || hasMarker(before, 'not run')) &&
      'stands above a plain fence that follows a ```sh block which runs',
    fragment: fence.language !== 'yaml' && 'stands above ```yaml only',
  };
  const fault = faults[name.trim()];
  if (fault === undefined)
    return [`${line}: \`<!-- ${text} -->\` is no marker: one of ${Object.keys(faults).join(', ')}`];
  return fault === false ? [] : [`${line}: \`<!-- ${text} -->\` ${fault}`];
}
