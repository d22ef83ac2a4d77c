/**
 * The commands and their flags, as commander sees them. commands.ts holds what each command does, help.ts how its help looks.
 */
import { Argument, Command, Option } from 'commander';
import { INPUTS } from '../config/env-and-flags.ts';
import { VERSION } from '../core/version.ts';
import type { Flags } from './flags.ts';
import { addExamples, HELP_LAYOUT } from './help.ts';
import { addIamCommands } from './iam/program.ts';
import { reportMistakes } from './mistakes.ts';

export interface Cli {
  /** Receives the exit code of the command that ran. */
  readonly exit: (code: number) => void;
  /** Whether mistakes on the command line are reported as JSON. */
  readonly json?: boolean;
  /** What follows the name of the program. Only what it can run is built, if that is certain; default: everything. */
  readonly args?: readonly string[];
}

type CommandName = keyof typeof import('./commands.ts')['COMMANDS'];

const CONFIG_OPTION = ['--config <file>', 'configuration file (ARITMA_CONFIG; default: aritma-sidecar.yaml)'] as const;
const ADMIN_OPTION = ['--admin <address>', 'admin address of the sidecar (ARITMA_ADMIN)'] as const;
const JSON_OPTION = ['--json', 'print one JSON object per line, as without a terminal'] as const;

/** Defaults of the option table, for the help only. A test compares the two. */
export const SHOWN_DEFAULTS: Readonly<Record<string, string>> = {
  '--listen': '127.0.0.1:7080',
  '--admin': '127.0.0.1:7090',
  '--log-level': 'info',
};

/** Builds the program; `parseAsync` runs the command that argv names. */
export function createProgram({ exit, json = false, args: given = [] }: Cli): Command {
  const program = createRoot();
  const add: Add = (name, about, parent = program) =>
    parent
      .command(name, { isDefault: name === 'serve' })
      .description(about)
      .allowExcessArguments(name === 'serve')
      // Loads the code of a command only when it runs: a health check must not load a server.
      .action(async (...args) => {
        const [operand] = args.slice(0, -2);
        const operands = Array.isArray(operand) ? operand.map(String) : [];
        const flags = { ...(args.at(-2) as Flags), ...(operands.length > 0 && { operands }) };
        exit(await (await import('./commands.ts')).COMMANDS[name](flags));
      });
  program.commandsGroup('Run:');
  withSettings(add('serve', 'run the sidecar (the default command)').option(...CONFIG_OPTION));
  if (!isPlainServe(given)) addOthers(program, add, exit);
  addExamples(program);
  reportMistakes(program, json);
  return program;
}

/**
 * `serve`, alone or with a file: no help and no word that another command may be meant by. The other commands and their
 * flags take a twentieth of the CPU time of a start, and 1 MiB as long as the process lives.
 */
function isPlainServe([command, flag, file, ...more]: readonly string[]): boolean {
  const isFile = flag === undefined || (flag === '--config' && file !== undefined && !file.startsWith('-'));
  return command === 'serve' && isFile && more.length === 0;
}

function addOthers(program: Command, add: Add, exit: Cli['exit']): void {
  addControl(add);
  program.commandsGroup('Diagnose:');
  addDiagnosis(program, add);
  program.commandsGroup('Secrets and IAM:');
  addRotation(add);
  addIamCommands(program, exit);
  program.commandsGroup('Many sidecars with one client:');
  addFleet(program, exit);
  program.commandsGroup('Configuration:');
  addConfiguration(program, add);
  addCompletion(program, exit);
  program.commandsGroup('Local Aritma, for development and tests:');
  addLocalAritma(add);
}

type Add = (name: CommandName, about: string, parent?: Command) => Command;

function createRoot(): Command {
  return new Command('aritma-sidecar')
    .description('run a local proxy that adds access tokens to requests, for programs that do not support OAuth')
    .usage('[command] [options]')
    .version(VERSION, '--version', 'print the version')
    .helpOption('-h, --help', 'show the help of a command')
    .helpCommand(false)
    .configureHelp(HELP_LAYOUT)
    .exitOverride();
}

function addControl(add: Add): void {
  add('wait', 'wait until a running sidecar is ready')
    .addOption(new Option('--for <probe>', 'what to wait for').choices(['ready', 'started', 'live']).default('ready'))
    .addOption(new Option('--max <duration>', 'give up after this time').default('30s'))
    .option(...ADMIN_OPTION)
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION);
  add('shutdown', 'ask a running sidecar to finish its requests and stop')
    .option(...ADMIN_OPTION)
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION);
}

function addDiagnosis(program: Command, add: Add): void {
  const check = add('check', 'test the configuration, the credentials and the APIs')
    .option('--no-upstream', 'do not call the APIs')
    .option('--watch', 'repeat until nothing is wrong, and print only what changes')
    .option('--every <duration>', 'with --watch: time between two checks, at least (default: 5s)')
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION);
  withSettings(check);
  add('status', 'show whether calls work on each route, and how to fix those that fail')
    .option(...ADMIN_OPTION)
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION);
  const support = add('support', 'write one file for a support request, without secrets and tokens')
    .option('--output <file>', 'file to write; - prints it (default: aritma-sidecar-support-TIME.txt)')
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION);
  withSettings(support);
  const audit = program.command('audit').description('inspect an audit log');
  add('verify', 'verify the hash chain of an audit log and report the first broken link', audit)
    .argument('<file...>', 'the file named in audit.file, rotated files included; or a list of files, in any order')
    .option('--head <hash>', 'a hash from /status or an earlier run: detects missing lines at the end')
    .option(...JSON_OPTION);
}

