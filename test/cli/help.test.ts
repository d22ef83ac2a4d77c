// The help of every command: short enough for a screen, complete, and true.
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { pathOf } from '../../src/cli/help.ts';
import { createProgram, SHOWN_DEFAULTS } from '../../src/cli/program.ts';
import { optionRows } from '../../src/config/describe.ts';
import { INPUTS } from '../../src/config/env-and-flags.ts';

const WIDTH = 100;
const HEIGHT = 40;

const everyCommand = (command: Command): Command[] => [command, ...command.commands.flatMap(everyCommand)];
const COMMANDS = everyCommand(createProgram({ exit: () => undefined })).map(
  (command) => [pathOf(command), command] as const,
);

/** As a terminal of this width shows it, examples included. */
function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({
    writeOut: (piece) => {
      text += piece;
    },
    getOutHelpWidth: () => WIDTH,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return text;
}

describe.each(COMMANDS)('the help of "aritma-sidecar %s"', (path, command) => {
  const help = helpOf(command);
  const lines = help.trimEnd().split('\n');

  it(`fits in ${HEIGHT} lines of ${WIDTH} columns`, () => {
    expect(lines.length, help).toBeLessThanOrEqual(HEIGHT);
    expect(lines.filter((line) => line.length > WIDTH)).toEqual([]);
  });

  it('begins with the usage and a sentence', () => {
    expect(lines[0]).toMatch(new RegExp(`^Usage: aritma-sidecar ${path}`));
    expect(lines[2]).toMatch(/^[A-Z].*\.$/);
  });

  it('describes every flag, and every command in one line', () => {
    const operands = command.registeredArguments.filter(({ argChoices, variadic }) => argChoices || variadic);
    const texts = [...command.options, ...operands].map(({ description }) => description);
    for (const text of [...texts, ...command.commands.map((each) => each.description())])
      expect(text).toMatch(/^[a-z].*[^.]$/);
    for (const each of command.commands)
      expect(help).toMatch(new RegExp(`^  ${each.name()} .*${escaped(each.description())}$`, 'm'));
    for (const { long } of command.options) expect(help).toContain(`${long}`);
  });

  it('has examples with commands and flags that exist', () => {
    for (const [, words = ''] of help.replaceAll('\\\n', '').matchAll(/^ {2}aritma-sidecar(?: +(.*))?$/gm)) {
      const [typed = ''] = words.split(/ *(?:#|&&|>|\|) */);
      let named = createProgram({ exit: () => undefined });
      const rest = typed.split(' ');
      for (let next = sub(named, rest[0]); next; next = sub(named, rest[0])) {
        named = next;
        rest.shift();
      }
      if (named.parent === null) named = sub(named, 'serve') ?? named;
      const flags = rest.filter((word) => word.startsWith('-'));
      expect(flags.filter((flag) => !named.options.some(({ long, short }) => flag === long || flag === short))).toEqual(
        [],
      );
      if (named.commands.length > 0) expect.fail(`${typed} is no command`);
    }
  });
});

const sub = (command: Command, name: string | undefined) => command.commands.find((each) => each.name() === name);
const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

describe('the help', () => {
  it('shows the commands in groups', () => {
    const [, program] = COMMANDS[0] ?? [];
    const headings = (program ? helpOf(program) : '').match(/^[A-Z].*:$/gm);
    expect(headings).toEqual([
      'Options:',
      'Run:',
      'Diagnose:',
      'Secrets and IAM:',
      'Many sidecars with one client:',
      'Configuration:',
      'Local Aritma, for development and tests:',
      'Examples:',
    ]);
  });

  it('names the variable of every flag that has one', () => {
    const serve = COMMANDS.find(([path]) => path === 'serve')?.[1];
    for (const { flag, env } of INPUTS.filter(({ flag }) => flag !== undefined))
      expect(serve?.options.find(({ long }) => long === flag)?.description).toContain(`(${env}`);
  });

  it('shows the defaults of the option table', () => {
    for (const [flag, shown] of Object.entries(SHOWN_DEFAULTS)) {
      const path = INPUTS.find((input) => input.flag === flag)?.path.join('.');
      expect(optionRows().find((row) => row.path === path)?.fallback, flag).toBe(shown);
    }
  });
});
