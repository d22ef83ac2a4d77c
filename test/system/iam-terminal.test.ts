// The iam commands at a terminal, which util-linux `script` provides: tables, questions, Ctrl-C and Ctrl-D.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type IamCli, startIamCli } from '../support/iam-cli.ts';
import { openScriptTerminal, type ScriptTerminal } from '../support/script-terminal.ts';
import { until } from '../support/until.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

function open(world: IamCli, words: readonly string[]): ScriptTerminal {
  return openScriptTerminal([process.execPath, MAIN, 'iam', ...words], { env: world.env, cwd: world.folder.path });
}

const DELETE = ['clients', 'delete', 'demo-erp'];
const QUESTION = 'lose access at once. [y/N] ';

describe('iam commands at a terminal', () => {
  it('print a table of clients', async () => {
    await using world = await startIamCli();
    await using terminal = open(world, ['clients', 'list']);
    expect(await terminal.code).toBe(0);
    expect(terminal.screen()).toBe(`CLIENT ID   NAME                DESCRIPTION
demo-erp    Demo ERP            A legacy program that calls the Banking and Events APIs
demo-admin  Demo administrator  Whoever manages clients through the IAM API
`);
  });

  it('show the value of a new secret once, and what it is for', async () => {
    await using world = await startIamCli();
    await using terminal = open(world, ['secrets', 'create', 'demo-erp', '--description', 'd', '--show']);
    expect(await terminal.code).toBe(0);
    expect(terminal.screen()).toMatch(
      /^created secret \S+ of client demo-erp; expires: never\nvalue: [\w-]{32} {3}\(it cannot be shown again\)\n$/,
    );
  });

  it('say what goes with a client, and delete it on y', async () => {
    await using world = await startIamCli();
    await using terminal = open(world, DELETE);
    await until('the question', () => terminal.screen().endsWith(QUESTION));
    expect(terminal.screen()).toBe(
      `Delete client demo-erp (Demo ERP)?\nThis also deletes its secrets and policies. Services that use it ${QUESTION}`,
    );
    terminal.type('y\n');
    expect(await terminal.code).toBe(0);
    expect(terminal.screen()).toMatch(/deleted client demo-erp\n$/);
    expect((await world.iam(['clients', 'get', 'demo-erp'])).code).toBe(8);
  });

  it.each([
    ['return', '\n', 0],
    ['n', 'n\n', 0],
    ['something else', 'yesterday\n', 0],
    ['Ctrl-D', CTRL_D, 0],
    ['Ctrl-C', CTRL_C, 130],
  ])('delete nothing on %s', async (_what, keys, code) => {
    await using world = await startIamCli();
    await using terminal = open(world, DELETE);
    await until('the question', () => terminal.screen().endsWith(QUESTION));
    terminal.type(keys);
    expect(await terminal.code).toBe(code);
    if (code === 0) expect(terminal.screen()).toMatch(/nothing deleted\n$/);
    expect((await world.iam(['clients', 'get', 'demo-erp'])).code).toBe(0);
  });

  it.each([
    [
      ['secrets', 'delete', 'demo-erp', 's-1'],
      /^Delete secret s-1 of client demo-erp\?\nIt can no longer request tokens/,
    ],
    [
      ['policies', 'delete', '--client', 'demo-erp', '--scope', '/', '--action', 'banking.manage'],
      /^Delete the policy "client-demo-erp may banking\.manage on \/"\?\nAccess through this policy ends at once\. \[y/,
    ],
  ])('ask before %j', async (words, question) => {
    await using world = await startIamCli();
    await using terminal = open(world, words);
    await until('the question', () => terminal.screen().endsWith('[y/N] '));
    expect(terminal.screen()).toMatch(question);
    terminal.type('n\n');
    expect(await terminal.code).toBe(0);
  });

  it.each([
    ['Ctrl-D', CTRL_D, 0],
    ['Ctrl-C', CTRL_C, 130],
  ])('provision nothing on %s', async (_what, keys, code) => {
    await using world = await startIamCli();
    const client = { name: 'my-erp', description: 'ERP of Oslo', scopes: ['api'] };
    const desired = { client, secret: { file: 'secret', lifetime: '90d' }, sidecar: { environment: 'emulator' } };
    world.folder.write('client.yaml', JSON.stringify(desired));
    await using terminal = open(world, ['provision', '-f', 'client.yaml']);
    await until('the question', () => terminal.screen().endsWith('Apply this plan? [y/N] '));
    terminal.type(keys);
    expect(await terminal.code).toBe(code);
    expect(terminal.screen()).not.toContain('unexpected');
    expect(await world.rows(['clients', 'list', '--search', 'my-erp'])).toEqual([]);
  });

  it('ask nothing with --yes', async () => {
    await using world = await startIamCli();
    await using terminal = open(world, [...DELETE, '--yes']);
    expect(await terminal.code).toBe(0);
    expect(terminal.screen()).toBe('deleted client demo-erp\n');
  });

  it('end at Ctrl-C while IAM is silent', async () => {
    await using world = await startIamCli();
    await world.fault({ target: 'iam', delayMs: 60_000 });
    await using terminal = open(world, ['clients', 'list']);
    await until('the request', async () => (await world.counters()).requests.iam > 0);
    terminal.type(CTRL_C);
    expect(await terminal.code).toBe(130);
  });
});
