// The completion scripts of zsh and fish, in the shells themselves.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCompletionFolder, OFFERED, PLACES } from '../support/completion-world.ts';

const isMissing = (shell: string) => !process.env['CI'] && spawnSync(shell, ['--version']).status !== 0;
const ZSH_PROBE = join(import.meta.dirname, 'completions.zsh');
/** `complete -C` prints what TAB would offer, with a description after a tab character. */
const FISH_PROBE = 'source $argv[1]; complete -C $argv[2]';

type World = Awaited<ReturnType<typeof createCompletionFolder>>;

const SHELLS: Readonly<Record<string, (world: World, line: string) => string[]>> = {
  zsh({ path, script }, line) {
    const result = join(path, '.offered');
    const { status, stderr } = spawnSync('zsh', ['-f', ZSH_PROBE, script, result, line], {
      cwd: path,
      encoding: 'utf8',
    });
    expect([status, stderr]).toEqual([0, '']);
    const offered = readFileSync(result, 'utf8').split('\n').filter(Boolean);
    rmSync(result);
    return offered;
  },
  fish({ path, script }, line) {
    const args = ['--no-config', '-c', FISH_PROBE, script, line];
    const env = { ...process.env, HOME: path };
    const { status, stdout, stderr } = spawnSync('fish', args, { cwd: path, env, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    return stdout.split('\n').flatMap((each) => (each === '' ? [] : [each.split('\t')[0] ?? '']));
  },
};

describe.each(Object.entries(SHELLS))('completion in %s', (shell, ask) => {
  const skip = isMissing(shell);
  let world: World;
  beforeAll(async () => {
    if (!skip) world = await createCompletionFolder(shell);
  });
  afterAll(() => world?.[Symbol.dispose]());

  it.skipIf(skip).each(OFFERED)('offers after "aritma-sidecar %s": %j', (line, expected) => {
    expect(ask(world, `aritma-sidecar ${line}`).sort()).toEqual([...expected].sort());
  });

  it.skipIf(skip).each(PLACES)('offers every flag of "$path"', ({ path, flags }) => {
    const long = flags.flatMap(({ names }) => names.filter((name) => name.startsWith('--')));
    expect(ask(world, `aritma-sidecar ${path} --`).sort()).toEqual(long.sort());
  });

  it.skipIf(skip)('completes a value after an equals sign', () => {
    expect(ask(world, 'aritma-sidecar wait --for=st')[0]).toMatch(/^(?:--for=)?started$/);
  });
});
