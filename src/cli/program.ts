/**
 * The commands, their flags and their help, as commander sees them. What a command does is in commands.ts.
 */
import { Command, Option } from 'commander';
import { INPUTS } from '../config/env-and-flags.ts';
import { closest } from '../core/closest.ts';
import { VERSION } from '../core/version.ts';
import type { Flags } from './flags.ts';
import { addIamCommands } from './iam/program.ts';

export interface Cli {
  /** Gets the exit code of the command that ran. */
  readonly exit: (code: number) => void;
}

type CommandName = keyof typeof import('./commands.ts')['COMMANDS'];

const JSON_OPTION = ['--json', 'one JSON object a line, as when the output is no terminal'] as const;
const CONFIG_OPTION = [
  '--config <file>',
  'configuration file (default: aritma-sidecar.yaml, if there is one)',
] as const;

/** Builds the program; `parseAsync` runs the command that argv names. */
export function createProgram({ exit }: Cli): Command {
  const program = createRoot();
  const add = (name: CommandName, about: string, parent = program): Command =>
    parent
      .command(name, { isDefault: name === 'serve' })
      .description(about)
      .exitOverride()
      .allowExcessArguments(false)
      // Loaded when asked for: a health check must not pay for a server.
      .action(async (...args) => {
        const [operand] = args.slice(0, -2);
        const operands = Array.isArray(operand) ? operand.map(String) : [];
        const flags = { ...(args.at(-2) as Flags), ...(operands.length > 0 && { operands }) };
        exit(await (await import('./commands.ts')).COMMANDS[name](flags));
      });
  const serve = withInputs(add('serve', 'run the sidecar (default)')).allowExcessArguments(true);
  serve.hook('preAction', ({ args: [word] }) => refuseWord(program, word));
  withInputs(add('check', 'try configuration, credentials and APIs; says what to do about each finding'))
    .option('--no-upstream', 'do not call the APIs')
    .option(...JSON_OPTION);
  add('demo', 'run a local Aritma and a sidecar in front of it, nothing to configure')
    .option('--once', 'make one request, print the response, stop')
    .option('--listen <address>', 'address callers connect to')
    .option('--admin <address>', 'address of health and metrics')
    .addOption(new Option('--emulator <address>', 'address of the local Aritma').default('127.0.0.1:7100'))
    .option(...JSON_OPTION);
  add('emulate', 'run a local Aritma: identity server, IAM, Banking and Events on one port')
    .addOption(new Option('--listen <address>', 'address it listens on').default('127.0.0.1:7100'))
    .addOption(new Option('--token-lifetime <duration>', 'how long its tokens live').default('1h'))
    .option('--state <file>', 'keep clients, policies and the signing key in this file')
    .addOption(
      new Option('--iam-responses <kind>', 'what a creation responds with').choices(['body', 'empty']).default('body'),
    )
    .addOption(new Option('--client-cache <duration>', 'how late secrets take effect').default('0s'))
    .option('--lenient', 'take the values of the documentation’s samples, word by word')
    .option(...JSON_OPTION);
  addInspections(program, add);
  addOperations(add);
  addIamCommands(program, exit);
  return program;
}

type Add = (name: CommandName, about: string, parent?: Command) => Command;

/** Commands for what is running already, and for its secrets. */
function addOperations(add: Add): void {
  add('wait', 'block until a running sidecar is ready')
    .addOption(new Option('--for <probe>', 'what to wait for').choices(['ready', 'started', 'live']).default('ready'))
    .addOption(new Option('--max <duration>', 'give up after this long').default('30s'))
    .option('--admin <address>', 'its admin address')
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION);
  add('status', 'do calls work? What a running sidecar knows of each route, and what to do')
    .option('--admin <address>', 'its admin address')
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION);
  add('shutdown', 'ask a running sidecar to drain and stop')
    .option('--admin <address>', 'its admin address')
    .option(...CONFIG_OPTION)
    .option(...JSON_OPTION);
  withInputs(
    add('rotate', 'replace a client secret without a moment in which none works; goes on where it was stopped'),
  )
    .addOption(new Option('--credential <name>', 'whose secret').default('default'))
    .option('--no-wait', 'do not wait for the overlap: the next run after it deletes the old secret')
    .option(...JSON_OPTION);
}

/** Commands that only look at files. */
function addInspections(program: Command, add: Add): void {
  const config = program.command('config').description('look at the configuration').exitOverride();
  withInputs(add('print', 'the configuration in force, as YAML; secrets only by where they come from', config));
  add('schema', 'JSON Schema of the configuration file, for editors', config);
  add('env', 'the environment variables', config);
  const audit = program.command('audit').description('look at an audit log').exitOverride();
  add('verify', 'find the first broken link of an audit log, files set aside included', audit)
    .argument('<file...>', 'the file named in audit.file, or all that were made of it, in any order')
    .option('--head <hash>', 'a hash, as /status or an earlier run told it: shows lines missing at the end')
    .option(...JSON_OPTION);
}

/** As the default command, `serve` is handed every word that is no command. */
function refuseWord(program: Command, word: string | undefined): void {
  if (word === undefined) return;
  const names = program.commands.map((command) => command.name());
  const near = closest(word, names);
  const meant = near === undefined ? '' : ` (did you mean ${near}?)`;
  program.error(`error: unknown command '${word}'${meant}; there are: ${names.join(', ')}`);
}

function createRoot(): Command {
  return new Command('aritma-sidecar')
    .description('Lets programs that know no OAuth call the Aritma APIs: puts access tokens into their requests.')
    .version(VERSION, '--version', 'print the version')
    .exitOverride()
    .helpCommand(false)
    .showHelpAfterError('Add --help to see what is possible.')
    .addHelpText('after', EXAMPLES);
}

function withInputs(command: Command): Command {
  command.option(...CONFIG_OPTION);
  for (const { flag, env, about } of INPUTS) {
    if (flag !== undefined) command.option(`${flag} <value>`, `${about} (${env})`);
  }
  return command;
}

const EXAMPLES = `
Examples:
  aritma-sidecar demo                     everything local, nothing to configure
  aritma-sidecar check --config my.yaml   is it set up right?
  ARITMA_ENVIRONMENT=dev ARITMA_CLIENT_ID=my-erp ARITMA_CLIENT_SECRET_FILE=secret.txt aritma-sidecar

Then: curl http://127.0.0.1:7080/banking/accounts`;
