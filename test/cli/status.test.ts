// The command `status`: what a running sidecar knows, in words, as JSON and as an exit code.
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { requestText } from '../../src/cli/control.ts';
import { showStatus } from '../../src/cli/status-command.ts';
import { parseAddress } from '../../src/config/parsers.ts';
import { type AdminWorld, createAdminWorld } from '../support/admin-world.ts';
import { jsonLines, run } from '../support/cli.ts';
import { createFakeTerminal } from '../support/fake-terminal.ts';
import { TEST_SECRET } from '../support/sidecar.ts';
import { json } from '../support/token-server.ts';
import { createWorld, WORLD_SECRET } from '../support/world.ts';

const bare = (url: string) => url.replace('http://', '');
/** Nothing listens on the discard port. */
const DOWN = { routes: [{ path: '/api', upstream: 'http://127.0.0.1:9' }] };
const ESC = String.fromCharCode(27);
const PAINT = new RegExp(`${ESC}\\[\\d+m`, 'g');

/** At a terminal without colours. */
async function shown(adminUrl: string, isColoured = false) {
  const { stream, text } = createFakeTerminal(true);
  const terminal = isColoured ? stream : Object.assign(stream, { getColorDepth: () => 1 });
  const code = await showStatus(parseAddress(bare(adminUrl)), terminal, false);
  return { code, text: text() };
}

const call = ({ sidecar }: AdminWorld) => fetch(`${sidecar.url}/api/x`).then(({ status }) => status);

/** A route, and a time, as they stand in a regular expression. */
const AT = '\\d\\d:\\d\\d UTC';

describe('status at a terminal', () => {
  it('says that calls work, of each route, how long its token lasts, and what runs for how long', async () => {
    await using world = await createAdminWorld();
    expect(await call(world)).toBe(200);
    const { code, text } = await shown(world.sidecar.adminUrl);
    expect(code).toBe(0);
    expect(text).toMatch(
      new RegExp(
        `^Calls work\\.\n/api  works: calls get responses\ntoken of default \\(api\\): valid until (\\S+ )?${AT}\nversion \\S+, running for \\d+ s\n$`,
      ),
    );
  });

  it('warns and exits 0 while the token is valid and cannot be renewed', async () => {
    await using world = await createAdminWorld();
    expect(await call(world)).toBe(200);
    world.identity.answerWith(json(503, {}));
    // A reload goes on with the token there is, and asks for one of its own.
    const config = JSON.parse(readFileSync(world.sidecar.file, 'utf8')) as object;
    writeFileSync(world.sidecar.file, JSON.stringify({ ...config, token: { waitTimeout: '9s' } }));
    world.sidecar.reload();
    await expect
      .poll(() => shown(world.sidecar.adminUrl))
      .toEqual({
        code: 0,
        text: expect.stringMatching(
          new RegExp(
            `^Calls work, with a warning\\.\n/api  works, with a warning: the token is valid until (\\S+ )?${AT}, but its refresh fails: .* \\(since ${AT}\\)\n  → .+\n`,
          ),
        ),
      });
  });

  it('exits 5 while the credentials are refused, and says what to do', async () => {
    await using world = await createAdminWorld({}, json(401, { error: 'invalid_client' }));
    await expect
      .poll(() => shown(world.sidecar.adminUrl))
      .toEqual({
        code: 5,
        text: expect.stringMatching(
          new RegExp(`^Calls fail\\.\n/api  fails: .* \\(since ${AT}\\)\n  → .+\ntoken of default \\(api\\): none\n`),
        ),
      });
  });

  it('exits 7 after a call that did not reach the API, names its address, and lets other routes work', async () => {
    await using world = await createAdminWorld({
      routes: [...DOWN.routes, { path: '/else', upstream: 'http://127.0.0.1:9' }],
    });
    expect(await call(world)).toBe(502);
    const { code, text } = await shown(world.sidecar.adminUrl);
    expect(code).toBe(7);
    expect(text).toMatch(
      new RegExp(
        `^Calls fail on 1 of 2 routes\\.\n/api   fails: .*127\\.0\\.0\\.1:9.* \\(since ${AT}\\)\n  → .+\n/else  works: `,
      ),
    );
  });

  it('exits with what is most fundamental where several things fail', async () => {
    await using world = await createAdminWorld(DOWN);
    expect(await call(world)).toBe(502);
    world.identity.answerWith(json(401, { error: 'invalid_client' }));
    await world.admin('/token/refresh', { method: 'POST' });
    expect((await shown(world.sidecar.adminUrl)).code).toBe(5);
  });

  it('is coloured at a terminal that has colours, and says the same', async () => {
    await using world = await createAdminWorld();
    expect(await call(world)).toBe(200);
    const { text } = await shown(world.sidecar.adminUrl, true);
    const plain = await shown(world.sidecar.adminUrl);
    expect(text).toMatch(PAINT);
    expect(plain.text).not.toMatch(PAINT);
    const withoutTime = (words: string) => words.replace(/running for .*/, '');
    expect(withoutTime(text.replace(PAINT, ''))).toBe(withoutTime(plain.text));
  });

  it('shows what a terminal would obey, and no secret and no token', async () => {
    await using world = await createAdminWorld(DOWN);
    expect(await call(world)).toBe(502);
    const { text } = await shown(world.sidecar.adminUrl);
    for (const secret of [TEST_SECRET, 'token-1']) expect(text).not.toContain(secret);
    const status = (await world.admin('/status')).json();
    const [route] = status['routes'] as { verdict: object }[];
    const hostile = {
      ...route,
      path: `/${ESC}[2J`,
      verdict: { ...route?.verdict, message: `x${ESC}]0;y\nCalls work.`, since: `${ESC}` },
    };
    await using other = await startServer((_req, res) => res.end(JSON.stringify({ ...status, routes: [hostile] })));
    const lines = await shown(other.url);
    expect(lines.text).not.toContain(ESC);
    expect(lines.text).toContain('/\\u001b[2J  fails: x\\u001b]0;y\\u000aCalls work.');
  });
});

