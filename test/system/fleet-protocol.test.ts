/** Sidecars that share a real store: who asks the identity server, and what somebody who reads the store can see. */

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { createFolder, type Folder } from '../support/folder.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { describeWithRedis } from '../support/redis-worlds.ts';
import { startTestSidecar, type TestSidecar, type TestSidecarOptions } from '../support/sidecar.ts';
import { grant, json, startTokenServer, type TokenServer } from '../support/token-server.ts';
import { until } from '../support/until.ts';
import { type SeenRequest, startUpstream } from '../support/upstream.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const UNAUTHORIZED =
  'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n';

interface World {
  readonly redis: RedisServer;
  readonly tokens: TokenServer;
  readonly folder: Folder;
  /** Starts sidecars at once. @param keys names of their keys, in order */
  start(count: number, options?: Partial<TestSidecarOptions>, keys?: readonly string[]): Promise<TestSidecar[]>;
}

async function createWorld(redis: RedisServer): Promise<World> {
  const [tokens, upstream, folder] = [await startTokenServer(), await startUpstream(() => OK), createFolder()];
  const sidecars: TestSidecar[] = [];
  onTestFinished(async () => {
    await Promise.all(sidecars.map((sidecar) => sidecar.stop()));
    await Promise.all([tokens.close(), upstream[Symbol.asyncDispose]()]);
    folder[Symbol.dispose]();
  });
  const files = new Map<string, string>();
  const fileOf = (name: string) => {
    const file = files.get(name) ?? folder.write(`key-${name}`, randomBytes(32).toString('base64url'));
    files.set(name, file);
    return { file };
  };
  return {
    ...{ redis, tokens, folder },
    async start(count, options = {}, keys = ['one']) {
      // Longer than a busy machine takes: without the store, each member asks for a token of its own.
      const fleet = { url: `redis://127.0.0.1:${redis.port}`, keys: keys.map(fileOf), timeout: '5s' };
      const one = { upstream: upstream.url, tokenEndpoint: tokens.url, ...options };
      const config = { token: { attemptTimeout: '1s' }, ...one.config, fleet };
      const started = await Promise.all(Array.from({ length: count }, () => startTestSidecar({ ...one, config })));
      sidecars.push(...started);
      return started;
    },
  };
}

/** Statuses of one call through each. */
async function callAll(sidecars: readonly TestSidecar[]): Promise<number[]> {
  const responses = await Promise.all(
    sidecars.map(({ url }) => fetch(`${url}/api/x`, { signal: AbortSignal.timeout(20_000) })),
  );
  return Promise.all(responses.map(async (response) => response.arrayBuffer().then(() => response.status)));
}

/** Names of the tokens in the store, which has each a little after the callers have their answers. */
async function stored(redis: RedisServer, count = 1): Promise<readonly string[]> {
  let names: readonly string[] = [];
  await until(`the store has ${count} tokens`, async () => {
    names = (await redis.ask('KEYS', '*:token')).split('\n').filter(Boolean);
    return names.length === count;
  });
  return names;
}

const allFine = (sidecars: readonly TestSidecar[]) => sidecars.map(() => 200);

