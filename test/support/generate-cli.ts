/** Writes docs/cli.md from the commands as commander has them: every command with its help, and the exit codes. */
import type { Command, Option } from 'commander';
import { createProgram } from '../../src/cli/program.ts';
import { INPUTS } from '../../src/config/env-and-flags.ts';
import { ERRORS } from '../../src/core/errors.ts';

const HEAD = `# Commands

Every command with its help, and what it exits with, for whoever writes a script or a unit file around the program. Made from the source by
\`npm run generate\`; a test fails when it is stale.

On a terminal, commands print text; elsewhere, and with \`--json\`, one JSON object a line. Colours only on a terminal, and never with
\`NO_COLOR\` set.

<!-- running: aritma-sidecar demo -->
\`\`\`sh
aritma-sidecar status            # text on a terminal; exit code 0 while calls of every route work, warnings included
aritma-sidecar status --json     # one JSON object: verdict, routes, credentials, audit, unsafe, version, uptimeS
\`\`\`
`;

/** Exit codes without a row in the error table. */
const OTHER_EXITS: readonly (readonly [code: number, meaning: string])[] = [
  [0, 'done; for `status`: calls of every route work, if with a warning'],
  [10, '`wait`, `shutdown`, `status`: no sidecar responds there, not in time, or it is starting or stopping'],
  [11, '`audit verify`: the chain is broken'],
];

/** The whole page. */
export function renderCliPage(): string {
  const program = createProgram({ exit: () => undefined });
  const commands = leaves(program, 'aritma-sidecar');
  const sections = commands.map(([name, command]) => `## ${name}\n\n\`\`\`\n${help(command)}\n\`\`\`\n`);
  return [HEAD, exitCodes(), sharedFlags(program), ...sections].join('\n');
}

function leaves(command: Command, name: string): [string, Command][] {
  if (command.commands.length === 0) return [[name, command]];
  return command.commands.flatMap((each) => leaves(each, `${name} ${each.name()}`));
}

const INPUT_FLAGS = new Set(INPUTS.map(({ flag }) => flag));
const CONNECTION = 'Connection and output:';

/** Without the flags that many commands share, which are listed above. */
function help(command: Command): string {
  const isInput = ({ long }: Option) => INPUT_FLAGS.has(long ?? '');
  const takesInputs = command.options.some(({ long }) => long === '--client-secret-file');
  const isOwn = (option: Option) => option.helpGroupHeading !== CONNECTION && !(takesInputs && isInput(option));
  const visibleOptions = () => command.options.filter(isOwn);
  return command.configureHelp({ helpWidth: 120, visibleOptions }).helpInformation().trim();
}

function sharedFlags(program: Command): string {
  const rows = INPUTS.flatMap(({ flag, env, about }) =>
    flag === undefined ? [] : [`| \`${flag}\` | \`${env}\` | ${about} |\n`],
  );
  const [iam] = leaves(program, '').filter(([name]) => name.startsWith(' iam '));
  const connection = (iam?.[1].options ?? []).filter(({ helpGroupHeading }) => helpGroupHeading === CONNECTION);
  return `## Flags that many commands have

All have \`--help\`. \`serve\`, \`check\`, \`rotate\` and \`config print\` also take:

| flag | variable | what it sets |
| --- | --- | --- |
${rows.join('')}
All of \`iam\` also take:

| flag | what it does |
| --- | --- |
${connection.map(({ flags, description }) => `| \`${flags}\` | ${description} |\n`).join('')}`;
}

function exitCodes(): string {
  const byExit = Map.groupBy(Object.entries(ERRORS), ([, { exit }]) => exit);
  const errors = [...byExit].map(
    ([exit, rows]) => [exit, rows.map(([name, { title }]) => `\`${name}\` ${title}`).join(' · ')] as const,
  );
  const rows = [...errors.filter(([exit]) => exit !== 1), [1, 'a defect of the program'] as const, ...OTHER_EXITS]
    .toSorted(([one], [other]) => one - other)
    .map(([exit, meaning]) => `| ${exit} | ${meaning} |\n`);
  return `## Exit codes

\`check\` and \`status\` exit with the smallest of what fails: configuration before credentials before token endpoint before API. An error
response of the API itself counts as 7.

| exit | what it means |
| --- | --- |
${rows.join('')}`;
}
