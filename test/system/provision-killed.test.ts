/** A real process, killed with SIGKILL while it waits for each of its answers, and then a second one that finishes. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { COMPILED } from '../support/compiled.ts';
import { PATIENCE_MS } from '../support/own-time.ts';
import { createProvisionWorld, type ProvisionWorld } from '../support/provision-world.ts';

const CHILD = join(import.meta.dirname, '../support/provision-child.ts');

let world: ProvisionWorld;

beforeAll(async () => {
  world = await createProvisionWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

/** Kills it as soon as IAM has seen that many requests; what it prints. */
async function runChild(killAt: number): Promise<string> {
  world.desired();
  const child = spawn(process.execPath, [CHILD, world.double.origin, world.folder.path], {
    env: { ...process.env, ...COMPILED },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  // One that comes to its end has not asked for that much.
  const seen = vi.waitUntil(() => world.double.calls.length >= killAt || child.exitCode !== null, {
    timeout: PATIENCE_MS,
    interval: 2,
  });
  await Promise.race([seen, ended]);
  child.kill('SIGKILL');
  await ended;
  return printed;
}

describe('provision/run', () => {
  it('goes on where a killed process was, and takes over its lock', async () => {
    const bad: string[] = [];
    let rows = 0;
    for (let at = 1; ; at += 1) {
      world.renew();
      world.double.fault = { at, fault: 'lost' };
      if ((await runChild(at)) === 'done') break;
      world.double.fault = undefined;
      await world.run();
      rows += 1;
      const faults = world.faultsOfResult();
      if (faults.length > 0) bad.push(`killed at request ${at}: ${faults.join('; ')}`);
    }
    expect(bad).toEqual([]);
    expect(rows).toBeGreaterThan(8);
  });
});