describeWithRedis('sidecars that share a store', () => {
  it('that start together send one token request, and later ones none, also after FLUSHALL of what others hold', async () => {
    await using redis = await startRedis();
    const world = await createWorld(redis);
    const sidecars = await world.start(12);
    expect(await callAll(sidecars)).toEqual(allFine(sidecars));
    const more = await world.start(2);
    expect(await callAll(more)).toEqual(allFine(more));
    expect(world.tokens.calls).toHaveLength(1);
    await redis.ask('FLUSHALL');
    expect(await callAll(sidecars)).toEqual(allFine(sidecars));
    expect(world.tokens.calls).toHaveLength(1);
  });

  it('wait for a lock whose holder was killed, and one of them fetches', async () => {
    await using redis = await startRedis();
    const world = await createWorld(redis);
    await world.start(1).then(callAll);
    const [token = ''] = await stored(redis);
    await redis.ask('DEL', token);
    await redis.ask('SET', token.replace(':token', ':lock'), 'killed:1', 'PX', '1500');
    const sidecars = await world.start(6);
    expect(await callAll(sidecars)).toEqual(allFine(sidecars));
    expect(world.tokens.calls).toHaveLength(2);
  });

  it('refuse what somebody else puts there, use their own, and overwrite it', async () => {
    await using redis = await startRedis();
    const world = await createWorld(redis);
    await world.start(1).then(callAll);
    const [token = ''] = await stored(redis);
    const planted = `${Date.now() + 60_000}:eyJhbGciOiJkaXIifQ..a.b.c`;
    await redis.ask('SET', token, planted, 'PX', '60000');
    const [second] = await world.start(1);
    expect(await callAll([second as TestSidecar])).toEqual([200]);
    expect(world.tokens.calls).toHaveLength(2);
    await until('overwritten', async () => (await redis.ask('GET', token)) !== planted);
    const third = await world.start(1);
    expect(await callAll(third)).toEqual([200]);
    expect(world.tokens.calls).toHaveLength(2);
  });

  it('serve a call when both its token and the newer one of another member have been revoked meanwhile', async () => {
    await using redis = await startRedis();
    const world = await createWorld(redis);
    const revoked = new Set<string>();
    const held = Promise.withResolvers<SeenRequest>();
    const tokenOf = ({ fields }: SeenRequest) => fields.find(([name]) => /^authorization$/i.test(name))?.[1] ?? '';
    const answer = (request: SeenRequest) => {
      if (revoked.has(tokenOf(request))) return UNAUTHORIZED;
      if (request.method !== 'POST' || revoked.size > 0) return OK;
      held.resolve(request);
      return undefined;
    };
    await using api = await startUpstream(answer);
    const [one, other] = (await world.start(2, { upstream: api.url })) as [TestSidecar, TestSidecar];
    expect(await callAll([one, other])).toEqual([200, 200]);
    const paid = fetch(`${one.url}/api/x`, { method: 'POST', body: 'a payment' });
    const first = await held.promise;
    await fetch(`${other.adminUrl}/token/refresh`, { method: 'POST' });
    await until('the newer token has arrived', async () => {
      await callAll([one]);
      return tokenOf(api.requests.at(-1) as SeenRequest) !== tokenOf(first);
    });
    for (const request of api.requests) revoked.add(tokenOf(request));
    first.socket.write(UNAUTHORIZED);
    expect((await paid).status).toBe(200);
    const tries = api.requests.filter(({ method }) => method === 'POST').map(tokenOf);
    expect([tries.length, new Set(tries).size, world.tokens.calls.length]).toEqual([3, 3, 3]);
    // Its own is not tried again: the API refuses them all.
    revoked.add(tries[2] ?? '');
    for (const more of ['token-4', 'token-5', 'token-6']) revoked.add(`Bearer ${more}`);
    const refused = await fetch(`${one.url}/api/x`, { method: 'POST', body: 'another payment' });
    expect(refused.status).toBe(401);
    expect(api.requests.filter(({ method }) => method === 'POST')).toHaveLength(5);
  });

  it('with keys [old], [new, old] and [new] in a row send one token request', async () => {
    await using redis = await startRedis();
    const world = await createWorld(redis);
    const names = new Set<string>();
    for (const keys of [['old'], ['new', 'old'], ['old'], ['new', 'old'], ['new'], ['new']]) {
      const sidecars = await world.start(1, {}, keys);
      expect(await callAll(sidecars)).toEqual([200]);
      names.add(keys[0] ?? '');
      await stored(redis, names.size);
    }
    expect(world.tokens.calls).toHaveLength(1);
  });
});

