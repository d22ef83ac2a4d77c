/** Programs that print a secret: what they get, what of their output counts, and every way in which they fail. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts';
import { type Printed, type ProgramCall, runProgram } from '../../src/config/run-program.ts';
import { type PrintedBy, programEnvironment, runPrograms, withPrograms } from '../../src/config/secret-programs.ts';
import type { SidecarError } from '../../src/core/errors.ts';
import { createDeadline } from '../support/deadline.ts';
import { createFolder, type Folder, revealed } from '../support/folder.ts';
import { untilQuiet } from '../support/own-time.ts';
import { until } from '../support/until.ts';

const CANARY = 'canary-secret-4711-never-printed';
const ENV = { PATH: process.env['PATH'] ?? '', ARITMA_ENVIRONMENT: 'emulator', ARITMA_CLIENT_ID: 'my-erp' };

/** Writes a program for /bin/sh and returns its path. */
function script(folder: Folder, text: string, name = 'vault'): string {
  return folder.write(name, `#!/bin/sh\n${text}\n`, 0o700);
}

type Env = Readonly<Record<string, string>>;

async function load(
  folder: Folder,
  sources: readonly unknown[],
  { env = {}, more = {} }: { env?: Env; more?: object } = {},
) {
  const document = { credentials: { default: { secrets: sources } }, ...more };
  const file = folder.write('config.yaml', JSON.stringify(document));
  return withPrograms((printed) => loadConfig({ env: { ...ENV, ...env }, file, cwd: folder.path, printed }));
}

async function problemOf(loaded: LoadedConfig | Promise<LoadedConfig>): Promise<string> {
  const error = await Promise.resolve(loaded).then(
    () => undefined,
    (reason: SidecarError) => reason,
  );
  return (error?.extras.problems ?? []).map(({ path, message }) => `${path} ${message}`).join('\n');
}

/** What is printed by a program that may run so long. */
async function run(folder: Folder, text: string, limitMs = 10_000): Promise<Printed> {
  return runProgram({ command: [script(folder, text)], env: { PATH: ENV.PATH }, cwd: folder.path }, { limitMs });
}

