// The doctor at the command line: each thing that can be wrong has its exit code, its sentence and its advice.
import { afterAll, describe, expect, it } from 'vitest';
import { startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { jsonLines } from '../support/cli.ts';
import { createInside } from '../support/cli-inside.ts';
import { createFolder } from '../support/folder.ts';
import { startRawUpstream } from '../support/raw.ts';
import { grant, json, startTokenServer, type TokenAnswerer } from '../support/token-server.ts';

const inside = createInside();
const { run } = inside;
afterAll(() => inside[Symbol.asyncDispose]());

const SECRET = 'demo-secret-not-for-production';
/** Nothing listens on the discard port. */
const NOWHERE = 'http://127.0.0.1:9';

interface Target {
  readonly tokenEndpoint: string;
  readonly upstream: string;
  readonly secret?: string;
}

async function check({ tokenEndpoint, upstream, secret = SECRET }: Target, ...flags: string[]) {
  using folder = createFolder();
  const config = folder.write(
    'config.yaml',
    JSON.stringify({
      credentials: {
        default: { tokenEndpoint, clientId: DEMO_CLIENT.clientId, secrets: [{ env: 'S' }], scope: 'api' },
      },
      routes: [{ path: '/banking', upstream, allow: ['GET /**'] }],
      // Others on this machine may have the usual ones.
      listen: '127.0.0.1:0',
      admin: '127.0.0.1:0',
    }),
  );
  const ended = await run(['check', '--config', config, ...flags], { env: { S: secret } });
  const lines = jsonLines(ended.stdout);
  return { ...ended, findings: lines.slice(0, -1), last: lines.at(-1) };
}

async function startApi(answer: string) {
  const raw = await startRawUpstream((socket) => void socket.end(answer));
  return { url: raw.url, [Symbol.asyncDispose]: () => raw.close() };
}

async function startIdentity(answerer: TokenAnswerer) {
  const server = await startTokenServer();
  server.answerWith(answerer);
  return { url: server.url, [Symbol.asyncDispose]: () => server.close() };
}

const NO_CONTENT = 'HTTP/1.1 204 No Content\r\n\r\n';
/** The way to the API is looked at whatever becomes of the token, so an API that is down has a finding after it. */
const firstError = (findings: readonly Record<string, unknown>[]) =>
  findings.find(({ level }) => level === 'error') ?? {};

describe.concurrent('check', () => {
  it('exits 0 with a line for configuration, token and API when all is well', async () => {
    const emulator = await startEmulator({ port: 0 });
    try {
      const target = { tokenEndpoint: `${emulator.url}/connect/token`, upstream: `${emulator.url}/banking/api` };
      const { code, findings, stderr, last } = await check(target, '--json');
      expect(last).toEqual({
        subject: 'next step',
        exit: 0,
        next: expect.stringMatching(/^start it .* to http:\/\/127\.0\.0\.1:0\/banking$/),
      });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(findings.map(({ level, subject }) => `${level} ${subject}`)).toEqual([
        'ok configuration',
        'warning configuration',
        'ok listen 127.0.0.1:0',
        'ok admin 127.0.0.1:0',
        `ok network credential default → ${emulator.url}`,
        'ok token default (api)',
        `ok clock (${new URL(emulator.url).host})`,
        `ok network route /banking → ${emulator.url}`,
        `ok upstream /banking → ${emulator.url}/banking/api`,
      ]);
    } finally {
      await emulator.close();
    }
  });

  it('refuses --every without --watch, which would do nothing', async () => {
    const { code, stderr } = await run(['check', '--every', '1s']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('flag --every: needs --watch')]);
  });

  it('exits 5 on a wrong secret and says what to do', async () => {
    const emulator = await startEmulator({ port: 0 });
    try {
      const target = { tokenEndpoint: `${emulator.url}/connect/token`, upstream: NOWHERE, secret: 'CANARY-wrong' };
      const { code, findings, stdout, last } = await check(target);
      expect(code).toBe(5);
      expect(last).toMatchObject({
        exit: 5,
        option: 'credentials.default',
        next: expect.stringMatching(/^token default/),
      });
      expect(firstError(findings)).toMatchObject({
        level: 'error',
        code: 'CREDENTIALS_REJECTED',
        message: expect.stringMatching(/does not accept client id and secret/),
        fix: expect.stringMatching(/new secret/),
      });
      expect(stdout).not.toContain('CANARY');
    } finally {
      await emulator.close();
    }
  });

  it.each([
    ['unauthorized_client', /client_credentials/],
    ['invalid_scope', /allowedScopes/],
  ])('exits 5 on %s with advice of its own', async (error, fix) => {
    await using identity = await startIdentity(json(400, { error }));
    const { code, findings } = await check({ tokenEndpoint: identity.url, upstream: NOWHERE });
    expect(code).toBe(5);
    expect(firstError(findings)['fix']).toMatch(fix);
  });

  it('exits 6 when nothing listens at the token endpoint', async () => {
    const { code, findings } = await check({ tokenEndpoint: `${NOWHERE}/token`, upstream: NOWHERE });
    expect(code).toBe(6);
    expect(firstError(findings)).toMatchObject({
      code: 'TOKEN_UNAVAILABLE',
      message: expect.stringMatching(/nothing listens/),
    });
  });

  it('exits 6 when the host of the token endpoint has no address', async () => {
    const { code, findings } = await check({ tokenEndpoint: 'https://nobody.invalid/token', upstream: NOWHERE });
    expect(code).toBe(6);
    expect(firstError(findings)['message']).toMatch(/cannot resolve|not available|in time/);
  });

  it.each<[string, TokenAnswerer, RegExp]>([
    ['a web page', (res) => res.end('<html>CANARY</html>'), /not_json/],
    ['a redirect', (res) => res.writeHead(302, { Location: 'https://CANARY' }).end(), /redirect/],
    ['no token in it', json(200, { hello: 'CANARY' }), /bad_token/],
    ['an error nobody knows', json(400, { error: 'CANARY' }), /oauth_other/],
    ['a server error', json(500, { error: 'CANARY' }), /500/],
    ['a path that does not exist', json(404, { error: 'CANARY' }), /nothing at this path/],
  ])('exits 6 when the token endpoint answers with %s, and repeats nothing of it', async (_what, answerer, message) => {
    await using identity = await startIdentity(answerer);
    const { code, findings, stdout } = await check({ tokenEndpoint: identity.url, upstream: NOWHERE });
    expect(code).toBe(6);
    expect(firstError(findings)['message']).toMatch(message);
    expect(stdout).not.toContain('CANARY');
  });

  it('advises on the server, not on client id and scope, when the server is what fails', async () => {
    await using identity = await startIdentity(json(503, {}));
    const { findings } = await check({ tokenEndpoint: identity.url, upstream: NOWHERE });
    expect(firstError(findings)['fix']).not.toMatch(/clientId|scope/);
  });

  it('exits 7 when the API cannot be reached', async () => {
    await using identity = await startIdentity(grant('CANARY-token'));
    const { code, findings, stdout } = await check({ tokenEndpoint: identity.url, upstream: NOWHERE });
    expect(code).toBe(7);
    expect(firstError(findings)).toMatchObject({
      code: 'UPSTREAM_UNREACHABLE',
      message: expect.stringMatching(/ECONNREFUSED/),
    });
    expect(stdout).not.toContain('CANARY');
  });

  it('exits 7 when the API answers the token with 401', async () => {
    await using identity = await startIdentity(grant('CANARY-token'));
    await using api = await startApi('HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\n\r\nCANARY');
    const { code, findings, stdout } = await check({ tokenEndpoint: identity.url, upstream: api.url });
    expect(code).toBe(7);
    expect(firstError(findings)).toMatchObject({ code: 'UPSTREAM_REFUSED_TOKEN', fix: expect.stringMatching(/scope/) });
    expect(stdout).not.toContain('CANARY');
  });

  it('exits 0 when the API answers anything else, for its root path is its own affair', async () => {
    await using identity = await startIdentity(grant('token'));
    for (const answer of [NO_CONTENT, 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n']) {
      await using api = await startApi(answer);
      expect((await check({ tokenEndpoint: identity.url, upstream: api.url })).code).toBe(0);
    }
  });

  it('leaves the APIs alone with --no-upstream', async () => {
    await using identity = await startIdentity(grant('token'));
    const { code, findings } = await check({ tokenEndpoint: identity.url, upstream: NOWHERE }, '--no-upstream');
    expect(code).toBe(0);
    expect(findings.filter(({ subject }) => /upstream|route/.test(String(subject)))).toEqual([]);
    expect(findings.filter(({ subject }) => subject === 'token default (api)')).toHaveLength(1);
  });

  it('exits 2 on an invalid configuration with one line for each problem', async () => {
    using folder = createFolder();
    const config = folder.write('config.yaml', 'bogus: CANARY\nlisten: CANARY\nenvironment: dev\n');
    const env = { ARITMA_CLIENT_ID: 'x', ARITMA_CLIENT_SECRET: 'y' };
    const { code, stdout, stderr } = await run(['check', '--config', config, '--json'], { env });
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' });
    expect(jsonLines(stdout).map(({ subject }) => subject)).toEqual(
      expect.arrayContaining([`configuration ${config}:1`, `configuration ${config}:2`]),
    );
    expect(stdout).not.toContain('CANARY');
  });
});
