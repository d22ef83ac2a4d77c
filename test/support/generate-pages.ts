/** Writes the man pages, and the tables of the source into the pages of docs/, between `<!-- NAME -->` and `<!-- /NAME -->`. */
import { readFileSync } from 'node:fs';
import { optionRows } from '../../src/config/describe.ts';
import { INPUTS } from '../../src/config/env-and-flags.ts';
import { ERRORS } from '../../src/core/errors.ts';
import { METRIC_PREFIX, METRICS } from '../../src/core/metrics.ts';
import { renderCliPage } from './generate-cli.ts';
import { renderCommandManual, renderConfigurationManual } from './generate-man.ts';

const ROOT = new URL('../../', import.meta.url);

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

/** Which page contains which of them. */
const PAGES: Readonly<Record<string, readonly string[]>> = {
  'docs/configuration.md': ['options', 'inputs'],
  'docs/errors.md': ['errors'],
  'docs/metrics.md': ['metrics'],
};

/** Generated from the first line to the last. */
const WHOLE: Readonly<Record<string, () => string>> = {
  'docs/cli.md': renderCliPage,
  'deploy/man/aritma-sidecar.1': renderCommandManual,
  'deploy/man/aritma-sidecar.yaml.5': renderConfigurationManual,
};

/** Every page with generated parts, by its path from the root: as it is, and as it should be. */
export function renderPages(): readonly { readonly path: string; readonly is: string; readonly should: string }[] {
  const pages = Object.entries(PAGES).map(([path, names]) => {
    const is = readFileSync(new URL(path, ROOT), 'utf8');
    return { path, is, should: names.reduce((text, name) => renew(path, text, name), is) };
  });
  const whole = Object.entries(WHOLE).map(([path, render]) => {
    return { path, is: readFileSync(new URL(path, ROOT), 'utf8'), should: render() };
  });
  return [...pages, ...whole];
}

function renew(path: string, text: string, name: string): string {
  const section = new RegExp(`(<!-- ${name} -->\n)[^]*?(<!-- /${name} -->)`);
  if (!section.test(text)) throw new Error(`${path} has no section ${name}`);
  const table = SECTIONS[name]?.();
  return text.replace(section, (_all, open: string, close: string) => `${open}\n${table}\n${close}`);
}

function code(text: string): string {
  return `\`${text}\``;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}
