// The runner of the documentation fails where a page is wrong, says what to do, and leaves nothing behind.
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { beforeAll, describe, expect, it } from 'vitest';
import { setup } from '../support/build-program.ts';
import { shellPage } from '../support/doc-blocks.ts';
import { startPage } from '../support/doc-page.ts';
import { missingFor } from '../support/doc-shell.ts';
import { parsePage } from '../support/markdown.ts';

beforeAll(setup);

const sh = (...lines: string[]) => ['```sh', ...lines, '```'];
const plain = (...lines: string[]) => ['```', ...lines, '```'];
const OUTPUT = '<!-- output -->';
/** Ids of the processes of this machine whose command line has the text. */
function processesWith(text: string): string[] {
  return readdirSync('/proc').filter((id) => {
    try {
      return /^\d+$/.test(id) && readFileSync(`/proc/${id}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });
}

const missing = missingFor('git jq');

describe.skipIf(missing.length > 0 && !process.env['CI'])(
  `the runner of the documentation${missing.map((name) => ` (lacks ${name})`).join('')}`,
  () => {
    /** How each block of a page ends: `ok`, or the failure. */
    async function endsOf(lines: readonly string[], limitMs = 30_000): Promise<string[]> {
      const page = shellPage(parsePage('docs/page.md', ['# Page', '', ...lines, ''].join('\n')));
      await using running = await startPage(page, limitMs);
      const ends: string[] = [];
      for (const block of page.blocks.filter(({ skip }) => skip === undefined)) {
        ends.push(
          await running.run(block).then(
            () => 'ok',
            (error: Error) => error.message,
          ),
        );
      }
      return ends;
    }

    it('runs the blocks in one shell, on a terminal, beside a local Aritma, in a folder that is empty', async () => {
      const lines = [
        ...sh('ls -A; greet() { echo "hello $1"; }', 'cd "$HOME" && NAME=you'),
        ...sh('greet "$NAME"; pwd; test -t 1 && echo terminal'),
        OUTPUT,
        ...plain('hello you', '/…/home', 'terminal'),
        ...sh('curl -s http://127.0.0.1:7100/_emulator/counters | jq .tokenRequests; aritma-sidecar --version'),
        OUTPUT,
        ...plain('0', '1.…'),
      ];
      expect(await endsOf(lines)).toEqual(['ok', 'ok', 'ok']);
    });

    it('fails a block whose output is not what the page shows, and goes on', async () => {
      const [first, second] = await endsOf([...sh('echo one'), OUTPUT, ...plain('two'), ...sh('true')]);
      expect(first).toContain('docs/page.md:7: this line was not printed: two');
      expect(second).toBe('ok');
    });

    it.each([
      ['of which a command fails', 'false', 'echo never'],
      ['of which the first command of a pipe fails', 'false | true', 'echo never'],
      ['that ends the shell', 'exit 1', 'true'],
      ['with a command that there is not', 'arithma-sidecar status 2>&1 || exit 1', 'true'],
    ])('fails a block %s, names the marker and its line, and runs no other', async (_what, ...commands) => {
      const [first, second] = await endsOf(['', ...sh('echo before', ...commands), '', ...sh('echo after')]);
      expect(first).toMatch(/^docs\/page\.md:4: `echo before` exited with 1\. It printed:\nbefore\n/);
      expect(first).toContain('on a line of its own above line 4, directly above the fence, write');
      expect(first).toContain('<!-- exit: 1 -->');
      expect(first).toContain('<!-- not run: REASON');
      expect(first).not.toContain('never');
      expect(second).toBe('docs/page.md:10: not run: the block on line 4 failed');
    });

    it('takes an exit code that the page announces, and no other', async () => {
      const announced = (code: number) => [
        `<!-- exit: ${code} -->`,
        ...sh('X=kept', '(exit 3)'),
        ...sh('test "$X" = kept'),
      ];
      expect(await endsOf(announced(3))).toEqual(['ok', 'ok']);
      expect((await endsOf(announced(4)))[0]).toContain('exited with 3 instead of 4');
    });

    it('fails a block that does not end, and asks whether it is a server', async () => {
      const [first] = await endsOf(sh('echo waiting', 'sleep 1000'), 3_000);
      expect(first).toMatch(/^docs\/page\.md:3: `echo waiting` did not end in time\. It printed:\nwaiting\n/);
      expect(first).toContain('<!-- background -->');
    });

    it('goes on when a server is ready, and compares what it printed first', async () => {
      const demo = (shown: string) => [
        '<!-- background -->',
        ...sh('aritma-sidecar demo'),
        OUTPUT,
        ...plain('…', shown),
      ];
      const after = sh(
        'curl -s http://127.0.0.1:7080/banking/accounts | jq ".data | length > 0"',
        'aritma-sidecar wait --max 1s',
      );
      expect(await endsOf([...demo('  sidecar        http://127.0.0.1:7080 …'), ...after])).toEqual(['ok', 'ok']);
      const [first, second] = await endsOf([...demo('  sidecar        http://127.0.0.1:7070 …'), ...after]);
      expect(first).toContain('this line was not printed:   sidecar        http://127.0.0.1:7070 …');
      expect(second).toBe('ok');
    });

    it('fails a server that ends before it is ready', async () => {
      const lines = ['<!-- background -->', ...sh('aritma-sidecar demo --nonsense')];
      expect((await endsOf(lines))[0]).toMatch(/exited with 2\. It printed:\nerror: unknown option '--nonsense'/);
    });

    it('starts what the page says runs beside it, after what it says comes before', async () => {
      const head = [
        '<!-- before: export ARITMA_ADMIN=127.0.0.1:7091 -->',
        '<!-- running: aritma-sidecar demo --admin 127.0.0.1:7091 -->',
      ];
      expect(await endsOf([...head, '', ...sh('aritma-sidecar status')])).toEqual(['ok']);
    });

    it('runs a page that uses npm in a clean checkout, where the sidecar is `npm run sidecar`', async () => {
      const lines = [
        ...sh(
          'npm ci',
          'test -f src/main.ts && test ! -e .git && echo a checkout',
          'npm run --silent sidecar -- --version',
        ),
        OUTPUT,
        ...plain('a checkout', '1.…'),
      ];
      expect(await endsOf(lines)).toEqual(['ok']);
    });

    it('ends everything that a page has started, and removes its files', async () => {
      const mark = `321${process.pid}`;
      await endsOf(
        sh(`sleep ${mark} >sleep.log 2>&1 </dev/null & setsid nohup sleep ${mark} >nohup.log 2>&1 </dev/null &`),
      );
      // A killed process is gone when the system has cleaned up after it.
      await expect.poll(() => processesWith(mark)).toEqual([]);
      expect(readdirSync(tmpdir()).filter((name) => name.startsWith(`aritma-docs-${process.pid}-`))).toEqual([]);
    });
  },
);
