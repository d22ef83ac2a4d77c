// The documentation does what it says: every shell block of every page runs, and prints what the page shows.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { setup } from '../support/build-program.ts';
import { type ShellPage, shellPage } from '../support/doc-blocks.ts';
import { type RunningPage, replaced, startPage } from '../support/doc-page.ts';
import { missingFor } from '../support/doc-shell.ts';
import { MARKDOWN_FILES, parsePage } from '../support/markdown.ts';

const pages = MARKDOWN_FILES.map((path) => shellPage(parsePage(path, readFileSync(path, 'utf8')))).filter(
  ({ blocks }) => blocks.length > 0,
);
const ran: string[] = [];

beforeAll(setup);

afterAll(() => {
  const skipped = pages.flatMap(({ path, blocks }) =>
    blocks.flatMap(({ line, skip }) => (skip === undefined ? [] : [`  ${path}:${line}: ${skip}\n`])),
  );
  process.stdout.write(`shell blocks of the pages: ${ran.length} run, ${skipped.length} not run\n${skipped.join('')}`);
});

describe.each(pages)('$path', (page: ShellPage) => {
  let running: RunningPage | undefined;
  const missing = process.env['CI'] ? [] : missingFor(page.blocks.map(({ skip, text }) => (skip ? '' : text)).join());
  const isSkipped = missing.length > 0;
  const lacks = isSkipped ? ` (this machine lacks ${missing.join(', ')})` : '';
  const runs = !isSkipped && page.blocks.some(({ skip }) => skip === undefined);

  beforeAll(async () => {
    if (runs) running = await startPage(page);
  });
  afterAll(() => running?.[Symbol.asyncDispose]());

  for (const block of page.blocks) {
    const name = `line ${block.line}: ${block.title}`;
    if (block.skip !== undefined) it.skip(`${name} (not run: ${block.skip})`, () => undefined);
    else
      it.skipIf(isSkipped)(`${name}${replaced(block)}${lacks}`, async () => {
        await running?.run(block);
        ran.push(name);
      });
  }
});
