/** A whole sidecar whose client secret is printed by a program: a new secret, a program that fails, a server that refuses. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createFolder } from '../support/folder.ts';
import { createProxyWorld } from '../support/proxy-world.ts';
import { grant, json, type TokenAnswerer } from '../support/token-server.ts';
import { until } from '../support/until.ts';

const OLD = 'canary-old-never-printed';
const NEW = 'canary-new-never-printed';

async function createWorld() {
  const folder = createFolder();
  const [secret, runs] = [join(folder.path, 'secret'), join(folder.path, 'runs')];
  writeFileSync(secret, OLD);
  writeFileSync(runs, '');
  const write = (text: string) => folder.write('vault', `#!/bin/sh\necho x >> ${runs}\n${text}\n`, 0o700);
  const program = write(`cat ${secret}`);
  const credential = { secrets: [{ exec: [program] }] };
  const world = await createProxyWorld({ credential, config: { token: { waitTimeout: '900ms' } } });
  let accepted = OLD;
  const answer: TokenAnswerer = (res, call, count) => {
    const isGood = call.form.get('client_secret') === accepted;
    (isGood ? grant(`token-${count}`) : json(401, { error: 'invalid_client' }))(res, call, count);
  };
  world.tokens.answerWith(answer);
  return {
    ...world,
    program: write,
    accept(value: string) {
      accepted = value;
    },
    print: (value: string) => writeFileSync(secret, value),
    runs: () => readFileSync(runs, 'utf8').length / 2,
    refresh: () => fetch(`${world.sidecar.adminUrl}/token/refresh`, { method: 'POST' }),
    tried: () => world.tokens.calls.map(({ form }) => form.get('client_secret')),
    get: async () => (await world.call('GET /api/x HTTP/1.1')).status,
    reloads: () =>
      world.sidecar.logs.filter(({ message }) => /^(configuration reloaded|reload refused)/.test(String(message))),
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

describe('a secret that a program prints', () => {
  it('serves callers, and a new one is used within the call for which the old one is refused', async () => {
    await using world = await createWorld();
    expect([await world.get(), world.runs()]).toEqual([200, 1]);
    world.print(NEW);
    world.accept(NEW);
    const [refreshed, called] = await Promise.all([world.refresh(), world.get()]);
    expect([refreshed.ok, called]).toEqual([true, 200]);
    expect([world.tried(), world.runs()]).toEqual([[OLD, OLD, NEW], 2]);
    expect(world.sidecar.rawLogs.join('')).not.toMatch(/never-printed|secret refused/);
  });

  it('is asked for once in ten seconds by a server that refuses everything, however many callers there are', async () => {
    await using world = await createWorld();
    expect(await world.get()).toBe(200);
    world.accept('nothing');
    for (let round = 0; round < 5; round += 1) await Promise.all([world.refresh(), world.get(), world.get()]);
    expect(world.tried().length).toBeGreaterThan(5);
    expect(world.runs()).toBe(2);
  });

  it('stays as it was when the program fails after a refusal, and the log says why without its output', async () => {
    await using world = await createWorld();
    expect(await world.get()).toBe(200);
    world.program(`echo ${NEW}; echo ${NEW} >&2; exit 4`);
    world.accept('nothing');
    await world.refresh();
    const said = world.sidecar.logs.find(({ message }) => /could not be read again/.test(String(message)));
    expect(said).toMatchObject({ level: 'error', credential: 'default' });
    expect(String(said?.['problem'])).toMatch(/^the program vault ended with exit code 4/);
    world.accept(OLD);
    expect((await world.refresh()).ok).toBe(true);
    expect(new Set(world.tried())).toEqual(new Set([OLD]));
    expect(world.sidecar.rawLogs.join('')).not.toContain('never-printed');
  });

  it('is asked for again by a reload, and the new one serves', async () => {
    await using world = await createWorld();
    expect(await world.get()).toBe(200);
    world.print(NEW);
    world.accept(NEW);
    world.sidecar.reload();
    await until('the new secret is used', () => world.tried().includes(NEW));
    await until('the reload is logged', () => world.reloads().length === 1);
    expect([await world.get(), world.runs()]).toEqual([200, 2]);
  });

  it('makes a reload fail loudly when the program fails, and the last good one serves', async () => {
    await using world = await createWorld();
    expect(await world.get()).toBe(200);
    world.program(`echo ${NEW}; exit 4`);
    world.sidecar.reload();
    await until('the reload is refused', () => world.reloads().length === 1);
    expect(world.reloads()[0]).toMatchObject({
      level: 'error',
      problem: expect.stringMatching(/vault ended with exit code 4/),
    });
    const status = (await (await fetch(`${world.sidecar.adminUrl}/status`)).json()) as {
      lastReload: { result: string };
    };
    expect([status.lastReload.result, await world.get()]).toEqual(['invalid', 200]);
    expect((await world.refresh()).ok).toBe(true);
    expect(JSON.stringify([status, ...world.sidecar.rawLogs])).not.toContain('never-printed');
  });

  it('is asked for once more by all reloads together that come while the program runs, and calls go on', async () => {
    await using world = await createWorld();
    expect(await world.get()).toBe(200);
    const go = join(world.sidecar.secretFile, '..', 'go');
    world.program(`while ! [ -e ${go} ]; do sleep 0.01; done; echo ${NEW}`);
    world.accept(NEW);
    for (let time = 0; time < 5; time += 1) world.sidecar.reload();
    await until('the program runs', () => world.runs() === 2);
    expect([await world.get(), world.reloads().length]).toEqual([200, 0]);
    writeFileSync(go, '');
    await until('both reloads are done', () => world.reloads().length === 2);
    expect([world.runs(), await world.get()]).toEqual([3, 200]);
    await until('the new secret is used', () => world.tried().includes(NEW));
  });
});