function addRotation(add: Add): void {
  const rotate = add('rotate', 'replace a client secret without downtime; resumes where it was interrupted')
    .addOption(new Option('--credential <name>', 'credential whose secret to replace').default('default'))
    .option('--no-wait', 'do not wait for the overlap to end; a later run deletes the old secret')
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION);
  withSettings(rotate);
}

function addFleet(program: Command, exit: Cli['exit']): void {
  const fleet = program.command('fleet').description('make a key for a fleet, and show its members').helpCommand(false);
  fleet
    .command('key')
    .description('print a new key, for fleet.keys of all members')
    .allowExcessArguments(false)
    .action(async () => exit((await import('./fleet-command.ts')).printFleetKey(process.stdout)));
  fleet
    .command('status')
    .description('show the members, who has another key or other secrets, and what they share')
    .allowExcessArguments(false)
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION)
    .action(async (flags: Flags) => {
      const { showFleet } = await import('./fleet-command.ts');
      exit(await showFleet(flags, process.stdout));
    });
}

function addConfiguration(program: Command, add: Add): void {
  const config = program
    .command('config')
    .description('write a first configuration; show it, its schema, its variables');
  addInit(add, config);
  const print = add('print', 'print the effective configuration as YAML; a secret appears only as its source', config);
  withSettings(print.option(...CONFIG_OPTION));
  add('schema', 'print the JSON Schema of the configuration file, for editors', config);
  add('env', 'list the environment variables', config);
}

function addInit(add: Add, config: Command): void {
  const repeat = (value: string, before: readonly string[] = []) => [...before, value];
  add('init', 'ask a few questions, write a configuration and test it', config)
    .option('--environment <value>', 'dev, prod or emulator')
    .option('--client-id <id>', 'client id at Aritma')
    .option('--secret-file <file>', 'file with the client secret')
    .option('--secret-env <name>', 'environment variable with the client secret')
    .option('--secret-exec <command>', 'program that prints the client secret, and its arguments, split at spaces')
    .option('--calls <list>', 'what the ERP calls: banking, events or /PATH=URL (default: banking, events)')
    .option('--header <name=value>', 'header that the ERP cannot send, for every route; repeatable', repeat)
    .option('--listen <address>', 'address or port for the ERP (default: 7080)')
    .option(...ADMIN_OPTION)
    .option('--caller-key-file <file>', 'every call needs the key in this file; created if it does not exist')
    .option('--out <file>', 'file to write (default: aritma-sidecar.yaml)')
    .option('--force', 'replace an existing file')
    .option('--no-check', 'do not run check afterwards')
    .option(...JSON_OPTION);
}

function addCompletion(program: Command, exit: Cli['exit']): void {
  program
    .command('completion')
    .description('print a shell completion script')
    .allowExcessArguments(false)
    .addArgument(new Argument('<shell>', 'the shell that reads it').choices(['bash', 'zsh', 'fish', 'powershell']))
    .action(async (shell: string) => {
      const { printCompletion } = await import('./completion/script.ts');
      await printCompletion(program, shell);
      exit(0);
    });
}

function addLocalAritma(add: Add): void {
  add('demo', 'run a local Aritma and a sidecar in front of it, without any configuration')
    .option('--once', 'make one request, print the response and stop')
    .option(
      '--fleet <number>',
      'run so many sidecars that share their token through a store (needs valkey-server or redis-server)',
    )
    .option('--listen <address>', settingText('--listen', 'address callers connect to'))
    .option('--admin <address>', settingText('--admin', 'address of health and metrics'))
    .addOption(new Option('--emulator <address>', 'address of the local Aritma').default('127.0.0.1:7100'))
    .option(...JSON_OPTION);
  add('emulate', 'run a local Aritma: identity server, IAM, Banking and Events on one port')
    .addOption(new Option('--listen <address>', 'address to listen on').default('127.0.0.1:7100'))
    .addOption(new Option('--token-lifetime <duration>', 'lifetime of its tokens').default('1h'))
    .option('--state <file>', 'store clients, policies and the signing key in this file')
    .addOption(
      new Option('--iam-responses <kind>', 'response to a creation').choices(['body', 'empty']).default('body'),
    )
    .addOption(new Option('--client-cache <duration>', 'delay until a change of a secret takes effect').default('0s'))
    .option('--lenient', 'accept the values of the documentation’s samples literally')
    .option(...JSON_OPTION);
}

/** Adds the flags that set options of the configuration. */
function withSettings(command: Command): Command {
  command.optionsGroup('Settings (a flag overrides its variable, a variable overrides the file):');
  for (const { flag, env, about } of INPUTS) {
    if (flag !== undefined) command.option(`${flag} ${placeholder(flag)}`, settingText(flag, about, env));
  }
  return command.optionsGroup('Options:');
}

function settingText(flag: string, about: string, env?: string): string {
  const fallback = SHOWN_DEFAULTS[flag];
  const notes = [...(env === undefined ? [] : [env]), ...(fallback === undefined ? [] : [`default: ${fallback}`])];
  return notes.length > 0 ? `${about} (${notes.join('; ')})` : about;
}

function placeholder(flag: string): string {
  if (flag.endsWith('-file')) return '<file>';
  if (/-(url|endpoint)$/.test(flag)) return '<url>';
  return flag === '--listen' || flag === '--admin' ? '<address>' : '<value>';
}
