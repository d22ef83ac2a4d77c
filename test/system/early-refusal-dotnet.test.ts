/** A .NET Framework program whose upload is refused gets to know so, although it sends all of it first. */
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFolder, type Folder } from '../support/folder.ts';
import { REFUSERS, type RefusingApi } from '../support/refusing-apis.ts';
import { startTestSidecar, type TestSidecar } from '../support/sidecar.ts';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';

const installed = ['mcs', 'mono'].every((tool) => spawnSync(tool, ['--version']).status === 0);
const ROUNDS = 6;
const MIB = 1024 * 1024;
const HOWS = ['expect, kept', 'expect', 'kept', 'expect, chunks'];
const run = promisify(execFile);

describe.skipIf(!installed && !process.env['CI'])('an upload by a .NET Framework program', () => {
  let folder: Folder;
  let program: string;
  let api: RefusingApi;
  let tokens: TokenServer;
  let sidecar: TestSidecar;

  beforeAll(async () => {
    folder = createFolder();
    program = join(folder.path, 'Uploader.exe');
    await run('mcs', [`-out:${program}`, join(import.meta.dirname, 'Uploader.cs')]);
    const [refuser] = REFUSERS.filter(({ name }) => name === 'node:http');
    if (!refuser) throw new Error('no API');
    api = await refuser.start();
    tokens = await startTokenServer();
    const limits = { requestBody: '30MiB' };
    sidecar = await startTestSidecar({ upstream: api.url, tokenEndpoint: tokens.url, config: { limits } });
  });
  afterAll(async () => {
    await api[Symbol.asyncDispose]();
    await sidecar.stop();
    await tokens.close();
    folder[Symbol.dispose]();
  });

  const rows = [
    ['/api/x', MIB / 2, '413'],
    ['/api/x', 2 * MIB, '413'],
    ['/api/x', 20 * MIB, '413'],
    ['/other', 2 * MIB, '404'],
    ['/other', 20 * MIB, '404'],
    // By the sidecar itself.
    ['/api/x', 40 * MIB, '413'],
  ] as const;

  it.each(rows.flatMap((row) => HOWS.map((how) => [...row, how] as const)))(
    `to %s, of %i bytes, gets its %s ${ROUNDS} times of ${ROUNDS}: %s`,
    async (path, size, status, how) => {
      const { stdout } = await run('mono', [program, sidecar.url + path, String(size), how, String(ROUNDS)]);
      expect(stdout.trim().split('\n')).toEqual(Array(ROUNDS).fill(status));
    },
  );
});
