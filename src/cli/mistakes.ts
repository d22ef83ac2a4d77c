/**
 * Mistakes on the command line: one line on standard error that names what was probably meant, or JSON for programs.
 */
import type { Command } from 'commander';
import { closest } from '../core/closest.ts';
import { SidecarError } from '../core/errors.ts';
import { visible } from '../core/terminal.ts';

/** Makes every command below `program` report its mistakes this way. Call it once the tree is complete. */
export function reportMistakes(program: Command, json: boolean): void {
  const [serve] = program.commands.filter((command) => command.name() === 'serve');
  const reportOf = (command: Command) => (text: string, write: (text: string) => void) => {
    const word = command === serve ? strayWord(serve) : undefined;
    const message = word === undefined ? oneLine(text, command) : unknownCommand(word, program);
    if (json) throw new SidecarError('CONFIG_INVALID', { problems: [{ where: 'command line', path: '', message }] });
    write(`error: ${visible(message)}\n`);
  };
  for (const command of everyCommand(program)) command.configureOutput({ outputError: reportOf(command) });
  // `serve` is the default command, so it receives every word that is not a command.
  serve?.hook('preAction', () => {
    if (strayWord(serve) !== undefined) serve.error('');
  });
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

/** The first word that commander did not recognize, unless it is a flag. Flags after that word are not the mistake. */
function strayWord({ args: [word] }: Command): string | undefined {
  return word?.startsWith('-') ? undefined : word;
}

function unknownCommand(word: string, program: Command): string {
  const near = closest(
    word,
    program.commands.map((command) => command.name()),
  );
  return `unknown command '${word}'${near === undefined ? hint(program) : ` (did you mean ${near}?)`}`;
}

/** Commander's message, with its suggestion on the same line. */
function oneLine(text: string, command: Command): string {
  const [message = '', suggestion] = text
    .trim()
    .replace(/^error: /, '')
    .split('\n');
  if (suggestion === undefined) return `${message.replace(/\.$/, '')}${hint(command)}`;
  return `${message} ${suggestion.replace('(Did', '(did')}`;
}

function hint(command: Command): string {
  const names: string[] = [];
  for (let each: Command | null = command; each; each = each.parent) names.unshift(each.name());
  return `; see ${names.join(' ')} --help`;
}
