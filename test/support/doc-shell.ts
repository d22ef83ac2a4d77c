/**
 * One shell for the blocks of a page, as its reader has one: a terminal, an empty folder, `aritma-sidecar` in the PATH, and
 * servers beside it in terminals of their own. Hides that the page has a network and processes of its own (namespaces), so that
 * the documented ports are free and nothing outlives the page. Needs Linux, and root or user namespaces.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { MAIN } from './cli.ts';
import { COMPILED } from './compiled.ts';

const ROOT = join(import.meta.dirname, '../..');
/** How long one block may take, its start of a server included. */
const LIMIT_MS = 60_000;
const NAMESPACES = ['--net', '--mount-proc', '--pid', '--fork', '--kill-child'];
const PROGRAMS = ['ip', 'setpriv', 'script', 'curl', 'bash'];
const PROGRAMS_OF_BLOCKS = ['git', 'jq', 'npm', 'openssl', 'promtool'];

/** How to get into namespaces; undefined where that cannot be done. */
const unshare: readonly string[] | undefined = [[], ['--map-root-user']]
  .map((user) => [...user, ...NAMESPACES])
  .find((flags) => spawnSync('unshare', [...flags, 'ip', 'link', 'set', 'lo', 'up']).status === 0);

/** What this machine lacks to run such commands; none = nothing. */
export function missingFor(text: string): string[] {
  const used = PROGRAMS_OF_BLOCKS.filter((name) => new RegExp(`\\b${name}\\b`).test(text));
  return [
    ...[...PROGRAMS, ...used].filter((name) => spawnSync('which', [name]).status !== 0),
    ...(unshare ? [] : ['namespaces (root)']),
  ];
}

export interface ShellOptions {
  /** A folder of a clean copy of the checkout to be in, instead of an empty one. */
  readonly folder?: string | undefined;
  readonly limitMs?: number;
}

export interface Command {
  readonly text: string;
  /** A server, which is waited for until it is ready, and then left running. */
  readonly background?: boolean;
  /** What its last command exits with. Only when it is 0, the first command that fails ends the block, and the shell. */
  readonly exit?: number;
}

export interface Result {
  /** Undefined when it did not end within the limit, or the shell had ended before. */
  readonly exit: number | undefined;
  /** What the terminal shows; for a server, what its terminal shows until it is ready. */
  readonly output: string;
}

export interface PageShell extends AsyncDisposable {
  run(command: Command): Promise<Result>;
}

/** @returns a shell that waits for commands, one after the other */
export function openShell({ folder, limitMs = LIMIT_MS }: ShellOptions = {}): PageShell {
  const own = mkdtempSync(join(tmpdir(), `aritma-docs-${process.pid}-`));
  const cwd = folder === undefined ? join(own, 'work') : join(copyCheckout(join(own, 'checkout')), folder);
  for (const path of [join(own, 'home'), join(own, 'blocks'), cwd]) mkdirSync(path, { recursive: true });
  const env = { ...environment(own), DOCS_NONCE: randomUUID() };
  writeFileSync(join(own, 'driver'), DRIVER);
  // Not in place of this shell: what has no parent any more becomes its child, and `script` would wait for that.
  const command = `ip link set lo up && script -qefc 'exec bash ${own}/driver' /dev/null 3<&0 </dev/null; exit $?`;
  // It goes with this process, however that ends.
  const dying = ['--pdeathsig', 'KILL', 'unshare', ...(unshare ?? [])];
  const child = spawn('setpriv', [...dying, 'sh', '-c', command], { cwd, env });
  // A shell that has ended takes no more; what it ended with is told.
  child.stdin.on('error', () => undefined);
  const screen = watchScreen(child, env.DOCS_NONCE);
  let count = 0;
  return {
    async run({ text, background = false, exit = 0 }) {
      count += 1;
      const file = join(own, 'blocks', String(count));
      writeFileSync(file, text);
      const kind = background ? 'background' : exit === 0 ? 'strict' : 'lenient';
      child.stdin.write(`${kind} ${file} ${background ? readyUrl(text) : '-'}\n`);
      const result = await screen.next(limitMs);
      if (!existsSync(`${file}.out`)) return result;
      return { ...result, output: result.output + readFileSync(`${file}.out`, 'utf8') };
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await screen.closed;
      rmSync(own, { recursive: true, force: true });
    },
  };
}

/**
 * Reads `KIND FILE URL` line by line, runs the file, and marks the end of what it printed. A block that fails ends it all,
 * as the shell option `-e` says, and its status is that of the shell.
 */