describe('src/config/secret-programs.ts', () => {
  it('takes what the program prints without one trailing newline, and its arguments as they are', async () => {
    using folder = createFolder();
    const vault = script(folder, 'printf "%s|" "$@"; echo "$#"');
    expect(revealed(await load(folder, [{ exec: [vault, '$HOME', 'a b', ';ls', '*'] }]))).toEqual([
      '$HOME|a b|;ls|*|4',
    ]);
    const crlf = script(folder, 'printf "secret-one\\r\\n"', 'crlf');
    expect(revealed(await load(folder, [{ exec: [crlf] }]))).toEqual(['secret-one']);
  });

  it('finds the program in PATH, and relative to the working directory', async () => {
    using folder = createFolder();
    script(folder, `echo ${CANARY}`);
    const env = { PATH: `${folder.path}:${ENV.PATH}` };
    expect(revealed(await load(folder, [{ exec: ['vault'] }], { env }))).toEqual([CANARY]);
    expect(revealed(await load(folder, [{ exec: ['./vault'] }]))).toEqual([CANARY]);
  });

  it('keeps its place among files and variables', async () => {
    using folder = createFolder();
    const sources = [
      { env: 'MINE' },
      { exec: [script(folder, 'echo by-program')] },
      { file: folder.write('f', 'by-file') },
    ];
    const loaded = await load(folder, sources, { env: { MINE: 'by-variable' } });
    expect(revealed(loaded)).toEqual(['by-variable', 'by-program', 'by-file']);
  });

  it('gives it the environment without the secrets of the sidecar, and nothing to read', async () => {
    using folder = createFolder();
    const vault = script(folder, 'env > env.txt; cat > input.txt; echo printed-secret');
    const env = {
      MINE: CANARY,
      ARITMA_LOG_LEVEL: 'info',
      NOTIFY_SOCKET: '/run/none',
      VAULT_ADDR: 'https://vault.example',
    };
    await load(folder, [{ exec: [vault] }, { env: 'MINE' }], { env });
    const seen = readFileSync(join(folder.path, 'env.txt'), 'utf8');
    expect(seen).toContain('VAULT_ADDR=https://vault.example');
    expect(seen).not.toMatch(/canary|ARITMA_|NOTIFY_SOCKET/);
    expect(readFileSync(join(folder.path, 'input.txt'), 'utf8')).toBe('');
  });

  it('takes out variables by their names in any case, as Windows has them', () => {
    const env = { Aritma_Client_Secret: 'x', Path: 'y', NODE_OPTIONS: 'z', listen_fds: '1' };
    expect(programEnvironment(env, new Set())).toEqual({ Path: 'y' });
  });

  it('runs a program once that is named twice, and again at the next reading only where that is asked for', async () => {
    using folder = createFolder();
    const vault = script(folder, 'echo x >> runs; echo "secret-$(wc -l < runs)"');
    const runs = () => readFileSync(join(folder.path, 'runs'), 'utf8').length / 2;
    const loaded = await load(folder, [{ exec: [vault] }, { exec: [vault] }]);
    expect([revealed(loaded), runs()]).toEqual([['secret-1', 'secret-1'], 1]);
    expect([revealed(loaded.reload()), runs()]).toEqual([['secret-1', 'secret-1'], 1]);
    const again = await withPrograms((printed) => loaded.reload(printed));
    expect([revealed(again), runs()]).toEqual([['secret-2', 'secret-2'], 2]);
  });

  it('reads at once, and once, where no program is named', () => {
    let reads = 0;
    const value = withPrograms(() => {
      reads += 1;
      return 'read';
    });
    expect([value, reads]).toEqual(['read', 1]);
  });

  it('runs four at the same time', async () => {
    using folder = createFolder();
    // Each ends when it has seen all four.
    const text = (id: number) =>
      `touch run-${id}; while [ "$(ls run-* | wc -l)" -lt 4 ]; do sleep 0.01; done; echo secret-${id}`;
    const call = (id: number): ProgramCall => ({
      command: [script(folder, text(id), `p${id}`)],
      env: { PATH: ENV.PATH },
      cwd: folder.path,
    });
    const calls = Array.from({ length: 4 }, (_none, id) => call(id));
    const printed = await runPrograms(calls);
    expect(calls.map((one) => printed(one)?.text)).toEqual(['secret-0\n', 'secret-1\n', 'secret-2\n', 'secret-3\n']);
  });

  it.each([
    ['callers.keys.erp.0', { callers: { keys: { erp: [{ exec: ['EXEC'] }] } } }],
    ['fleet.keys.0', { fleet: { url: 'redis://127.0.0.1:6379', keys: [{ exec: ['EXEC'] }] } }],
    [
      'fleet.password',
      { fleet: { url: 'redis://127.0.0.1:6379', keys: [{ env: 'KEY' }], password: { exec: ['EXEC'] } } },
    ],
  ])('reads %s from a program, too', async (path, more) => {
    using folder = createFolder();
    const key = 'k'.repeat(43);
    const write = (text: string) =>
      JSON.parse(JSON.stringify(more).replace('EXEC', script(folder, text))) as Record<string, unknown>;
    const env = { ARITMA_CLIENT_SECRET: 'secret', KEY: key };
    const sources = [{ env: 'ARITMA_CLIENT_SECRET' }];
    const loaded = await load(folder, sources, { env, more: write(`echo ${key}`) });
    const read = [loaded.callerKeys.get('erp')?.[0], loaded.fleetSecrets?.keys[0], loaded.fleetSecrets?.password];
    expect(read.some((secret) => secret?.reveal() === key)).toBe(true);
    const problem = await problemOf(load(folder, sources, { env, more: write('exit 3') }));
    expect(problem).toMatch(new RegExp(`^${path.replaceAll('.', '\\.')} the program vault ended with exit code 3`));
  });

  it('reads a key for private_key_jwt from a program', async () => {
    using folder = createFolder();
    const { generateKeyPairSync } = await import('node:crypto');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = folder.write('key.pem', privateKey.export({ format: 'pem', type: 'pkcs8' }).toString());
    const more = (text: string) => ({
      credentials: { default: { auth: 'private_key_jwt', secrets: [{ exec: [script(folder, text)], kid: 'a' }] } },
    });
    const [key] = (await load(folder, [], { more: more(`cat ${pem}`) })).secrets.get('default') ?? [];
    expect(key?.kid).toBe('a');
    expect(await problemOf(load(folder, [], { more: more('echo no-key') }))).toMatch(/the output of the program vault/);
  });
});

