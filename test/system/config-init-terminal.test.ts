// config init at a terminal, which util-linux `script` provides: its questions, a hidden secret, Ctrl-C and Ctrl-D.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { createInitWorld, type InitWorld } from '../support/init-world.ts';
import { openScriptTerminal, type ScriptTerminal } from '../support/script-terminal.ts';
import { until } from '../support/until.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const FILE = 'aritma-sidecar.yaml';
const CTRL_C = '\u0003';
const CTRL_D = '\u0004';

function open(world: InitWorld, words: readonly string[] = []): ScriptTerminal {
  const program = [process.execPath, MAIN, 'config', 'init', '--admin', world.ports.admin, ...words];
  return openScriptTerminal(program, { env: world.env, cwd: world.folder.path, limitMs: 60_000 });
}

/** Waits for the question that has this text, and types the reply. */
async function reply(terminal: ScriptTerminal, question: string, keys: string): Promise<void> {
  const before = terminal.screen().lastIndexOf(question);
  await until(question, () => terminal.screen().slice(Math.max(before, 0)).includes(question) && isAsking(terminal));
  terminal.type(keys);
}

const isAsking = (terminal: ScriptTerminal) => terminal.screen().endsWith(': ');

/** Up to the question for the secret itself. */
async function answerAll(terminal: ScriptTerminal, world: InitWorld): Promise<void> {
  await reply(terminal, '1. Which Aritma', 'emulator\n');
  await reply(terminal, '2. Client id', `${world.clientId}\n`);
  await reply(terminal, '3. Where is the client secret', 'my-secret\n');
  await reply(terminal, '4. What does the ERP call', '\n');
  await reply(terminal, 'Header to add', 'Subscription-Id=12\n');
  await until('the next header', () => terminal.screen().split('Header to add').length === 3 && isAsking(terminal));
  terminal.type('\n');
  await reply(terminal, '5. Port for the ERP', `${world.ports.listen}\n`);
  await reply(terminal, 'Must the ERP send a key', 'y\n');
}

describe('config init at a terminal', () => {
  it('asks, writes the typed secret to a file of mode 0600 and not to the screen, and runs check', async () => {
    await using world = await createInitWorld();
    await using terminal = open(world);
    await answerAll(terminal, world);
    await reply(terminal, 'The client secret', `x\u007f${world.secret}\u001b[D\r`);
    expect(await terminal.code).toBe(0);
    const screen = terminal.screen();
    expect(screen).not.toContain(world.secret);
    expect(screen).toContain(`base URL for the ERP: http://127.0.0.1:${world.ports.listen}/banking  (`);
    expect(screen).toMatch(/token default \(api\)/);
    expect(world.read('my-secret')).toBe(`${world.secret}\n`);
    expect(statSync(join(world.folder.path, 'my-secret')).mode & 0o777).toBe(0o600);
    expect(readdirSync(world.folder.path).sort()).toEqual([FILE, 'caller-key', 'my-secret']);
    expect(parse(world.read(FILE) ?? '')).toMatchObject({
      environment: 'emulator',
      listen: `localhost:${world.ports.listen}`,
      routes: [{ path: '/banking', headers: { 'Subscription-Id': '12' } }, { path: '/events' }],
    });
  });

  it('says what is wrong with a reply and asks again', async () => {
    await using world = await createInitWorld();
    await using terminal = open(world, ['--secret-env', 'S', '--listen', world.ports.listen, '--caller-key-file', 'k']);
    await reply(terminal, '1. Which Aritma', 'test\n');
    await until('the reason', () => terminal.screen().includes('must be one of: dev, prod, emulator'));
    await until('the question again', () => terminal.screen().split('1. Which').length === 3 && isAsking(terminal));
    terminal.type('emulator\n');
    await reply(terminal, '2. Client id', '\n');
    await until('the question again', () => terminal.screen().split('2. Client').length === 3 && isAsking(terminal));
    terminal.type('erp\n');
    await reply(terminal, '4. What', '/x=http://api.example\n');
    await until('the question again', () => terminal.screen().split('4. What').length === 3 && isAsking(terminal));
    expect(terminal.screen()).toContain('is http:// to another machine');
    terminal.type('/x=https://api.example\n');
    await reply(terminal, 'Header to add', 'Cookie=x\n');
    await until('the question again', () => terminal.screen().split('Header to').length === 3 && isAsking(terminal));
    expect(terminal.screen()).toContain('a cookie belongs to a session');
    terminal.type('\n');
    expect(await terminal.code).toBe(2);
    expect(terminal.screen()).toContain('S is not set here');
    expect(parse(world.read(FILE) ?? '').routes).toEqual([{ path: '/x', upstream: 'https://api.example' }]);
  });

  it('asks for nothing that all required flags have answered', async () => {
    await using world = await createInitWorld();
    const words = ['--environment', 'emulator', '--client-id', 'x', '--secret-file', 'later', '--no-check'];
    await using terminal = open(world, words);
    expect(await terminal.code).toBe(2);
    expect(terminal.screen()).toContain("(umask 077; cat > '");
    expect(terminal.screen()).toContain('PowerShell    Read-Host');
  });

  it('refuses a wrong flag before the first question', async () => {
    await using world = await createInitWorld();
    await using terminal = open(world, ['--calls', 'bankin']);
    expect(await terminal.code).toBe(2);
    expect(terminal.screen()).toContain('flag --calls: bankin is neither banking nor events');
    expect(terminal.screen()).not.toContain('1. Which Aritma');
  });

  it('tells how to create the secret file when nothing is typed', async () => {
    await using world = await createInitWorld();
    await using terminal = open(world);
    await answerAll(terminal, world);
    await reply(terminal, 'The client secret', '\r');
    expect(await terminal.code).toBe(2);
    expect(terminal.screen()).toContain('There is no usable secret in');
    expect(world.read('my-secret')).toBeUndefined();
  });

  it.each([
    ['Ctrl-C', CTRL_C, 130],
    ['Ctrl-D', CTRL_D, 2],
  ])('leaves nothing behind on %s, at the first question and at the hidden one', async (_what, keys, code) => {
    await using world = await createInitWorld();
    await using first = open(world);
    await reply(first, '1. Which Aritma', keys);
    expect(await first.code).toBe(code);
    await using last = open(world);
    await answerAll(last, world);
    await reply(last, 'The client secret', `half${keys}`);
    expect(await last.code).toBe(code);
    expect(readdirSync(world.folder.path)).toEqual([]);
  });
});
