import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StateFileError } from '../../src/emulator/state-file.ts';
import { COMPILED } from '../support/compiled.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { startOwnTime } from '../support/own-time.ts';
import { createWorld, type Json, SAMPLE, SAMPLE_SECRET, type World } from './harness.ts';

let folder: Folder;
let stateFile: string;
beforeEach(() => {
  folder = createFolder();
  stateFile = join(folder.path, 'state.json');
});
afterEach(() => folder[Symbol.dispose]());

const accounts = async (world: World, token: string): Promise<number> =>
  (await fetch(`${world.url}/banking/api/accounts`, { headers: { authorization: `Bearer ${token}` } })).status;

describe('src/emulator/state-file.ts', () => {
  it('carries clients, secrets, policies and tokens to the next run', async () => {
    const first = await createWorld({ stateFile });
    const who = await first.newcomer();
    const policy = { subject: who.subject, scope: '/', action: 'banking.ais.read' };
    await first.iamJson('POST', '/policies', policy);
    await first.iam('DELETE', '/clients/demo-erp');
    await first[Symbol.asyncDispose]();

    await using second = await createWorld({ stateFile });
    expect(await accounts(second, who.token)).toBe(200);
    expect(await second.iamJson('GET', `/clients/${who.clientId}`)).toEqual({ clientId: who.clientId, ...SAMPLE });
    expect((await second.iam('GET', '/clients/demo-erp')).status).toBe(404);
    expect((await second.iamJson('GET', `/policies?subject=${who.subject}`)).items).toMatchObject([policy]);
    const form = { grant_type: 'client_credentials', client_id: who.clientId, client_secret: SAMPLE_SECRET.value };
    expect((await second.askToken(form)).status).toBe(200);
    expect((await second.askToken({ ...form, client_secret: 'another secret' })).status).toBe(400);
  });

  it('keeps revoked tokens revoked', async () => {
    const first = await createWorld({ stateFile });
    const token = await first.token();
    await fetch(`${first.url}/_emulator/tokens/revoke`, { method: 'POST' });
    const later = await first.token();
    await first[Symbol.asyncDispose]();
    await using second = await createWorld({ stateFile });
    expect([await accounts(second, token), await accounts(second, later)]).toEqual([401, 200]);
  });

  it('gives tokens of another run no chance without a file', async () => {
    const first = await createWorld();
    const token = await first.token();
    await first[Symbol.asyncDispose]();
    await using second = await createWorld();
    expect(await accounts(second, token)).toBe(401);
  });

  it('holds no secret value, belongs to its owner alone and leaves nothing beside it', async () => {
    writeFileSync(`${stateFile}.tmp`, 'left by a killed run', { mode: 0o644 });
    const world = await createWorld({ stateFile });
    await world.newcomer();
    await world[Symbol.asyncDispose]();
    const text = readFileSync(stateFile, 'utf8');
    expect(text).not.toContain(SAMPLE_SECRET.value);
    expect(text).not.toContain('not-for-production');
    expect(statSync(stateFile).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder.path)).toEqual(['state.json']);
  });

  it('is written soon after a change, while the emulator runs', async () => {
    await using world = await createWorld({ stateFile });
    const { clientId } = await world.newcomer();
    using own = startOwnTime();
    await expect.poll(() => readFileSync(stateFile, 'utf8')).toContain(clientId);
    expect(own.ms).toBeLessThan(1000);
  });

  it.each([
    ['no JSON', 'not json', /the whole file/],
    ['half a file', '{"version":1,"clients":[', /the whole file/],
    ['nothing', '', /the whole file/],
    ['another version', '{"version":2}', /version/],
    ['another program', '{"name":"x"}', /version/],
  ])('refuses a file that holds %s, names it and leaves it as it is', async (_what, text, message) => {
    writeFileSync(stateFile, text);
    const failure = await createWorld({ stateFile }).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StateFileError);
    expect((failure as Error).message).toContain(stateFile);
    expect((failure as Error).message).toMatch(message);
    expect(readFileSync(stateFile, 'utf8')).toBe(text);
  });

  it('refuses a file whose key or digest was damaged', async () => {
    await (await createWorld({ stateFile }))[Symbol.asyncDispose]();
    const whole = readFileSync(stateFile, 'utf8');
    const state = JSON.parse(whole) as Json;
    const damaged = [
      { ...state, signing: { ...state.signing, key: { kty: 'RSA', n: '!', e: 'AQAB' } } },
      { ...state, signing: { ...state.signing, key: { kty: 'oct', k: 'AAAA' } } },
      { ...state, clients: [{ ...state.clients[0], secrets: [{ ...state.clients[0].secrets[0], digest: 'short' }] }] },
    ];
    for (const one of damaged) {
      writeFileSync(stateFile, JSON.stringify(one));
      await expect(createWorld({ stateFile })).rejects.toThrow(StateFileError);
      expect(JSON.parse(readFileSync(stateFile, 'utf8'))).toEqual(one);
    }
  });

  it('refuses to start where it could not write', async () => {
    await expect(createWorld({ stateFile: join(folder.path, 'missing', 'state.json') })).rejects.toThrow(/ENOENT/);
    await expect(createWorld({ stateFile: folder.path })).rejects.toThrow(/EISDIR/);
  });

  it('says so when it is closed, if the last changes could not be written', async () => {
    const world = await createWorld({ stateFile });
    rmSync(folder.path, { recursive: true });
    const warned = once(process, 'warning');
    await world.newcomer();
    expect(await warned).toMatchObject([{ name: 'StateFileError' }]);
    await expect(world[Symbol.asyncDispose]()).rejects.toThrow(/state\.json cannot be written \(ENOENT\)/);
  });

  it.skipIf(process.getuid?.() === 0)('refuses a file it may not read', async () => {
    writeFileSync(stateFile, '{}');
    chmodSync(stateFile, 0);
    await expect(createWorld({ stateFile })).rejects.toThrow(/EACCES/);
  });

  it('is whole and recent after kills at any moment', async () => {
    let known = 0;
    for (const [name, moment] of Object.entries(MOMENTS)) {
      const { child, call } = await spawnEmulator(stateFile);
      const create = async () => (await call('POST', '/clients', SAMPLE)).clientId as string;
      expect((await call('GET', '/clients')).metadata.totalCount, name).toBeGreaterThanOrEqual(known);
      const ids: string[] = [];
      for (let count = 0; count < 10; count += 1) ids.push(await create());
      await expect.poll(() => readFileSync(stateFile, 'utf8')).toContain(ids.at(-1));
      // More of them, so that there is something to be written at whichever moment it dies.
      const answered = Promise.all(Array.from({ length: 5 }, create)).catch(() => 'died meanwhile');
      const dies = moment(folder.path, answered);
      const more = (async () => {
        for (let count = 0; count < 50; count += 1) await create();
      })().catch(() => 'died meanwhile');
      await Promise.race([dies, more]);
      child.kill('SIGKILL');
      await once(child, 'exit');
      await more;
      const { clients } = JSON.parse(readFileSync(stateFile, 'utf8')) as Json;
      expect(JSON.stringify(clients), name).toMatch(new RegExp(ids.join('.*')));
      known = clients.length;
    }
    expect(known).toBeGreaterThanOrEqual(2 + 10 * Object.keys(MOMENTS).length);
  });
});

