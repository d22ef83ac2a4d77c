/** `config init` by flags: what it writes, that it loads and works, and what it refuses. */
import { execFile } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Choices, documentOf } from '../../src/cli/config-document.ts';
import { mistakesIn, problemsIn } from '../../src/cli/config-mistakes.ts';
import { baseUrls, yamlOf } from '../../src/cli/config-text.ts';
import { loadConfig } from '../../src/config/load.ts';
import { addressesOf, jsonLines, run, start } from '../support/cli.ts';
import { createFolder } from '../support/folder.ts';
import { createInitWorld, type InitWorld } from '../support/init-world.ts';

const curl = promisify(execFile);
const FILE = 'aritma-sidecar.yaml';
const BASE = ['--environment', 'emulator', '--client-id', 'demo-erp'];

function init(world: InitWorld, words: readonly string[], more: Readonly<Record<string, string>> = {}) {
  return run(['config', 'init', ...words], { env: { ...world.env, ...more }, cwd: world.folder.path });
}

describe('cli/config-init', () => {
  it('writes a configuration that passes check, and with which curl gets a response', async () => {
    await using world = await createInitWorld();
    world.folder.write('secret', world.secret);
    const { listen, admin } = world.ports;
    const secrets = ['--secret-file', 'secret', '--caller-key-file', 'key'];
    const words = [...BASE, ...secrets, '--listen', listen, '--admin', admin, '--header', 'X-Team=oslo = 1'];
    const made = await init(world, words);
    expect([made.code, made.stderr]).toEqual([0, '']);
    const [written, ...urls] = jsonLines(made.stdout).filter(({ event }) => event !== undefined);
    const file = join(world.folder.path, FILE);
    expect(written).toEqual({ event: 'written', file, created: [join(world.folder.path, 'key')] });
    expect(urls.map(({ url }) => url)).toEqual(['banking', 'events'].map((api) => `http://127.0.0.1:${listen}/${api}`));
    expect(jsonLines(made.stdout).filter(({ level }) => level === 'error')).toEqual([]);
    expect(jsonLines(made.stdout)).toContainEqual(
      expect.objectContaining({ level: 'ok', subject: 'token default (api)' }),
    );
    await using running = start(['serve', '--config', file], { env: world.env, cwd: world.folder.path });
    await addressesOf(running);
    const call = async (...more: readonly string[]) =>
      (await curl('curl', ['-s', '-m', '10', '-w', '\n%{http_code}', ...more, `${String(urls[0]?.['url'])}/accounts`]))
        .stdout;
    expect(await call()).toMatch(/CALLER_KEY[\s\S]*\n403$/);
    expect(await call('-H', `X-Sidecar-Key: ${world.read('key')?.trim()}`)).toMatch(/"iban"[\s\S]*\n200$/);
    expect(await call('-u', `erp:${world.read('key')?.trim()}`)).toMatch(/"iban"[\s\S]*\n200$/);
  });

  it('writes no secret into the configuration, nor leaves other files; a key gets mode 0600', async () => {
    await using world = await createInitWorld();
    world.folder.write('secret', 'CANARY-secret-4711');
    const made = await init(world, [...BASE, '--secret-file', 'secret', '--caller-key-file', 'key', '--no-check']);
    expect(made.code).toBe(0);
    expect(readdirSync(world.folder.path).sort()).toEqual([FILE, 'key', 'secret']);
    expect(statSync(join(world.folder.path, 'key')).mode & 0o777).toBe(0o600);
    const key = world.read('key')?.trim() ?? '';
    for (const text of [world.read(FILE), made.stdout, made.stderr]) {
      expect(text).not.toContain('CANARY');
      expect(text).not.toContain(key);
    }
  });

  it('names all missing flags at once where nobody can be asked, and writes nothing', async () => {
    await using world = await createInitWorld();
    const { code, stdout, stderr } = await init(world, []);
    expect([code, stdout]).toEqual([2, '']);
    for (const flag of ['--environment', '--client-id', '--secret-file, --secret-env or --secret-exec'])
      expect(stderr).toContain(`flag ${flag}: is required: standard input is not a terminal`);
    expect(readdirSync(world.folder.path)).toEqual([]);
  });

  it.each([
    ['a client id with a line break', ['--client-id', 'a\nb'], '--client-id: credentials.default.clientId must be'],
    [
      'a header that a route must not have',
      ['--header', 'Authorization=Bearer CANARY'],
      '--header: headers.Authorization cannot',
    ],
    ['a header without value', ['--header', 'Subscription-Id='], '--header: headers.Subscription-Id must be'],
    ['a header without =', ['--header', 'Subscription-Id'], '--header: must be NAME=VALUE'],
    ['an API without URL', ['--calls', '/reports'], '--calls: /reports is neither banking nor events; write'],
    ['a misspelt API', ['--calls', 'bankin'], '--calls: bankin is neither banking nor events; write'],
    ['an API over plain HTTP', ['--calls', '/r=http://api.example'], '--calls: routes.0.upstream is http://'],
    ['no API', ['--calls', ','], '--calls: must name banking, events or /PATH=URL'],
    ['a port that is none', ['--listen', '70000'], '--listen: listen'],
    ['an address for other machines', ['--listen', '0.0.0.0:7080'], '--listen: listen.0 is not a loopback address'],
    ['two sources of the secret', ['--secret-env', 'S'], '--secret-exec: only one of these can be given'],
    ['another environment', ['--environment', 'test'], '--environment: must be one of: dev, prod, emulator\n'],
    ['the environment without presets', ['--environment', 'none'], '--environment: must be one of: dev, prod, emul'],
  ])('refuses %s, names the flag and writes nothing', async (_what, words, message) => {
    await using world = await createInitWorld();
    world.folder.write('secret', world.secret);
    const { code, stderr } = await init(world, [...BASE, '--secret-file', 'secret', '--no-check', ...words]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('CANARY');
    expect(readdirSync(world.folder.path)).toEqual(['secret']);
  });

  it('names wrong flags together with missing ones', async () => {
    await using world = await createInitWorld();
    const { code, stderr } = await init(world, ['--environment', 'test', '--calls', 'bankin', '--header', 'A']);
    expect([code, readdirSync(world.folder.path)]).toEqual([2, []]);
    expect(stderr.match(/flag --[a-z-]+/g)).toEqual([
      'flag --client-id',
      'flag --secret-file',
      'flag --environment',
      'flag --calls',
      'flag --header',
    ]);
  });

  it('never replaces a file without --force', async () => {
    await using world = await createInitWorld();
    world.folder.write('secret', world.secret);
    world.folder.write(FILE, '# mine\n');
    const words = [...BASE, '--secret-file', 'secret', '--caller-key-file', 'key', '--no-check'];
    const refused = await init(world, words);
    expect([refused.code, world.read(FILE), world.read('key')]).toEqual([2, '# mine\n', undefined]);
    expect(refused.stderr).toContain('flag --out: names an existing file');
    expect((await init(world, [...words, '--force'])).code).toBe(0);
    expect(parse(world.read(FILE) ?? '')).toHaveProperty('environment', 'emulator');
  });

  it('writes nothing, not even a key, when the configuration cannot be written', async () => {
    await using world = await createInitWorld();
    world.folder.write('secret', world.secret);
    const words = [...BASE, '--secret-file', 'secret', '--caller-key-file', 'key', '--out', 'missing/a.yaml'];
    const { code, stderr } = await init(world, words);
    expect([code, readdirSync(world.folder.path)]).toEqual([2, ['secret']]);
    expect(stderr).toMatch(/flag --out: the folder .* does not exist \(ENOENT\); create /);
  });

  it('says how to create a missing secret file, and exits 2 as check would', async () => {
    await using world = await createInitWorld();
    const { code, stdout } = await init(world, [...BASE, '--secret-file', "o'secret"]);
    expect(code).toBe(2);
    expect(jsonLines(stdout).at(-1)).toEqual({ event: 'secret missing', file: join(world.folder.path, "o'secret") });
    const check = await run(['check', '--config', FILE], { env: world.env, cwd: world.folder.path });
    expect(check.code).toBe(2);
  });

  it('takes the secret from a variable, and says so where it is not set', async () => {
    await using world = await createInitWorld();
    const words = [...BASE, '--secret-env', 'ERP_SECRET', '--admin', world.ports.admin, '--listen', world.ports.listen];
    const missing = await init(world, words);
    expect([missing.code, jsonLines(missing.stdout).at(-1)?.['event']]).toEqual([2, 'secret missing']);
    const made = await init(world, [...words, '--force'], { ERP_SECRET: world.secret });
    expect(made.code).toBe(0);
    expect(parse(world.read(FILE) ?? '').credentials.default.secrets).toEqual([{ env: 'ERP_SECRET' }]);
  });

  it('takes the secret from a program, which check and the sidecar run: curl gets a response', async () => {
    await using world = await createInitWorld();
    world.folder.write('stored', world.secret);
    const vault = world.folder.write('vault', '#!/bin/sh\n[ "$1 $2" = "read erp" ] && exec cat stored\n', 0o700);
    const { listen, admin } = world.ports;
    const words = ['--secret-exec', `${vault}  read erp`, '--listen', listen, '--admin', admin];
    const made = await init(world, [...BASE, ...words]);
    expect([made.code, made.stderr]).toEqual([0, '']);
    expect(parse(world.read(FILE) ?? '').credentials.default.secrets).toEqual([{ exec: [vault, 'read', 'erp'] }]);
    for (const text of [world.read(FILE), made.stdout]) expect(text).not.toContain(world.secret);
    const token = expect.objectContaining({ level: 'ok', subject: 'token default (api)' });
    expect(jsonLines(made.stdout)).toContainEqual(token);
    const file = join(world.folder.path, FILE);
    await using running = start(['serve', '--config', file], { env: world.env, cwd: world.folder.path });
    await addressesOf(running);
    const url = `http://127.0.0.1:${listen}/banking/accounts`;
    const { stdout } = await curl('curl', ['-s', '-m', '10', '-w', '\n%{http_code}', url]);
    expect(stdout).toMatch(/"iban"[\s\S]*\n200$/);
  });
});

describe('cli/config-mistakes', () => {
  it('names a header that no route may have once, however many routes there are', () => {
    const found = mistakesIn({ environment: 'dev', clientId: 'x', secret: { env: 'S' }, headers: ['Cookie=1'] });
    expect(found).toMatchObject([{ path: 'headers.Cookie', message: expect.stringContaining('cannot be added') }]);
  });

  it('refuses quotes around an argument of a program, which no shell removes', () => {
    const exec = ['vault', '"my', 'secret"'];
    const found = mistakesIn({ environment: 'dev', clientId: 'x', secret: { exec } });
    expect(found).toMatchObject([{ path: 'secrets', message: expect.stringContaining('split at spaces') }]);
  });
});

describe('cli/config-text', () => {
  const ALL: Choices = {
    environment: 'dev',
    clientId: 'yes: "#1"',
    secret: { env: 'S' },
    calls: 'banking events,/reports=https://reports.example/a=b',
    headers: ['Subscription-Id=1', 'Scopes: /a=b'],
    listen: '7081',
    admin: '127.0.0.1:7091',
    callerKeyFile: '/k',
  };

  it.each<[string, Choices]>([
    ['everything', ALL],
    ['as little as possible', { environment: 'prod', clientId: 'x', secret: { file: '/s' } }],
    ['a Unix socket', { ...ALL, listen: 'unix:/run/a.sock' }],
  ])('gives YAML that is the same document, has a comment at each option and loads, with %s', (_what, choices) => {
    using folder = createFolder();
    const key = folder.write('key', 'caller-key-of-32-characters-long');
    const secret = { file: folder.write('secret', 'secret-4711') };
    const document = documentOf({ ...choices, secret, ...(choices.callerKeyFile && { callerKeyFile: key }) });
    expect(problemsIn(document)).toEqual([]);
    const yaml = yamlOf(document, '/etc/a.yaml');
    expect(parse(yaml)).toEqual(document);
    const loaded = loadConfig({ file: folder.write('config.yaml', yaml), env: {}, cwd: folder.path });
    expect(loaded.document['routes']).toHaveLength(choices.calls ? 3 : 2);
    const lines = yaml.split('\n');
    for (const [index, line] of lines.entries())
      if (/^[a-z]/.test(line)) expect([line, lines[index - 1]]).toEqual([line, expect.stringMatching(/^#/)]);
    expect(yaml).not.toMatch(/[&*]a\d|\n\n\n/);
  });

  it('makes the addresses that its comments name', () => {
    const document = documentOf(ALL);
    const yaml = yamlOf(document, '/etc/a.yaml');
    expect(baseUrls(document).map(({ url, upstream }) => `${url} -> ${upstream}`)).toEqual([
      'http://127.0.0.1:7081/banking -> https://banking.dev.zdata.io/api',
      'http://127.0.0.1:7081/events -> https://events.dev.aritma.io',
      'http://127.0.0.1:7081/reports -> https://reports.example/a=b',
    ]);
    for (const { url, upstream } of baseUrls(document)) expect(yaml).toContain(`# ${url} -> ${upstream}\n`);
    expect(document['listen']).toBe('localhost:7081');
  });

  it('shows in a comment an allow list that a route accepts', () => {
    const [, allow = ''] = /# {3}(allow: .*)$/m.exec(yamlOf(documentOf(ALL), '/x')) ?? [];
    const routes = [{ path: '/banking', ...parse(allow) }];
    expect(problemsIn({ ...documentOf(ALL), routes })).toEqual([]);
  });
});
