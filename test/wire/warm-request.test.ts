// How much of the source one warm request runs through: a request is followed by reading few files.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const MAX_FILES = 18;
const SCRIPT = join(import.meta.dirname, '../support/warm-request-files.ts');

it('runs functions of at most eighteen of our files, from the request on a kept connection to its log line', async () => {
  const child = fork(SCRIPT, [], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [] });
  const [[{ status, files }], [code]] = (await Promise.all([once(child, 'message'), once(child, 'exit')])) as [
    [{ status: number; files: string[] }],
    [number],
  ];
  process.stdout.write(`a warm GET runs through ${files.length} files: ${files.join(' ')}\n`);
  expect([status, code]).toEqual([200, 0]);
  // That this way of looking finds what is there.
  expect(files).toEqual(expect.arrayContaining(['proxy/request.ts', 'proxy/forward.ts', 'core/log.ts']));
  expect(files.length).toBeLessThanOrEqual(MAX_FILES);
});
