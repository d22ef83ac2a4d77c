/** Writes the README's tables from the tables in the source, between `<!-- NAME -->` and `<!-- /NAME -->`. */
import { optionRows } from '../../src/config/describe.ts';
import { INPUTS } from '../../src/config/env-and-flags.ts';
import { ERRORS } from '../../src/core/errors.ts';
import { METRIC_PREFIX, METRICS } from '../../src/core/metrics.ts';

const SECTIONS: Readonly<Record<string, () => string>> = {
  options: () =>
    table(
      ['option', 'default', 'what it does'],
      optionRows().map(({ path, fallback, required, description, values }) => [
        code(path),
        required ? '**required**' : fallback === undefined ? '' : code(fallback),
        description + (values ? ` (${values.map(code).join(', ')})` : ''),
      ]),
    ),
  inputs: () =>
    table(
      ['variable', 'flag', 'what it sets'],
      INPUTS.map(({ env, flag, about }) => [code(env), flag ? code(flag) : '', about]),
    ),
  errors: () =>
    table(
      ['code', 'status', 'exit', 'what happened, what to do'],
      Object.entries(ERRORS).map(([name, { status, exit, title, detail }]) => [
        code(name),
        name.startsWith('CONFIG_') || name.endsWith('LISTEN_FAILED') ? '' : String(status),
        exit === 1 ? '' : String(exit),
        `${title}. ${detail}`,
      ]),
    ),
  metrics: () =>
    table(
      ['metric', 'type', 'labels', 'what it says'],
      Object.entries(METRICS).map(([name, { type, labels, help }]) => [
        code(METRIC_PREFIX + name),
        type,
        labels.map(code).join(' '),
        help,
      ]),
    ),
};

/** The text with every generated section renewed. Throws when a section's markers are missing. */
export function renderReadme(text: string): string {
  return Object.entries(SECTIONS).reduce((current, [name, render]) => {
    const section = new RegExp(`(<!-- ${name} -->\n)[^]*?(<!-- /${name} -->)`);
    if (!section.test(current)) throw new Error(`README.md has no section ${name}`);
    return current.replace(section, (_all, open: string, close: string) => `${open}\n${render()}\n${close}`);
  }, text);
}

function code(text: string): string {
  return `\`${text}\``;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}
