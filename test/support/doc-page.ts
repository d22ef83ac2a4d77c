/** Runs the shell blocks of a page. Hides how a page is set up, and puts failures into words: what to mend, or what to write where. */
import type { Block, ShellPage } from './doc-blocks.ts';
import { outputDifference } from './doc-output.ts';
import { openShell, type PageShell, type Result } from './doc-shell.ts';

export interface RunningPage extends AsyncDisposable {
  /** @throws Error that says what is wrong with the block, and which marker to write where if it is not */
  run(block: Block): Promise<void>;
}

/** In the copy of a checkout, nothing is installed again. */
const INSTALL = 'npm ci';
const INSTALLED = 'test -d node_modules';

/** What runs instead of the block's text, where that differs; for its name. */
export function replaced(block: Block): string {
  return block.text.includes(INSTALL) ? ` [with \`${INSTALLED}\` for \`${INSTALL}\`]` : '';
}

/** Starts what the page says runs, or the local Aritma where the page starts none. @throws Error when that fails */
export async function startPage(page: ShellPage, limitMs?: number): Promise<RunningPage> {
  const shell = openShell({ folder: page.folder, ...(limitMs !== undefined && { limitMs }) });
  try {
    for (const text of page.before) await prepare(shell, page, { text });
    for (const text of serversOf(page)) await prepare(shell, page, { text, background: true });
  } catch (error) {
    await shell[Symbol.asyncDispose]();
    throw error;
  }
  let failed: number | undefined;
  return {
    async run(block) {
      if (failed !== undefined)
        throw new Error(`${page.path}:${block.line}: not run: the block on line ${failed} failed`);
      failed = block.line;
      const { text, background, exit, output } = block;
      const result = await shell.run({ text: text.replaceAll(INSTALL, INSTALLED), background, exit });
      if (result.exit !== exit) throw new Error(failure(page, block, result));
      failed = undefined;
      if (output) await compare(page, output, result, background);
    },
    [Symbol.asyncDispose]: () => shell[Symbol.asyncDispose](),
  };
}

function serversOf({ running, blocks }: ShellPage): readonly string[] {
  if (running.length > 0) return running;
  const runs = blocks.filter(({ skip }) => skip === undefined);
  const startsOne = runs.some(({ text, background }) => background && /\b(?:emulate|demo)\b/.test(text));
  return startsOne ? [] : ['aritma-sidecar emulate'];
}

async function prepare(shell: PageShell, { path }: ShellPage, command: { text: string; background?: boolean }) {
  const { exit, output } = await shell.run(command);
  if (exit !== 0)
    throw new Error(`${path}: \`${command.text}\`, before the first block, exited with ${exit}:\n${output}`);
}

async function compare(page: ShellPage, shown: NonNullable<Block['output']>, { output }: Result, isStart: boolean) {
  const difference = outputDifference(shown.text, output, { isStart });
  if (difference === undefined) return;
  throw new Error(
    `${page.path}:${shown.line}: ${difference}\nCorrect the page. \`…\` in a line stands for any text, a line of only \`…\` for any lines.`,
  );
}

function failure({ path }: ShellPage, { line, title, exit, background }: Block, result: Result): string {
  const above = `on a line of its own above line ${line}, directly above the fence`;
  const isLate = result.exit === undefined;
  const what = isLate
    ? background
      ? 'is not ready in time'
      : 'did not end in time'
    : `exited with ${result.exit}${exit === 0 ? '' : ` instead of ${exit}`}`;
  const markers = [
    ...(isLate && !background ? [['it is a server that runs until the page ends', '<!-- background -->']] : []),
    ...(isLate || background ? [] : [[`it is meant to end so`, `<!-- exit: ${result.exit} -->`]]),
    ['a test cannot run it', '<!-- not run: REASON IN THREE WORDS OR MORE -->'],
  ];
  return [
    `${path}:${line}: \`${title}\` ${what}. It printed:`,
    result.output.trimEnd(),
    `---\nMend the block. Or, ${above}, write`,
    ...markers.map(([when, marker]) => `  ${marker}   if ${when}`),
  ].join('\n');
}
