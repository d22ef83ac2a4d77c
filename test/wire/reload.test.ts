/** Configuration and secrets changed while callers go on: what takes effect, what keeps serving, what is refused. */
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Agent, request } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { answerAfterHead, ok, type RawUpstream, startRawUpstream } from '../support/raw.ts';
import { startTestSidecar, TEST_SECRET, type TestSidecar, type TestSidecarOptions } from '../support/sidecar.ts';
import { grant, json, startTokenServer, type TokenServer } from '../support/token-server.ts';

const NEXT_SECRET = 'canary-secret-4712-never-printed';

interface World {
  readonly tokens: TokenServer;
  readonly upstream: RawUpstream;
  readonly sidecar: TestSidecar;
  /** Secrets the server accepts; tokens say which one they were got with. */
  readonly accepted: Set<string>;
  call(path?: string): Promise<number>;
  /** The last token the API saw. */
  token(): string | undefined;
  status(): Promise<Record<string, unknown>>;
}

async function createWorld(options: Partial<TestSidecarOptions> = {}): Promise<World> {
  const tokens = await startTokenServer();
  const accepted = new Set([TEST_SECRET]);
  tokens.answerWith((res, call, count) => {
    const secret = call.form.get('client_secret') ?? '';
    const known = accepted.has(secret);
    (known ? grant(`${secret === TEST_SECRET ? 'old' : 'new'}-${count}`) : json(400, { error: 'invalid_client' }))(
      res,
      call,
      count,
    );
  });
  const upstream = await startRawUpstream(answerAfterHead(ok('hello')));
  const sidecar = await startTestSidecar({ upstream: upstream.url, tokenEndpoint: tokens.url, ...options });
  const callers = new Agent();
  onTestFinished(async () => {
    await callers.destroy();
    await sidecar.stop();
    await Promise.all([upstream.close(), tokens.close()]);
  });
  return {
    tokens,
    upstream,
    sidecar,
    accepted,
    async call(path = '/api/x') {
      const answer = await request(sidecar.url + path, { dispatcher: callers });
      await answer.body.dump();
      return answer.statusCode;
    },
    token() {
      // Only the ends: under load the whole is megabytes.
      const last = upstream.received.map((all) => /Authorization: Bearer (\S+)/.exec(all.slice(-400))?.[1]);
      return last.find((token) => token?.startsWith('new-')) ?? last.at(-1);
    },
    status: async () => (await fetch(`${sidecar.adminUrl}/status`)).json() as Promise<Record<string, unknown>>,
  };
}

/** Calls at that rate whatever the answers take: what is late is caught up with. */
function startLoad(perSecond: number, call: () => Promise<number>) {
  const startedAt = performance.now();
  const elapsedS = () => (performance.now() - startedAt) / 1000;
  const calls: Promise<number>[] = [];
  const catchUp = () => {
    while (calls.length < elapsedS() * perSecond) calls.push(call());
  };
  const timer = setInterval(catchUp, 5);
  return {
    async stop() {
      clearInterval(timer);
      catchUp();
      const seconds = elapsedS();
      return { statuses: await Promise.all(calls), perSecond: calls.length / seconds };
    },
  };
}

async function secretsInUse(world: World): Promise<string[]> {
  const { credentials } = (await world.status()) as { credentials: { secrets: { name: string; inUse: boolean }[] }[] };
  return credentials.flatMap(({ secrets }) => secrets.filter(({ inUse }) => inUse).map(({ name }) => name));
}

/** Until the API sees a token got with the new secret. */
async function newTokenSeen(world: World): Promise<void> {
  await expect
    .poll(
      async () => {
        expect(await world.call()).toBe(200);
        return world.token();
      },
      { interval: 50 },
    )
    .toMatch(/^new-/);
}