function* endless() {
  for (;;) yield 'x'.repeat(1 << 20);
}

async function startServer(listener: RequestListener) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

describe.concurrent('status elsewhere', () => {
  it('is one line of JSON, by address, socket or configuration file, without the secret', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const socket = `unix:${world.folder.path}/admin.sock`;
    const sidecar = await world.serve({
      admin: ['127.0.0.1:0', socket],
      audit: { file: `${world.folder.path}/audit.log`, whenFailing: 'refuse' },
    });
    await sidecar.untilStdout(/token obtained/);
    const file = world.folder.write('status.yaml', `admin: ${bare(sidecar.adminUrl)}\n`);
    for (const where of [
      ['--admin', bare(sidecar.adminUrl)],
      ['--admin', socket, '--json'],
      ['--config', file],
    ]) {
      const { code, stdout, stderr } = await run(['status', ...where]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(jsonLines(stdout)).toMatchObject([
        {
          verdict: { state: 'works', failing: 0 },
          routes: [{ path: '/api', verdict: { state: 'works', message: expect.stringMatching(/valid token/) } }],
          credentials: [{ name: 'default', tokens: [{ scope: 'api', state: 'fresh' }] }],
          audit: { file: `${world.folder.path}/audit.log`, whenFailing: 'refuse' },
        },
      ]);
      expect(stdout).not.toContain(WORLD_SECRET);
    }
    expect((await fetch(`${sidecar.url}/api/x`)).status).toBe(502);
    const { code, stdout } = await run(['status', '--admin', socket]);
    expect([code, jsonLines(stdout)]).toMatchObject([7, [{ verdict: { state: 'fails', failing: 1 } }]]);
  });

  it('exits 10 and says what to do where no sidecar runs', async () => {
    const { code, stdout } = await run(['status', '--admin', '127.0.0.1:9']);
    expect([code, jsonLines(stdout)]).toEqual([
      10,
      [
        {
          reachable: false,
          message: 'no sidecar responds at the admin address 127.0.0.1:9',
          fix: expect.stringMatching(/start the sidecar.*--admin/),
        },
      ],
    ]);
  });

  it.each<[string, RequestListener]>([
    ['another program', (_req, res) => res.writeHead(404).end('no')],
    ['a sidecar of an earlier version', (_req, res) => res.end('{"version":"0.1.0","routes":[]}')],
    ['something without end', (_req, res) => void pipeline(Readable.from(endless()), res).catch(() => undefined)],
    ['something that stops in the middle', (_req, res) => void res.writeHead(200).write('{')],
  ])('exits 10 and says so where %s responds', async (_what, listener) => {
    await using server = await startServer(listener);
    const { code, stdout } = await run(['status', '--admin', bare(server.url)]);
    expect([code, jsonLines(stdout)]).toMatchObject([
      10,
      [
        {
          reachable: false,
          message: expect.stringMatching(/^the response from \S+ \(HTTP \d+\) is not the status of a sidecar$/),
        },
      ],
    ]);
  });

  it('reads no more than any sidecar sends, however fast it comes', async () => {
    await using server = await startServer((_req, res) => res.end(Buffer.alloc(17 * 1024 * 1024)));
    const read = await requestText(parseAddress(bare(server.url)), '/status', 60_000);
    expect(read).toEqual({ status: 200, text: undefined });
  });

  it('exits 10 while the sidecar is stopping', async () => {
    const { stream } = createFakeTerminal(true);
    await using world = await createAdminWorld();
    const status = { ...(await world.admin('/status')).json(), draining: true };
    await using server = await startServer((_req, res) => res.end(JSON.stringify(status)));
    expect(await showStatus(parseAddress(bare(server.url)), stream, false)).toBe(10);
  });
});
