// The short way to `serve`: a start builds no other command where none can be meant, and nobody sees a difference.
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';

const program = (...args: string[]) => createProgram({ exit: () => undefined, args });
const namesOf = ({ commands }: Command) => commands.map((command) => command.name());
const serveOf = ({ commands }: Command) => commands.find((command) => command.name() === 'serve');
const ALL = namesOf(program());

describe('cli/program', () => {
  it.each([[['serve']], [['serve', '--config', 'my.yaml']]])('builds serve alone for %j', (args) => {
    expect(namesOf(program(...args))).toEqual(['serve']);
  });

  it.each([
    [[]],
    [['--config', 'my.yaml']],
    [['serve', 'chek']],
    [['serve', '--help']],
    [['serve', '--config']],
    [['serve', '--config', '--help']],
    [['serve', '--config', 'my.yaml', 'chek']],
    [['serve', '--listen', '127.0.0.1:0']],
    [['check']],
  ])('builds every command for %j, which may need another one or its name', (args) => {
    expect(ALL.length).toBeGreaterThan(10);
    expect(namesOf(program(...args))).toEqual(ALL);
  });

  it('gives serve the same flags and the same help either way', () => {
    const [short, whole] = [serveOf(program('serve')), serveOf(program())];
    expect(short?.options.map(({ flags, description }) => [flags, description])).toEqual(
      whole?.options.map(({ flags, description }) => [flags, description]),
    );
    expect(short?.helpInformation()).toBe(whole?.helpInformation());
  });
});