describe('a changed secret file', () => {
  it.each([
    ['written in place', (file: string) => writeFileSync(file, `${NEXT_SECRET}\n`)],
    [
      'renamed over',
      (file: string) => {
        writeFileSync(`${file}.tmp`, NEXT_SECRET, { mode: 0o600 });
        renameSync(`${file}.tmp`, file);
      },
    ],
  ])('is used at once when %s, without a failed request', async (_how, write) => {
    const world = await createWorld();
    expect(await world.call()).toBe(200);
    expect(world.token()).toBe('old-1');
    world.accepted.add(NEXT_SECRET);
    write(world.sidecar.secretFile);
    await newTokenSeen(world);
    expect(world.sidecar.rawLogs.join('')).not.toContain('never-printed');
  });

  it('is used when Kubernetes swaps the ..data link of a mounted secret', async () => {
    const world = await createWorld();
    const folder = dirname(world.sidecar.secretFile);
    const version = (name: string, value: string) => {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'secret'), value, { mode: 0o600 });
    };
    version('..1', TEST_SECRET);
    symlinkSync('..1', join(folder, '..data'));
    unlinkSync(world.sidecar.secretFile);
    symlinkSync(join('..data', 'secret'), world.sidecar.secretFile);
    expect(await world.call()).toBe(200);
    world.accepted.add(NEXT_SECRET);
    version('..2', NEXT_SECRET);
    symlinkSync('..2', join(folder, '..data_tmp'));
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    await newTokenSeen(world);
  });

  it('keeps the secret it replaces in use while the server does not know the new one, loudly, and takes over when it does', async () => {
    const world = await createWorld();
    expect(await world.call()).toBe(200);
    writeFileSync(world.sidecar.secretFile, NEXT_SECRET);
    world.sidecar.reload();
    await expect.poll(() => world.tokens.calls.length).toBe(3);
    const refreshed = async () => {
      await world.call();
      return world.token();
    };
    await expect.poll(refreshed).toBe('old-3');
    expect(world.sidecar.logs).toContainEqual(
      expect.objectContaining({ level: 'error', message: 'secret refused by the identity server', secret: '1' }),
    );
    expect(await secretsInUse(world)).toEqual(['replaced']);
    world.accepted.add(NEXT_SECRET);
    // The refusal backs off for a minute; an operator who asks again does not wait for it.
    world.sidecar.reload();
    await newTokenSeen(world);
    expect(await secretsInUse(world)).toEqual(['1']);
    // It is forgotten now: refused, the new one has nothing to fall back to.
    world.accepted.delete(NEXT_SECRET);
    const before = world.tokens.calls.length;
    world.sidecar.reload();
    await expect.poll(() => world.tokens.calls.length).toBe(before + 1);
    expect(world.tokens.calls.at(-1)?.form.get('client_secret')).toBe(NEXT_SECRET);
  });

  it.each([
    ['emptied', (file: string) => writeFileSync(file, '')],
    ['removed', (file: string) => rmSync(file)],
    ['broken over several lines', (file: string) => writeFileSync(file, 'one\ntwo\n')],
  ])('changes nothing when it is %s, which log, metric and status say loudly', async (_how, breakIt) => {
    const world = await createWorld();
    expect(await world.call()).toBe(200);
    breakIt(world.sidecar.secretFile);
    const reload = async () =>
      (await world.status())['lastReload'] as { result: string; problems: string[] } | undefined;
    await expect.poll(async () => (await reload())?.result).toBe('invalid');
    expect((await reload())?.problems.join()).toMatch(/credentials\.default\.secrets\.0 the secret file/);
    expect(await world.call()).toBe(200);
    expect(world.tokens.calls).toHaveLength(1);
    const refused = world.sidecar.logs.filter(
      ({ level, message }) => level === 'error' && /last good/.test(String(message)),
    );
    expect(refused.length).toBeGreaterThan(0);
    const metrics = await (await fetch(`${world.sidecar.adminUrl}/metrics`)).text();
    expect(metrics).toMatch(/config_reloads_total\{result="invalid"\} [1-9]/);
    expect(metrics).toContain('config_generation 1');
  });

  it('is rotated under 200 requests a second without a failed one: add the second, swap the file, remove the first', async () => {
    const world = await createWorld({ config: { log: { level: 'info' } } });
    const load = startLoad(200, () => world.call());
    world.accepted.add(NEXT_SECRET);
    writeFileSync(world.sidecar.secretFile, NEXT_SECRET);
    await expect.poll(() => world.token()).toMatch(/^new-/);
    world.accepted.delete(TEST_SECRET);
    world.sidecar.reload();
    await expect.poll(() => world.tokens.calls.length).toBeGreaterThan(2);
    const { statuses, perSecond } = await load.stop();
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(perSecond).toBeGreaterThanOrEqual(199);
  });
});

describe('a changed configuration file', () => {
  it('brings new routes in and takes old ones out without a restart', async () => {
    const world = await createWorld();
    expect([await world.call('/api/x'), await world.call('/other/x')]).toEqual([200, 404]);
    const config = readFileSync(world.sidecar.file, 'utf8').replace('"/api"', '"/other"');
    writeFileSync(world.sidecar.file, config);
    await expect.poll(() => world.call('/other/x')).toBe(200);
    expect(await world.call('/api/x')).toBe(404);
    expect(await world.status()).toMatchObject({ generation: 2, lastReload: { result: 'ok', problems: [] } });
  });

  it('keeps the last good one when it is not valid, and says what is wrong', async () => {
    const world = await createWorld();
    writeFileSync(world.sidecar.file, 'routes: nonsense\n');
    world.sidecar.reload();
    expect(await world.call()).toBe(200);
    expect(await world.status()).toMatchObject({ generation: 1, lastReload: { result: 'invalid' } });
  });

  it('lets a running request finish on the configuration it began with', async () => {
    let answer: (() => void) | undefined;
    const slow = await startRawUpstream((socket, received) => {
      if (received.endsWith('\r\n\r\n')) answer = () => socket.write(ok('late'));
    });
    onTestFinished(slow.close);
    const world = await createWorld({ upstream: slow.url });
    const running = world.call('/api/slow');
    await slow.until((received) => received.join('').includes('/slow'));
    writeFileSync(world.sidecar.file, readFileSync(world.sidecar.file, 'utf8').replace('"/api"', '"/other"'));
    world.sidecar.reload();
    expect(await world.call('/api/x')).toBe(404);
    answer?.();
    expect(await running).toBe(200);
  });
});
