// The completion scripts of bash and PowerShell; those of zsh and fish are tried in test/system, because they must be installed.
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../support/cli.ts';
import { createCompletionFolder, OFFERED, PLACES } from '../../support/completion-world.ts';

const hasBash = Boolean(process.env['CI']) || spawnSync('bash', ['--version']).status === 0;

/** Calls the function that `complete -p` names, as bash does when TAB is pressed. Bash has split words at `=` by then. */
const ASK = `
source "$1"; shift
COMP_WORDS=(aritma-sidecar "$@"); COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 ))
[[ $(complete -p aritma-sidecar) =~ -F\\ ([^ ]+) ]] && "\${BASH_REMATCH[1]}"
for word in "\${COMPREPLY[@]}"; do printf '%s\\n' "$word"; done
`;

describe.skipIf(!hasBash)('completion in bash', () => {
  let folder: Awaited<ReturnType<typeof createCompletionFolder>>;
  beforeAll(async () => {
    folder = await createCompletionFolder('bash');
  });
  afterAll(() => folder?.[Symbol.dispose]());

  function offered(...words: string[]): string[] {
    const args = ['--norc', '-c', ASK, 'bash', folder.script, ...words];
    const { stdout, stderr, status } = spawnSync('bash', args, { cwd: folder.path, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    return stdout.split('\n').slice(0, -1);
  }

  it.each(OFFERED)('offers after "aritma-sidecar %s": %j', (line, expected) => {
    expect(offered(...line.split(' '))).toEqual(expected);
  });

  it.each(PLACES)('offers every flag of "$path"', ({ path, flags }) => {
    const words = path === '' ? [] : path.split(' ');
    expect(offered(...words, '-').sort()).toEqual(flags.flatMap(({ names }) => names).sort());
  });

  it('completes a value after an equals sign', () => {
    expect(offered('wait', '--for', '=')).toEqual(['ready', 'started', 'live']);
    expect(offered('wait', '--for', '=', 'st')).toEqual(['started']);
    expect(offered('--config', '=', 'check', 'ia')).toEqual(['iam']);
  });

  it('takes file names with spaces and wildcards as they are', () => {
    folder.write('our [new] *.yaml', '');
    expect(offered('--config', 'our')).toEqual(['our [new] *.yaml']);
  });

  it('is valid in a shell that stops at errors and unset variables', () => {
    const strict = spawnSync('bash', ['--norc', '-euo', 'pipefail', '-c', `source ${folder.script}`]);
    expect([strict.status, String(strict.stderr)]).toEqual([0, '']);
  });
});

describe('completion in PowerShell', () => {
  it('has every command, flag and closed list of values', async () => {
    const { code, stdout } = await run(['completion', 'powershell']);
    expect(code).toBe(0);
    expect(stdout).toContain("Register-ArgumentCompleter -Native -CommandName 'aritma-sidecar'");
    for (const { path, subcommands, flags } of PLACES) {
      const entry = stdout.split(`\n    '${path}' = @{\n`)[1]?.split('\n    }\n')[0] ?? '';
      for (const name of [...subcommands.map((each) => each.name), ...flags.flatMap(({ names }) => names)])
        expect(entry, path).toContain(`'${name}' = '`);
    }
    expect(stdout).toContain("'--for' = [ordered]@{ 'ready' = 'ready'; 'started' = 'started'; 'live' = 'live' }");
  });

  it('has quotes and brackets that match', async () => {
    const { stdout } = await run(['completion', 'powershell']);
    const code = stdout.replaceAll(/^\s*#.*$/gm, '').replaceAll(/'(?:[^'‘’]|['‘’]{2})*'|"[^"]*"/g, '');
    expect(code).not.toMatch(/['"‘’]/);
    for (const [open, close] of ['{}', '()', '[]'])
      expect(code.split(open ?? '').length).toBe(code.split(close ?? '').length);
  });
});

describe('completion', () => {
  it('of one flag is the same at every command, as the scripts assume', () => {
    const kinds = new Map<string, string>();
    for (const { names, value } of PLACES.flatMap(({ flags }) => flags)) {
      for (const name of names) {
        const kind = JSON.stringify(value) ?? 'switch';
        expect(kinds.get(name) ?? kind, name).toBe(kind);
        kinds.set(name, kind);
      }
    }
  });

  it('is refused for a shell that is none, with those there are', async () => {
    expect(await run(['completion', 'tcsh'])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/^error: .*'tcsh'.*bash, zsh, fish, powershell.*\n$/),
    });
  });
});
