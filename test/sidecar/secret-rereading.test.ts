/** Programs of many credentials that a server refuses at the same moment: how many run, and how often. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { withPrograms } from '../../src/config/secret-programs.ts';
import { createLog } from '../../src/core/log.ts';
import { createSecretReader } from '../../src/sidecar/secret-rereading.ts';
import { createFakeClock } from '../support/clock.ts';
import { createFolder, type Folder } from '../support/folder.ts';

/** @param commandOf of the credential with that number */
async function createWorld(folder: Folder, count: number, commandOf: (vault: string, index: number) => string[]) {
  const text = 'touch "run-$$"; ls run-* | wc -l >> seen; sleep 0.05; rm "run-$$"; echo "secret-of-$1"';
  const vault = folder.write('vault', `#!/bin/sh\n${text}\n`, 0o700);
  const names = Array.from({ length: count }, (_none, index) => `c${index}`);
  const credentials = Object.fromEntries(
    names.map((name, index) => [
      name,
      { tokenEndpoint: 'https://id.example/token', clientId: name, secrets: [{ exec: commandOf(vault, index) }] },
    ]),
  );
  const routes = [{ path: '/x', upstream: 'https://x.example', credential: 'c0' }];
  const file = folder.write('config.yaml', JSON.stringify({ credentials, routes }));
  const env = { PATH: process.env['PATH'] ?? '' };
  const loaded = await withPrograms((printed) => loadConfig({ file, env, cwd: folder.path, printed }));
  const clock = createFakeClock();
  const read = createSecretReader(loaded, { clock, log: createLog({ level: 'error', format: 'json' }) });
  const seen = () => readFileSync(join(folder.path, 'seen'), 'utf8').trim().split('\n').map(Number);
  const before = seen().length;
  return {
    clock,
    readAll: async () => (await Promise.all(names.map((name) => read(name)))).map(([secret]) => secret?.value.reveal()),
    /** How many ran when each began. */
    since: () => seen().slice(before),
  };
}

describe('src/sidecar/secret-rereading.ts', () => {
  it('runs a few programs at the same time, however many credentials are refused, and says nothing on standard error', async () => {
    using folder = createFolder();
    const warnings: Error[] = [];
    const note = (warning: Error) => void warnings.push(warning);
    process.on('warning', note);
    onTestFinished(() => void process.off('warning', note));
    const { readAll, since } = await createWorld(folder, 24, (vault, index) => [vault, String(index)]);
    expect(await readAll()).toEqual(Array.from({ length: 24 }, (_none, index) => `secret-of-${index}`));
    expect(since()).toHaveLength(24);
    expect(Math.max(...since())).toBeLessThanOrEqual(2);
    expect(readdirSync(folder.path).filter((name) => name.startsWith('run-'))).toEqual([]);
    expect(warnings).toEqual([]);
  });

  it('runs a program of several credentials once in ten seconds for all of them', async () => {
    using folder = createFolder();
    const { clock, readAll, since } = await createWorld(folder, 5, (vault) => [vault, 'all']);
    const all = Array.from({ length: 5 }, () => 'secret-of-all');
    expect([await readAll(), await readAll(), since().length]).toEqual([all, all, 1]);
    await clock.advance(10_000);
    expect([await readAll(), since().length]).toEqual([all, 2]);
  });
});
