// Log output that goes wrong costs log lines, never a request and never the stop.
import { closeSync, existsSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { start } from '../support/cli.ts';
import { createFolder } from '../support/folder.ts';
import { createWorld } from '../support/world.ts';

const status = async (url: string) => (await fetch(url)).status;

/** One line each in the log; enough of them fill every buffer between the sidecar and a reader that stands still. */
async function makeNoise(url: string, lines: number): Promise<void> {
  for (let sent = 0; sent < lines; sent += 50) {
    await Promise.all(Array.from({ length: 50 }, () => status(`${url}/${'x'.repeat(200)}`)));
  }
}

describe('log', () => {
  it('lets the sidecar go on when its reader has gone (`| head -1`), and stop with 0', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const sidecar = await world.serve();
    sidecar.child.stdout?.destroy();
    await makeNoise(sidecar.url, 100);
    expect(await status(`${sidecar.adminUrl}/livez`)).toBe(200);
    sidecar.kill('SIGTERM');
    expect((await sidecar.ended).code).toBe(0);
  });

  it('lets the sidecar go on when its reader stands still, and stop with 0', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const sidecar = await world.serve();
    sidecar.child.stdout?.pause();
    await makeNoise(sidecar.url, 1500);
    expect(await status(`${sidecar.adminUrl}/livez`)).toBe(200);
    sidecar.kill('SIGTERM');
    const code = await new Promise((resolve) => sidecar.child.once('exit', resolve));
    sidecar.child.stdout?.destroy();
    expect(code).toBe(0);
  });

  it.skipIf(!existsSync('/dev/full'))('lets the sidecar go on when the disk is full, and stop with 0', async () => {
    using folder = createFolder();
    const admin = `${folder.path}/admin.sock`;
    const args = [
      '--environment',
      'emulator',
      '--client-id',
      'x',
      '--listen',
      '127.0.0.1:0',
      '--admin',
      `unix:${admin}`,
    ];
    const stdout = openSync('/dev/full', 'w');
    await using sidecar = start(args, { env: { ARITMA_CLIENT_SECRET: 'not-a-real-one' }, stdout });
    closeSync(stdout);
    await expect.poll(() => answers(admin)).toBe(true);
    sidecar.kill('SIGTERM');
    expect(await sidecar.ended).toMatchObject({ code: 0, stderr: '' });
  });
});

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => socket.end(() => resolve(true))).once('error', () => resolve(false));
  });
}
