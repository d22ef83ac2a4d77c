// What somebody sees who does not know the commands yet, or mistypes one.
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { INPUTS } from '../../src/config/env-and-flags.ts';
import { jsonLines, run as runProcess } from '../support/cli.ts';
import { createInside } from '../support/cli-inside.ts';
import { createFolder } from '../support/folder.ts';

const inside = createInside();
const { run } = inside;
afterAll(() => inside[Symbol.asyncDispose]());

const COMMANDS = [
  ['serve'],
  ['check'],
  ['demo'],
  ['emulate'],
  ['config'],
  ['config', 'init'],
  ['config', 'print'],
  ['config', 'schema'],
  ['config', 'env'],
  ['fleet'],
  ['fleet', 'key'],
  ['fleet', 'status'],
  ['wait'],
  ['status'],
  ['shutdown'],
];

describe.concurrent('cli', () => {
  it('explains itself and every command with --help and exits 0', async () => {
    const all = await Promise.all([[], ...COMMANDS].map((command) => run([...command, '--help'])));
    for (const [index, { code, stdout, stderr }] of all.entries()) {
      expect([code, stderr], COMMANDS[index - 1]?.join(' ')).toEqual([0, '']);
      expect(stdout).toMatch(/^Usage: aritma-sidecar/);
    }
    for (const [name = ''] of COMMANDS) expect(all[0]?.stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
  });

  it('is the same in a process of its own as in that of these tests', async () => {
    for (const args of [['config', 'schema'], ['chekc'], ['check', '--json'], ['--config', '/nonexistent.yaml']])
      expect(await run(args)).toEqual(await runProcess(args));
  });

  it('prints its version and exits 0', async () => {
    expect(await run(['--version'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  });

  it.each([
    ['an unknown flag', ['serve', '--bogus'], /unknown option '--bogus'/],
    ['an unknown flag of the default command', ['--bogus'], /unknown option '--bogus'/],
    ['a mistyped subcommand', ['config', 'prnt'], /print/],
    ['a flag without its value', ['serve', '--listen'], /argument missing/],
    ['a choice that is none', ['wait', '--for', 'lunch'], /ready, started, live/],
    ['a duration that is none', ['wait', '--max', 'soon'], /--max: must be .*30s/],
    ['an address that is none', ['emulate', '--listen', 'here'], /--listen: must be host:port/],
    ['a command without its subcommand', ['config'], /Usage: aritma-sidecar config/],
    ['an argument too many', ['check', 'file.yaml'], /too many arguments/],
  ])('exits 2 with a hint on %s', async (_what, args, hint) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(hint);
    expect(stderr).not.toMatch(/ at .*\.ts:\d+/);
  });

  it.each([
    [['rotate'], 2, 'CONFIG_INVALID'],
    [['iam', 'clients', 'list'], 2, 'CONFIG_INVALID'],
  ])('says what is wrong as one JSON object where %j is asked for JSON', async (args, exit, code) => {
    const { code: ended, stderr } = await run([...args, '--json', '--config', '/nonexistent/aritma.yaml']);
    expect(ended).toBe(exit);
    const [line = '', ...rest] = stderr.split('\n');
    expect(rest).toEqual(['']);
    expect(JSON.parse(line)).toMatchObject({ level: 'error', code, problems: [{ message: expect.any(String) }] });
  });

  it.each([
    [['chekc'], "unknown command 'chekc' (did you mean check?)"],
    [['statsu', '--json=no'], "unknown command 'statsu' (did you mean status?)"],
    [['chekc', '--no-upstream'], "unknown command 'chekc' (did you mean check?)"],
    [['--lisen', 'x'], "unknown option '--lisen' (did you mean --listen?)"],
    [['--confg', 'x'], "unknown option '--confg' (did you mean --config?)"],
    [['check', '--no-upstrem'], "unknown option '--no-upstrem' (did you mean --no-upstream?)"],
    [['config', 'prnt'], "unknown command 'prnt' (did you mean print?)"],
    [['config', 'print', '--confg', 'x'], "unknown option '--confg' (did you mean --config?)"],
    [['fleet', 'kye'], "unknown command 'kye' (did you mean key?)"],
    [['audit', 'verfy', 'file'], "unknown command 'verfy' (did you mean verify?)"],
    [['iam', 'clinets'], "unknown command 'clinets' (did you mean clients?)"],
    [['iam', 'clint', 'list'], "unknown command 'clint' (did you mean clients?)"],
    [['iam', 'clients', 'lst', '--search', 'x'], "unknown command 'lst' (did you mean list?)"],
    [['iam', 'policies', 'list', '--subjcet', 'x'], "unknown option '--subjcet' (did you mean --subject?)"],
    [['lunch'], "unknown command 'lunch'; see aritma-sidecar --help"],
    [['iam', 'clients', 'lunch'], "unknown command 'lunch'; see aritma-sidecar iam clients --help"],
    [['\u001b[2J'], "unknown command '\\u001b[2J'; see aritma-sidecar --help"],
  ])('exits 2 on the mistyped %j with one line that names what was meant, or where to look', async (args, message) => {
    expect(await run(args)).toEqual({ code: 2, stdout: '', stderr: `error: ${message}\n` });
  });

  it.each([
    [['statsu', '--json'], "unknown command 'statsu' (did you mean status?)"],
    [['iam', 'clint', 'list', '--json'], "unknown command 'clint' (did you mean clients?)"],
    [['check', '--json', '--confg', 'x'], "unknown option '--confg' (did you mean --config?)"],
    [
      ['wait', '--for', 'lunch', '--json'],
      expect.stringMatching(/'lunch' is invalid. .*; see aritma-sidecar wait --help$/),
    ],
  ])('exits 2 on the mistyped %j with one JSON object', async (args, message) => {
    const { code, stdout, stderr } = await run(args);
    expect([code, stdout, jsonLines(stderr)]).toEqual([
      2,
      '',
      [
        expect.objectContaining({
          level: 'error',
          code: 'CONFIG_INVALID',
          problems: [{ where: 'command line', path: '', message }],
        }),
      ],
    ]);
  });

  it('takes the flags of serve without the word serve', async () => {
    const { code, stderr } = await run(['--config', '/nonexistent.yaml']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/nonexistent\.yaml: cannot be read \(ENOENT\)/);
  });

  it('takes no secret by command line, where every user of the machine could read it', async () => {
    for (const flag of ['--client-secret', '--client-secret-secondary']) {
      expect(await run(['serve', flag, 'CANARY'])).toMatchObject({
        code: 2,
        stderr: expect.not.stringContaining('CANARY'),
      });
    }
  });

  it('lists with config env every variable there is', async () => {
    const { code, stdout } = await run(['config', 'env']);
    expect(code).toBe(0);
    const listed = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/)[0]);
    expect(listed).toEqual(expect.arrayContaining([...INPUTS.map(({ env }) => env), 'ARITMA_CONFIG']));
  });

  it('prints with config schema a schema, and with config print a configuration that it loads again', async () => {
    using folder = createFolder();
    const schema = await run(['config', 'schema']);
    expect([schema.code, JSON.parse(schema.stdout)]).toEqual([0, expect.objectContaining({ type: 'object' })]);
    const env = { ARITMA_ENVIRONMENT: 'dev', ARITMA_CLIENT_ID: 'x', ARITMA_CLIENT_SECRET: 'CANARY-4711' };
    const first = await run(['config', 'print'], { env });
    expect(first).toMatchObject({ code: 0, stdout: expect.not.stringContaining('CANARY') });
    expect(parse(first.stdout)).toHaveProperty('drain.limit', '30s');
    const file = folder.write('printed.yaml', first.stdout);
    const again = await run(['config', 'print', '--config', file], { env: { ARITMA_CLIENT_SECRET: 'CANARY-4711' } });
    expect(again).toMatchObject({ code: 0, stdout: first.stdout });
  });

  it('exits 2 with config print on an invalid configuration', async () => {
    expect(await run(['config', 'print'])).toMatchObject({ code: 2, stdout: '' });
  });
});
