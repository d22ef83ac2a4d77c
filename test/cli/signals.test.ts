// Signals and accidents: what must not stop a sidecar, and how it ends when it has to.
import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { MAIN } from '../support/cli.ts';
import { COMPILED } from '../support/compiled.ts';
import { createWorld } from '../support/world.ts';

const CANARY = 'CANARY-4711';
const status = async (url: string) => (await fetch(url)).status;

describe.skipIf(process.platform === 'win32')('signals', () => {
  it.each(['SIGUSR1', 'SIGUSR2', 'SIGPIPE'] as const)('%s changes nothing and opens no debugger', async (signal) => {
    await using world = await createWorld('http://127.0.0.1:9');
    const sidecar = await world.serve();
    sidecar.kill(signal);
    // Handled in the order they were sent.
    sidecar.kill('SIGHUP');
    await sidecar.untilStdout(/SIGHUP/);
    expect(await status(`${sidecar.adminUrl}/livez`)).toBe(200);
    sidecar.kill('SIGTERM');
    const { code, stderr } = await sidecar.ended;
    // "Debugger listening on …" is where Node would say so.
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('SIGUSR1 opens a debugger in a Node that nobody has protected (the test can tell)', async () => {
    const child = spawn(process.execPath, ['-e', "console.log('up'); setInterval(() => {}, 1000)"]);
    try {
      await new Promise((resolve) => child.stdout.once('data', resolve));
      const said = new Promise<string>((resolve) => child.stderr.once('data', (text) => resolve(String(text))));
      child.kill('SIGUSR1');
      expect(await said).toMatch(/Debugger|address already in use/i);
    } finally {
      child.kill('SIGKILL');
    }
  });
});

describe.skipIf(process.platform === 'win32')('a defect', () => {
  it.each([
    ['an exception nobody caught', `throw new TypeError('${CANARY}')`, 'unexpected error: TypeError'],
    ['a rejection nobody handled', `Promise.reject(new RangeError('${CANARY}'))`, 'unhandled rejection: RangeError'],
    ['a rejection with any text', `Promise.reject('${CANARY}')`, 'unhandled rejection:'],
  ])('such as %s ends the process with 1, says where, and quotes nothing', async (_case, how, says) => {
    await using world = await createWorld('http://127.0.0.1:9');
    // It fails on SIGUSR2, out of nowhere, the way a defect would.
    const text = `process.on('SIGUSR2', () => { ${how}; });\nawait import(${JSON.stringify(MAIN)});`;
    const defect = world.folder.write('defect.mjs', text);
    const sidecar = await world.serve({}, { program: [process.execPath, defect], env: COMPILED });
    sidecar.kill('SIGUSR2');
    const { code, stdout, stderr } = await sidecar.ended;
    expect(code).toBe(1);
    expect(stderr).toContain(says);
    expect(stdout + stderr).not.toContain(CANARY);
  });
});
