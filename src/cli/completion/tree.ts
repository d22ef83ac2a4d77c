/**
 * The command tree as a completion script needs it: a list of places on the command line, and what may follow each of them.
 */
import type { Argument, Command, Option } from 'commander';
import { optionRows } from '../../config/describe.ts';
import { INPUTS } from '../../config/env-and-flags.ts';

/** What completes a value: file names, a closed list, or nothing (`text`). */
export type Value =
  | { readonly kind: 'file' }
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  | { readonly kind: 'text' };

export interface Flag {
  /** `--file`, `-f`. */
  readonly names: readonly string[];
  readonly about: string;
  /** Undefined for a switch. */
  readonly value: Value | undefined;
}

export interface Place {
  /** `iam clients list`; empty for the program itself. */
  readonly path: string;
  readonly subcommands: readonly { readonly name: string; readonly about: string }[];
  readonly flags: readonly Flag[];
  /** Of the first operand: no command completes others differently. Undefined without operands. */
  readonly operand: Value | undefined;
}

/** The program first, then every command below it. */
export function placesOf(program: Command): Place[] {
  const walk = (command: Command, path: string): Place[] => [
    { path, ...contentOf(command) },
    ...command.commands.flatMap((each) => walk(each, `${path} ${each.name()}`.trim())),
  ];
  const [root, ...others] = walk(program, '');
  const serve = others.find(({ path }) => path === 'serve');
  if (!root || !serve) throw new Error('the program has no command serve');
  // Without a command, the flags of `serve` apply.
  const own = root.flags.filter(({ names: [name] }) => !serve.flags.some(({ names }) => names[0] === name));
  return [{ ...root, flags: [...own, ...serve.flags] }, ...others];
}

/** All flags that take the next word as their value. A flag takes the same kind of value wherever it is. */
export function valueFlags(places: readonly Place[]): string[] {
  const flags = places.flatMap(({ flags }) => flags.filter(({ value }) => value !== undefined));
  return [...new Set(flags.flatMap(({ names }) => names))];
}

function contentOf(command: Command): Omit<Place, 'path'> {
  const [operand] = command.registeredArguments;
  return {
    subcommands: command.commands.map((each) => ({ name: each.name(), about: each.description() })),
    flags: command.createHelp().visibleOptions(command).map(flagOf),
    operand: operand && operandOf(operand),
  };
}

function operandOf(argument: Argument): Value {
  if (argument.argChoices) return { kind: 'choice', choices: argument.argChoices };
  return { kind: argument.name() === 'file' ? 'file' : 'text' };
}

function flagOf(option: Option): Flag {
  const names = [option.long, option.short].filter((name): name is string => name !== undefined && name !== null);
  return { names, about: option.description, value: option.required ? completionOf(option) : undefined };
}

function completionOf({ argChoices, long, flags }: Option): Value {
  const choices = argChoices ?? CHOICES.get(long ?? '');
  if (choices) return { kind: 'choice', choices };
  return { kind: flags.endsWith('<file>') ? 'file' : 'text' };
}

/** Closed lists of the option table, such as the environments. Their flags are checked with the configuration. */
const CHOICES: ReadonlyMap<string, readonly string[]> = new Map(
  INPUTS.flatMap(({ flag, path }) => {
    const values = optionRows().find((row) => row.path === path.join('.'))?.values;
    return flag !== undefined && values ? [[flag, values] as const] : [];
  }),
);