const PLANTED = {
  token: 'planted-token-which-nobody-may-read',
  secret: 'planted-secret-which-nobody-may-read',
  client: 'planted-client-id',
  scope: 'planted-scope',
  // As a member writes it: a short name alone occurs in any text.
  host: `"host":"${hostname()}"`,
  path: '/connect/token',
} as const;

/** What is found, as it is or in base64. */
function found(bytes: Buffer): string[] {
  const text = bytes.toString('latin1');
  const parts = (text.match(/[A-Za-z0-9_+/-]{16,}/g) ?? []).map((part) =>
    Buffer.from(part, 'base64').toString('latin1'),
  );
  const all = [text, ...parts].join('\n');
  return Object.entries(PLANTED).flatMap(([what, value]) => {
    // MONITOR puts a backslash before each quote.
    const written = [value, value.replaceAll('"', '\\"')];
    const forms = [...written, Buffer.from(value).toString('hex'), Buffer.from(value).toString('base64url')];
    return forms.some((form) => all.includes(form)) ? [what] : [];
  });
}

const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());

/** Everything that the store shows and writes. */
async function recordOf(redis: RedisServer, folder: Folder) {
  const monitor = spawn('redis-cli', ['-p', String(redis.port), 'MONITOR'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const shown: Buffer[] = [];
  monitor.stdout.on('data', (chunk: Buffer) => shown.push(chunk));
  await once(monitor.stdout, 'data');
  onTestFinished(async () => {
    if (monitor.exitCode !== null) return;
    monitor.kill();
    await once(monitor, 'exit');
  });
  let marks = 0;
  return async () => {
    // MONITOR is another process: what it has seen arrives a little later, in order.
    marks += 1;
    await redis.ask('ECHO', `mark-${marks}-`);
    await until('MONITOR has shown all', () => Buffer.concat(shown).includes(`mark-${marks}-`));
    const dump = join(folder.path, 'dump.rdb');
    await redis.ask('--rdb', dump);
    const [, written = ''] = (await redis.ask('CONFIG', 'GET', 'dir')).split('\n');
    const logs = filesIn(join(written, 'appendonlydir')).map((entry) =>
      readFileSync(join(entry.parentPath, entry.name)),
    );
    return { dump: readFileSync(dump), monitor: Buffer.concat(shown), log: Buffer.concat(logs) };
  };
}

describeWithRedis('the store', () => {
  it('never shows token, secret, client id, scope or host: not in a dump, in MONITOR or in its append-only file', async () => {
    await using redis = await startRedis({
      args: [
        '--appendonly',
        'yes',
        '--appendfsync',
        'always',
        '--rdbcompression',
        'no',
        '--repl-diskless-sync-delay',
        '0',
      ],
    });
    const world = await createWorld(redis);
    const read = await recordOf(redis, world.folder);
    const credential = { scope: PLANTED.scope };
    const options = { clientId: PLANTED.client, secret: PLANTED.secret, credential };
    world.tokens.answerWith(json(400, { error: 'invalid_client' }));
    await world.start(2, options);
    await until('a verdict', async () => (await redis.ask('KEYS', '*verdict*')) !== '');
    world.tokens.answerWith(grant(PLANTED.token));
    // Another secret: not told no.
    const sidecars = await world.start(3, { ...options, secret: `${PLANTED.secret}-2` }, ['one']);
    expect(await callAll(sidecars)).toEqual(allFine(sidecars));
    const taken = await world.start(2, { ...options, secret: `${PLANTED.secret}-2` }, ['two', 'one']);
    expect(await callAll(taken)).toEqual(allFine(taken));
    const record = await read();
    for (const [where, bytes] of Object.entries(record)) {
      expect(bytes.toString('latin1'), where).toContain(':token');
      expect(found(bytes), where).toEqual([]);
    }
    // The control: what is put there unsealed is seen in each.
    await redis.ask('SET', 'control', Object.values(PLANTED).join(' '));
    for (const bytes of Object.values(await read())) expect(found(bytes)).toEqual(Object.keys(PLANTED));
  });
});