const DRIVER = `
docs_mark() { set +ex; printf '\\036%s %s\\036' "$DOCS_NONCE" "$1"; }
docs_background() {
  script -qefc "bash -eo pipefail $1" /dev/null </dev/null >"$1.out" 2>&1 9<&- &
  docs_pid=$!
  until command curl --silent --fail --noproxy '*' --max-time 10 --output /dev/null "$2"; do
    kill -0 "$docs_pid" 2>/dev/null || { wait "$docs_pid" && return 1; return; }
    sleep 0.05
  done
}
stty -echo -onlcr cols 140
exec 9<&3 3<&- </dev/null
set --
docs_mark 0
while read -r -u 9 docs_kind docs_file docs_url; do
  case $docs_kind in
    background) docs_background "$docs_file" "$docs_url"; docs_mark "$?" ;;
    lenient) set +e; source "$docs_file" 9<&-; docs_mark "$?" ;;
    strict) set -eo pipefail; source "$docs_file" 9<&-; docs_mark 0; set +eo pipefail ;;
  esac
done
`;

/** Where a server responds once it is ready: an \`emulate\` at once, a sidecar when it has a token. */
function readyUrl(text: string): string {
  const address = (flag: string) => new RegExp(`--${flag}[ =](\\S+:\\d+)`).exec(text)?.[1];
  if (/\bemulate\b/.test(text)) return `http://${address('listen') ?? '127.0.0.1:7100'}/_emulator/counters`;
  return `http://${address('admin') ?? '127.0.0.1:7090'}/readyz`;
}

function watchScreen(child: ChildProcess, nonce: string) {
  let text = '';
  let hasStarted = false;
  let wake: () => void = () => undefined;
  const end = new RegExp(`\\u{1e}${nonce} (\\d+)\\u{1e}`, 'u');
  const take = (piece: string) => {
    text += piece;
    wake();
  };
  child.stdout?.setEncoding('utf8').on('data', take);
  child.stderr?.setEncoding('utf8').on('data', take);
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => {
      wake();
      resolve();
    });
  });
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  const next = async (limitMs: number): Promise<Result> => {
    const { promise: late, resolve: giveUp } = Promise.withResolvers<'late'>();
    const timer = setTimeout(giveUp, limitMs, 'late');
    try {
      for (;;) {
        const match = end.exec(text);
        if (match) {
          const output = text.slice(0, match.index);
          text = text.slice(match.index + match[0].length);
          if (hasStarted) return { exit: Number(match[1]), output };
          hasStarted = true;
          continue;
        }
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        if (isOver()) {
          await closed;
          if (!end.test(text)) return { exit: child.exitCode ?? undefined, output: text };
          continue;
        }
        if ((await Promise.race([promise, closed, late])) === 'late') return { exit: undefined, output: text };
      }
    } finally {
      clearTimeout(timer);
    }
  };
  return { next, closed };
}

/** Of a user who has just logged in: nothing of the test's own, and none of the programs that npm puts before others. */
function environment(own: string): Record<string, string> {
  const program = join(own, 'bin', 'aritma-sidecar');
  mkdirSync(dirname(program));
  const cache = COMPILED['NODE_COMPILE_CACHE'] ?? '';
  const start = `#!/bin/sh\nNODE_COMPILE_CACHE='${cache}' exec '${process.execPath}' '${process.env['TEST_PROGRAM'] ?? MAIN}' "$@"\n`;
  writeFileSync(program, start, { mode: 0o755 });
  const others = (process.env['PATH'] ?? '').split(delimiter).filter((path) => !path.includes('node_modules'));
  return {
    PATH: [dirname(program), ...others].join(delimiter),
    HOME: join(own, 'home'),
    LANG: 'C.UTF-8',
    TERM: 'dumb',
    NO_COLOR: '1',
    PAGER: 'cat',
    SHELL: '/bin/sh',
    npm_config_update_notifier: 'false',
  };
}

/** Every file of the checkout that git has or would take, and the packages that are installed already. */
function copyCheckout(to: string): string {
  const git = ['-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const files = execFileSync('git', git, { cwd: ROOT, encoding: 'utf8' }).split('\0').filter(Boolean);
  for (const folder of new Set(files.map((file) => dirname(join(to, file))))) mkdirSync(folder, { recursive: true });
  for (const file of files) copyFileSync(join(ROOT, file), join(to, file));
  symlinkSync(join(ROOT, 'node_modules'), join(to, 'node_modules'));
  return to;
}
