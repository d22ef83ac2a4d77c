/** Uploads that the API refuses before it has read them: what it has said reaches the caller, however it closes. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFolder, type Folder } from '../support/folder.ts';
import { isInstalled, REFUSERS, type RefusingApi } from '../support/refusing-apis.ts';
import { startTestSidecar, type TestSidecar } from '../support/sidecar.ts';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';

const ROUNDS = 10;
const SIZES = { '128 KiB': 128 * 1024, '1 MiB': 1024 * 1024, '20 MiB': 20 * 1024 * 1024 };
const EXPECTS = [
  ['with Expect', 'Expect: 100-continue'],
  ['without Expect', 'Expect:'],
] as const;
const FRAMINGS = [
  ['a length', []],
  ['chunks', ['-H', 'Transfer-Encoding: chunked']],
] as const;

const run = promisify(execFile);

/** Status of each of ten uploads, 0 for none. */
async function upload(url: string, file: string, headers: readonly string[]): Promise<number[]> {
  const args = ['-s', '-m', '20', '-o', '/dev/null', '-w', '%{http_code}', '-X', 'POST', '-T', file, ...headers, url];
  const statuses: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    // Its exit code says whether it could send everything, which it need not.
    const { stdout } = await run('curl', args).catch((error: { stdout: string }) => error);
    statuses.push(Number(stdout));
  }
  return statuses;
}

describe.each(REFUSERS)('an upload that $name refuses', (refuser) => {
  let folder: Folder;
  let api: RefusingApi;
  let tokens: TokenServer;
  let sidecar: TestSidecar;

  beforeAll(async () => {
    folder = createFolder();
    for (const [name, size] of Object.entries(SIZES)) folder.write(name, Buffer.alloc(size, 'x'));
    api = await refuser.start();
    tokens = await startTokenServer();
    sidecar = await startTestSidecar({ upstream: api.url, tokenEndpoint: tokens.url });
  });
  afterAll(async () => {
    await api[Symbol.asyncDispose]();
    await sidecar.stop();
    await tokens.close();
    folder[Symbol.dispose]();
  });

  const rows = Object.keys(SIZES).flatMap((size) =>
    EXPECTS.flatMap(([asking, expectation]) =>
      FRAMINGS.map(([framing, how]) => [size, asking, framing, ['-H', expectation, ...how]] as const),
    ),
  );
  it.skipIf(!isInstalled(refuser) && !process.env['CI']).each(rows)(
    `gets that refusal ${ROUNDS} times of ${ROUNDS}: %s, %s, in %s`,
    async (size, _asking, _framing, headers) => {
      const statuses = await upload(`${sidecar.url}/api/x`, join(folder.path, size), headers);
      expect(statuses).toEqual(Array(ROUNDS).fill(refuser.status));
    },
  );
});