describe('a program that cannot be used', () => {
  const LONG = 'x'.repeat(200);
  it.each([
    [
      'is missing',
      () => ['/nowhere/vault'],
      /the program vault was not found at this path.*\(ENOENT\): correct the path/,
    ],
    [
      'is in no folder of PATH',
      () => ['vault-that-is-nowhere', 'read'],
      /was not found: write its whole path.*\(ENOENT\)/,
    ],
    ['is a whole command line', () => ['vault kv get secret'], /was not found.*as its own entry, because no shell/],
    ['is not executable', (folder: Folder) => [folder.write('vault', '#!/bin/sh\n')], /cannot be executed.*\(EACCES\)/],
    [
      'has an interpreter that is missing',
      (folder: Folder) => [folder.write('vault', '#!/no\n', 0o700)],
      /#!.*\(ENOENT\)/,
    ],
    ['is a folder', (folder: Folder) => [folder.path], /cannot be executed.*\(EACCES\)/],
    ['has a name that could be a secret', () => [`${CANARY} ${LONG}`], /the program was not found/],
    ['ends with exit code 1', (f: Folder) => [script(f, `echo ${CANARY}; exit 1`)], /vault ended with exit code 1/],
    [
      'is ended by a signal',
      (f: Folder) => [script(f, `echo ${CANARY}; kill -9 $$`)],
      /vault ended with signal SIGKILL/,
    ],
    ['prints its error', (f: Folder) => [script(f, `echo ${CANARY} >&2; exit 2`)], /vault ended with exit code 2/],
    ['prints only an error', (f: Folder) => [script(f, `echo ${CANARY} >&2`)], /vault printed nothing/],
    ['prints nothing', (f: Folder) => [script(f, ':')], /vault printed nothing: it must print the secret on standard/],
    ['prints a newline', (f: Folder) => [script(f, 'echo')], /vault printed nothing/],
    [
      'prints several lines',
      (f: Folder) => [script(f, `echo ${CANARY}; echo b`)],
      /output of the program vault contains line/,
    ],
    [
      'prints UTF-16',
      (f: Folder) => [script(f, `printf '\\377\\376c\\000a\\000'`)],
      /the program vault contains.*UTF-16/,
    ],
    ['prints too much', (f: Folder) => [script(f, 'head -c 65537 /dev/zero | tr "\\0" x')], /printed more than 64 KiB/],
    ['prints without end', (f: Folder) => [script(f, 'yes canary')], /printed more than 64 KiB and was killed/],
  ])('because it %s is a problem that quotes nothing', async (_why, command, says) => {
    using folder = createFolder();
    const problem = await problemOf(load(folder, [{ exec: command(folder) }]));
    expect(problem).toMatch(says);
    expect(problem).toMatch(/^credentials\.default\.secrets\.0 the /);
    expect(problem).not.toContain('canary');
  });

  it('does not hide another problem of the configuration', async () => {
    using folder = createFolder();
    const more = { listen: 'nonsense' };
    const problem = await problemOf(load(folder, [{ exec: ['/nowhere/vault'] }], { more }));
    expect(problem).toMatch(/listen/);
    expect(problem).toMatch(/\(ENOENT\)/);
  });

  it('may print 64 KiB', async () => {
    using folder = createFolder();
    expect((await run(folder, 'head -c 65536 /dev/zero | tr "\\0" x')).text).toHaveLength(65_536);
  });

  /** Its time is over when it has started a child and, if it does, ended. */
  async function runTooLong(folder: Folder, text: string, ends: boolean): Promise<Printed> {
    using deadline = createDeadline();
    const running = run(folder, `echo $$ > self; ${text}`, deadline.ms);
    await until('its child runs', () => existsSync(join(folder.path, 'child')) && childOf(folder) > 0);
    // And Node has learned of it.
    if (ends) await until('it has ended', () => isGone(folder, 'self')).then(untilQuiet);
    deadline.pass();
    return await running;
  }

  it('because it hangs is killed at the limit, with what it started', async () => {
    using folder = createFolder();
    const { problem } = await runTooLong(folder, 'sleep 60 & echo $! > child; wait', false);
    expect(problem).toMatch(/did not end in time and was killed/);
    await until('the child is gone', () => isGone(folder));
  });

  it('is not waited for when it has ended, but a child holds its output open', async () => {
    using folder = createFolder();
    const { problem } = await runTooLong(folder, `sleep 60 & echo $! > child; echo ${CANARY}`, true);
    expect(problem).toMatch(/has ended, but something that it started holds its output open/);
    await until('the child is gone', () => isGone(folder));
  });

  it('is not waited for when that child has left its process group', async () => {
    using folder = createFolder();
    const text = `setsid sh -c 'echo $$ > child; exec sleep 60' & echo ${CANARY}`;
    const { problem } = await runTooLong(folder, text, true);
    expect(problem).toMatch(/holds its output open/);
    process.kill(childOf(folder), 'SIGKILL');
  });

  it('by a naive runner with a time limit is waited for as long as the child lives', async () => {
    using folder = createFolder();
    const program = script(folder, 'sleep 60 & echo $! > child; wait');
    const naive = promisify(execFile)(program, { cwd: folder.path });
    let settled = false;
    const end = naive
      .catch(() => undefined)
      .finally(() => {
        settled = true;
      });
    await until('its child runs', () => existsSync(join(folder.path, 'child')) && childOf(folder) > 0);
    // What its time limit does.
    naive.child.kill('SIGKILL');
    await once(naive.child, 'exit');
    await untilQuiet();
    expect([settled, isGone(folder)]).toEqual([false, false]);
    process.kill(childOf(folder), 'SIGKILL');
    await end;
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)('does not outlive a start that %s ends', async (signal) => {
    using folder = createFolder();
    const program = script(folder, "trap '' TERM INT HUP; sleep 60 & echo $! > child; wait");
    const module = JSON.stringify(new URL('../../src/config/secret-programs.ts', import.meta.url).href);
    const call = JSON.stringify({ command: [program], env: { PATH: ENV.PATH }, cwd: folder.path });
    const main = folder.write('main.mjs', `import { runPrograms } from ${module}; await runPrograms([${call}]);`);
    const starting = spawn(process.execPath, [main], { stdio: 'ignore' });
    await until('the program runs', () => existsSync(join(folder.path, 'child')) && childOf(folder) > 0);
    starting.kill(signal);
    const [code, endedBy] = await once(starting, 'exit');
    expect([code, endedBy]).toEqual([null, signal]);
    await until('the child is gone', () => isGone(folder));
  });

  it('goes on at a signal that somebody listens to, such as SIGHUP while the sidecar serves', async () => {
    using folder = createFolder();
    let heard = 0;
    const listen = () => {
      heard += 1;
    };
    process.on('SIGHUP', listen);
    const text = `touch runs; while ! [ -e go ]; do sleep 0.01; done; echo ${CANARY}`;
    const call = { command: [script(folder, text)], env: { PATH: ENV.PATH }, cwd: folder.path };
    const running = runPrograms([call]);
    await until('the program runs', () => existsSync(join(folder.path, 'runs')));
    process.kill(process.pid, 'SIGHUP');
    await until('the signal has arrived', () => heard === 1);
    process.off('SIGHUP', listen);
    folder.write('go', '');
    expect((await running)(call)?.text).toBe(`${CANARY}\n`);
  });

  it('does not hold up the event loop while it runs', async () => {
    using folder = createFolder();
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    await run(folder, 'sleep 0.3; echo x');
    clearInterval(timer);
    expect(turns).toBeGreaterThan(10);
  });

  it('is a problem, not the end of the process, when no file descriptor is left', async () => {
    using folder = createFolder();
    const module = JSON.stringify(new URL('../../src/config/run-program.ts', import.meta.url).href);
    const main = folder.write(
      'main.mjs',
      `import { closeSync, openSync } from 'node:fs';
import { runProgram } from ${module};
const call = { command: ['/bin/echo', 'x'], env: {}, cwd: '/' };
const held = [];
try { for (;;) held.push(openSync('/dev/null', 'r')); } catch {}
const { problem } = await runProgram(call);
for (const descriptor of held) closeSync(descriptor);
console.log(problem, (await runProgram(call)).text);`,
    );
    const limited = ['-c', 'ulimit -n 100; exec "$0" "$1"', process.execPath, main];
    const { stdout } = await promisify(execFile)('/bin/sh', limited, { timeout: 30_000 });
    expect(stdout).toMatch(/may open no more files; raise that limit .* \(EMFILE\) x\n/);
  });

  it('is refused where a source names two places, and where it is no list', async () => {
    using folder = createFolder();
    expect(await problemOf(load(folder, [{ exec: ['vault'], env: 'A' }]))).toMatch(/exactly one of: file, env, exec/);
    expect(await problemOf(load(folder, [{ exec: 'vault kv get x' }]))).toMatch(/must be a list; put \[ \] around it/);
    expect(await problemOf(load(folder, [{ exec: [] }]))).toMatch(/must have at least 1 entry$/);
    expect(await problemOf(load(folder, [{ exec: [''] }]))).toMatch(/must be text, not empty/);
  });

  it('is a problem in a reading that runs no programs', () => {
    using folder = createFolder();
    const printed: PrintedBy = () => undefined;
    const file = folder.write(
      'config.yaml',
      JSON.stringify({ credentials: { default: { secrets: [{ exec: ['a'] }] } } }),
    );
    expect(() => loadConfig({ env: ENV, file, cwd: folder.path, printed })).toThrow('CONFIG_INVALID');
  });
});

function childOf(folder: Folder, name = 'child'): number {
  return Number(readFileSync(join(folder.path, name), 'utf8'));
}

function isGone(folder: Folder, name = 'child'): boolean {
  try {
    process.kill(childOf(folder, name), 0);
    // A killed process without a parent that waits for it stays in the table.
    return /\) Z /.test(readFileSync(`/proc/${childOf(folder, name)}/stat`, 'utf8'));
  } catch {
    return true;
  }
}