/** When it is killed: told the folder of the file, and when some of many changes have been answered. */
const MOMENTS: Readonly<Record<string, (folder: string, answered: Promise<unknown>) => Promise<unknown>>> = {
  'when it begins to write': (folder) => untilChanged(folder, 'state.json.tmp'),
  'when it has written': (folder) => untilChanged(folder, 'state.json'),
  'when it has answered': (_folder, answered) => answered,
  'while it is asked': async () => undefined,
};

async function untilChanged(folder: string, file: string): Promise<void> {
  const ending = new AbortController();
  for await (const { filename } of watch(folder, { signal: ending.signal })) if (filename === file) return;
}

/** As a process of its own, with a function that calls its IAM. */
async function spawnEmulator(stateFile: string) {
  const program = `
    import { startEmulator } from '${join(import.meta.dirname, '../../src/emulator/server.ts')}';
    process.stdout.write((await startEmulator({ port: 0, stateFile: process.argv[1] })).url + '\\n');
  `;
  const env = { ...process.env, ...COMPILED };
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, stateFile], { env });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const url = line.toString().trim();
  const form = {
    grant_type: 'client_credentials',
    client_id: 'demo-admin',
    client_secret: 'demo-admin-not-for-production',
  };
  const token = await fetch(`${url}/connect/token`, { method: 'POST', body: new URLSearchParams(form) });
  const authorization = `Bearer ${((await token.json()) as Json).access_token}`;
  return {
    child,
    async call(method: string, path: string, body?: object): Promise<Json> {
      const headers = { authorization, 'content-type': 'application/json' };
      const response = await fetch(`${url}/core/iam/v1${path}`, {
        method,
        headers,
        ...(body && { body: JSON.stringify(body) }),
      });
      return response.json();
    },
  };
}
