/**
 * The man pages, from the tables that docs/cli.md and docs/configuration.md are made of. Plain man(7) macros: groff and mandoc
 * both read them. Version and date are left empty; the build of a package fills them in.
 */
import type { Command } from 'commander';
import { pathOf } from '../../src/cli/help.ts';
import { createProgram } from '../../src/cli/program.ts';
import { optionRows } from '../../src/config/describe.ts';
import { INPUTS } from '../../src/config/env-and-flags.ts';
import { connectionOptions, endOfHelp, exitRows, leaves, usageOf } from './generate-cli.ts';

const NOTE = String.raw`.\" Generated from the source by npm run generate; a test fails when it is out of date.`;

/** `aritma-sidecar.1`: every command with its flags, variables, exit codes and examples. */
export function renderCommandManual(): string {
  const program = createProgram({ exit: () => undefined });
  const families = Map.groupBy(program.commands, (command) => command.helpGroup().replace(/:$/, ''));
  return page(
    title('aritma-sidecar', 1, 'User Commands'),
    section('Name', `aritma\\-sidecar \\- ${escaped(program.description())}`),
    section('Synopsis', '.B aritma\\-sidecar', '.RI [ command ]', '.RI [ options ]'),
    section('Description', paragraphs(program.createHelp().commandDescription(program))),
    section('Output', text(OUTPUT)),
    ...[...families].map(([name, commands]) => section(name, ...commands.flatMap(leaves).map(commandText))),
    section('Shared options', text(SHARED), ...INPUTS.flatMap(inputFlag)),
    section(
      'Options of all iam commands',
      ...connectionOptions(program).map(({ flags, description }) => item(flags, description)),
    ),
    section('Environment', ...INPUTS.map(({ env, about }) => item(env, about))),
    section('Exit status', ...exitRows().map(([code, meaning]) => item(String(code), meaning))),
    section('Files', ...FILES.map(([path, about]) => item(path, about))),
    section('Examples', literal(endOfHelp(program, 'Examples'))),
    section('See also', '.BR aritma\\-sidecar.yaml (5)'),
  );
}

/** `aritma-sidecar.yaml.5`: every option of the configuration file. */
export function renderConfigurationManual(): string {
  return page(
    title('aritma-sidecar.yaml', 5, 'File Formats'),
    section('Name', 'aritma\\-sidecar.yaml \\- configuration of the Aritma sidecar'),
    section('Description', text(CONFIGURATION)),
    section('Example', literal(EXAMPLE)),
    section(
      'Options',
      ...optionRows().map(({ path, fallback, required, description, values }) => {
        const notes = [
          ...(required ? ['required'] : fallback === undefined ? [] : [`default: ${fallback}`]),
          ...(values ? [`one of ${values.join(', ')}`] : []),
        ];
        return item(path, notes.length > 0 ? `${description} (${notes.join('; ')})` : description);
      }),
    ),
    section('See also', '.BR aritma\\-sidecar (1)'),
  );
}

const OUTPUT =
  'On a terminal, commands print text. Elsewhere, and with --json, they print one JSON object per line. Colours appear on a ' +
  'terminal only, and never with NO_COLOR set.';
const SHARED =
  'serve, check, support, rotate and config print take these. A flag overrides its variable, a variable overrides the file.';
const FILES = [
  ['aritma-sidecar.yaml', 'the configuration, in the working directory, without --config or ARITMA_CONFIG'],
  ['/etc/aritma-sidecar/config.yaml', 'the configuration of the systemd service'],
  ['/etc/aritma-sidecar/client-secret', 'the client secret of the systemd service; systemd hands it over'],
] as const;
const CONFIGURATION =
  'A YAML document. Names of nested options are written with dots, <name> is a name of your choice, [] an entry of a list. ' +
  'A required option is required only where the group that it belongs to is present. ' +
  'Flags and variables of aritma-sidecar(1) override some options. "aritma-sidecar check" tries everything the file sets, ' +
  '"aritma-sidecar config print" shows it with all defaults.';
const EXAMPLE = `environment: dev
credentials:
  default:
    clientId: my-erp
    secrets: [{ file: client-secret }]`;

function commandText(command: Command): string {
  const { usage, rows } = usageOf(command);
  const examples = endOfHelp(command, 'Examples') || endOfHelp(command, 'Installation');
  return [
    `.SS ${quoted(usage || pathOf(command))}`,
    paragraphs(command.createHelp().commandDescription(command)),
    ...rows.map(([name, about]) => item(name, about)),
    ...(examples === '' ? [] : ['.PP', literal(examples)]),
  ].join('\n');
}

function inputFlag({ flag, env, about }: (typeof INPUTS)[number]): string[] {
  return flag === undefined ? [] : [item(flag, `${about} (${env})`)];
}

/** Without version and date: `.TH NAME SECTION "" "" MANUAL`. */
function title(name: string, number: number, manual: string): string {
  return `.TH ${name.toUpperCase().replaceAll('-', '\\-')} ${number} "" "" "${manual}"`;
}

function page(...parts: readonly string[]): string {
  return `${[NOTE, ...parts].join('\n')}\n`;
}

function section(name: string, ...lines: readonly string[]): string {
  return [`.SH ${quoted(name.toUpperCase())}`, ...lines].join('\n');
}

function item(name: string, about: string): string {
  return `.TP\n.B ${quoted(name)}\n${text(about.replaceAll('`', ''))}`;
}

/** One paragraph for each line. */
function paragraphs(lines: string): string {
  return lines.split('\n').map(text).join('\n.PP\n');
}

function literal(lines: string): string {
  return ['.nf', ...lines.split('\n').map(text), '.fi'].join('\n');
}

/** A line that starts with a dot or an apostrophe would be a command. */
function text(line: string): string {
  return escaped(line).replace(/^(?=[.'])/, '\\&');
}

function quoted(words: string): string {
  return `"${escaped(words).replaceAll('"', '\\(dq')}"`;
}

function escaped(words: string): string {
  const characters: Readonly<Record<string, string>> = {
    '\\': '\\e',
    '-': '\\-',
    '’': '\\(cq',
    '‘': '\\(oq',
    '·': '\\(bu',
  };
  return words.replaceAll(/[\\\-’‘·]/g, (found) => characters[found] ?? found);
}
