/** Writes docs/cli.md from the commands as commander knows them: every command with its flags and examples, and the exit codes. */
import type { Command, Option } from 'commander';
import { pathOf } from '../../src/cli/help.ts';
import { createProgram } from '../../src/cli/program.ts';
import { INPUTS } from '../../src/config/env-and-flags.ts';
import { ERRORS } from '../../src/core/errors.ts';

const HEAD = `# Commands

Every command with its flags, and the exit codes, for scripts and unit files. The page is generated from the source by \`npm run generate\`;
a test fails when it is out of date. \`aritma-sidecar COMMAND --help\` shows the same on a terminal, and
[\`aritma-sidecar completion\`](#completion-shell) prints a completion script for bash, zsh, fish and PowerShell.

On a terminal, commands print text. Elsewhere, and with \`--json\`, they print one JSON object per line. Colours appear on a terminal only,
and never with \`NO_COLOR\` set.

<!-- running: aritma-sidecar demo -->
\`\`\`sh
aritma-sidecar status            # text on a terminal; exit code 0 while calls work on every route, warnings included
aritma-sidecar status --json     # one JSON object: verdict, routes, credentials, audit, unsafe, version, uptimeS
\`\`\`
`;

/** Exit codes without a row in the error table. */
const OTHER_EXITS: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'success; for `status`: calls work on every route, possibly with a warning'],
  [2, 'a flag or an argument is wrong, or Node is too old'],
  [6, '`fleet status`: the store cannot be used'],
  [
    10,
    '`wait`: not ready in time · `shutdown`: no sidecar responds, or it refuses · `status`: no sidecar serves calls there · `check --watch`: interrupted before its first result',
  ],
  [11, '`audit verify`: the chain is broken'],
];

/** The whole page. */
export function renderCliPage(): string {
  const program = createProgram({ exit: () => undefined });
  const families = Map.groupBy(program.commands, (command) => command.helpGroup().replace(/:$/, ''));
  const sections = [...families].map(
    ([title, commands]) => `## ${title}\n\n${commands.flatMap(leaves).map(section).join('\n')}`,
  );
  return [HEAD, exitCodes(), sharedFlags(program), ...sections].join('\n');
}

/** The commands that do something, without those that only hold others. */
export function leaves(command: Command): Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
}

const INPUT_FLAGS = new Set(INPUTS.map(({ flag }) => flag));
const CONNECTION = 'Connection and output:';
/** Many commands have it: the page says once which. */
const CONFIG = '--config <file>';
const takesInputs = (command: Command) => command.options.some(({ long }) => long === '--client-secret-file');

/** Command line of a command, and what its arguments and flags do, without the flags that many commands share. */
export function usageOf(command: Command): { readonly usage: string; readonly rows: readonly Row[] } {
  const help = command.createHelp();
  const isShared = ({ long, helpGroupHeading }: Option) =>
    helpGroupHeading === CONNECTION || long === '--json' || (takesInputs(command) && INPUT_FLAGS.has(long ?? ''));
  return {
    usage: [pathOf(command), ...command.registeredArguments.map((each) => `<${each.name()}>`)].join(' '),
    rows: [
      ...command.registeredArguments
        .filter(({ description }) => description !== '')
        .map((each) => [`<${each.name()}>`, help.argumentDescription(each)] as const),
      ...command.options
        .filter((each) => !isShared(each))
        .map((each) => [each.flags, help.optionDescription(each)] as const),
    ],
  };
}

type Row = readonly [name: string, about: string];

function section(command: Command): string {
  const { usage, rows } = usageOf(command);
  const lines = rows.filter(([name]) => name !== CONFIG).map(([name, about]) => row(name, about));
  const table = lines.length > 0 ? `\n| flag | what it does |\n| --- | --- |\n${lines.join('')}` : '';
  const about = command.createHelp().commandDescription(command);
  return `### ${usage.replaceAll('<', '\\<')}\n\n${about}\n${installation(command)}${table}`;
}

/** How to install what the command prints, from the end of its help. */
function installation(command: Command): string {
  const lines = endOfHelp(command, 'Installation');
  return lines === '' ? '' : `\n\`\`\`\n${lines}\n\`\`\`\n`;
}

/** The lines below a heading at the end of a command's help; empty without that heading. */
export function endOfHelp(command: Command, heading: 'Installation' | 'Examples'): string {
  let text = '';
  const writeOut = (piece: string) => {
    text += piece;
  };
  command.configureOutput({ writeOut, getOutHasColors: () => false }).outputHelp();
  const [, lines = ''] = text.split(`\n${heading}:\n`);
  return lines.replaceAll(/^ {2}/gm, '').trimEnd();
}

function row(name: string, about: string): string {
  return `| \`${name}\` | ${about.replaceAll('|', '\\|')} |\n`;
}

/** The flags that all `iam` commands take. */
export function connectionOptions(program: Command): readonly Option[] {
  const [iam] = leaves(program).filter((command) => pathOf(command).startsWith('iam '));
  return (iam?.options ?? []).filter(({ helpGroupHeading }) => helpGroupHeading === CONNECTION);
}

function sharedFlags(program: Command): string {
  const inputs = INPUTS.flatMap(({ flag, env, about }) =>
    flag === undefined ? [] : [`| \`${flag}\` | \`${env}\` | ${about} |\n`],
  );
  const connection = connectionOptions(program);
  const withInputs = leaves(program)
    .filter(takesInputs)
    .map((command) => `\`${pathOf(command)}\``);
  const withConfig = leaves(program)
    .filter((command) => !pathOf(command).startsWith('iam ') && command.options.some(({ flags }) => flags === CONFIG))
    .map((command) => `\`${pathOf(command)}\``);
  return `## Shared flags

All commands have \`--help\`; those that print a result have \`--json\`. \`${CONFIG}\` (\`ARITMA_CONFIG\`; default:
\`aritma-sidecar.yaml\`) names the configuration file for ${withConfig.join(', ')}.

${withInputs.join(', ')} also take:

| flag | variable | what it sets |
| --- | --- | --- |
${inputs.join('')}
All \`iam\` commands also take:

| flag | what it does |
| --- | --- |
${connection.map(({ flags, description }) => row(flags, description)).join('')}`;
}

/** Every exit code and what it means, in order. */
export function exitRows(): readonly (readonly [code: number, meaning: string])[] {
  const byExit = Map.groupBy(Object.entries(ERRORS), ([, { exit }]) => exit);
  const errors = [...byExit].map(
    ([exit, rows]) => [exit, rows.map(([name, { title }]) => `\`${name}\` ${title}`).join(' · ')] as const,
  );
  return [...errors.filter(([exit]) => exit !== 1), [1, 'a defect of the program'] as const, ...OTHER_EXITS].toSorted(
    ([one], [other]) => one - other,
  );
}

function exitCodes(): string {
  const rows = exitRows().map(([exit, meaning]) => `| ${exit} | ${meaning} |\n`);
  return `## Exit codes

\`check\` and \`status\` exit with the smallest code of all failures, in this order: configuration, credentials, token endpoint, API. An error
response of the API itself counts as 7.

| exit code | meaning |
| --- | --- |
${rows.join('')}`;
}
