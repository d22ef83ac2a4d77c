// How the iam commands get to Aritma IAM: what they need of a configuration, whose token they use, and what they say when
// something else than IAM answers.
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { SidecarError } from '../../src/core/errors.ts';
import { jsonLines, run } from '../support/cli.ts';
import { body, bytes, type Fault, reset, status } from '../support/fault-server.ts';
import { COMPLETE_ENV, createFolder } from '../support/folder.ts';
import { startIamCli } from '../support/iam-cli.ts';
import { inTurn, problem, startIam } from '../support/iam-world.ts';

const LIST = ['iam', 'clients', 'list'];
const TOKEN = 'planted.admin-token_7f3a~Kq9==';

describe('iam commands and their configuration', () => {
  const iamUrl = (env: Readonly<Record<string, string>>, iamOnly = { ownToken: true }) => {
    const { iam } = loadConfig({ env, cwd: '/nonexistent', iamOnly }).config;
    return iam && iam.url.origin + iam.url.basePath;
  };

  it('need nothing but the environment’s name and a token', () => {
    expect(iamUrl({ ARITMA_ENVIRONMENT: 'emulator' })).toBe('http://127.0.0.1:7100/core/iam');
    expect(iamUrl({ ARITMA_ENVIRONMENT: 'dev' })).toBe('https://api.dev.aritma.io/core/iam');
    expect(iamUrl({ ARITMA_ENVIRONMENT: 'dev', ARITMA_IAM_URL: 'https://iam.example' })).toBe('https://iam.example');
  });

  it('take the credential that is named, else that of iam.credential, else default, and no other one', () => {
    using folder = createFolder();
    folder.write('secret', 'a-secret');
    const credential = '{ tokenEndpoint: "https://id.example/token", clientId: c, secrets: [{ file: secret }] }';
    const file = folder.write(
      'config.yaml',
      `iam: { url: https://iam.example, credential: admin }
listen: nonsense
bogus: true
credentials:
  default: ${credential}
  admin: ${credential}
  broken: { clientId: 7, secrets: [{ file: /nonexistent }] }
`,
    );
    const used = (credential?: string) => {
      const { config, secrets } = loadConfig({
        env: {},
        file,
        cwd: folder.path,
        iamOnly: { ownToken: false, credential },
      });
      return [config.iam?.credential, ...Object.keys(config.credentials), ...secrets.keys()];
    };
    expect(used()).toEqual(['admin', 'admin', 'admin']);
    expect(used('default')).toEqual(['default', 'default', 'default']);
    expect(() => used('broken')).toThrow(SidecarError);
    expect(loadConfig({ env: {}, file, cwd: folder.path, iamOnly: { ownToken: true } }).config.credentials).toEqual({});
  });

  it.each([
    [
      'nothing',
      {},
      [],
      /iam\.url is missing: .*ARITMA_IAM_URL.*--iam-url[\s\S]*credentials\.default .*ARITMA_CLIENT_ID.*--token-file/,
    ],
    [
      'an environment whose IAM nobody knows',
      { ...COMPLETE_ENV, ARITMA_ENVIRONMENT: 'prod' },
      [],
      /iam\.url is missing/,
    ],
    ['no credential', { ARITMA_ENVIRONMENT: 'emulator' }, [], /credentials\.default has no client id/],
    [
      'another credential than there is',
      COMPLETE_ENV,
      ['--credential', 'admin'],
      /credentials\.admin has no client id/,
    ],
    ['a URL that is none', COMPLETE_ENV, ['--iam-url', 'here'], /iam\.url/],
    ['http to another machine', COMPLETE_ENV, ['--iam-url', 'http://iam.example'], /iam\.url is http:/],
    ['a token file that does not exist', COMPLETE_ENV, ['--token-file', '/nonexistent'], /--token-file: .*ENOENT/],
    ['a token file that is a folder', COMPLETE_ENV, ['--token-file', '/'], /--token-file: .*EISDIR/],
    [
      'token and credential',
      COMPLETE_ENV,
      ['--token-file', 'f', '--credential', 'c'],
      /cannot be used with --credential/,
    ],
    ['an environment that is none', COMPLETE_ENV, ['--environment', 'moon'], /environment/],
  ] as const)('exit 2 and say what to set with %s', async (_what, env, words, hint) => {
    const { code, stdout, stderr } = await run([...LIST, ...words], { env });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(hint);
  });

  it('exit 5 when the identity server refuses the credential, 6 when it is away', async () => {
    await using world = await startIamCli();
    const wrong = { ...world.env, ARITMA_CLIENT_SECRET: 'wrong-secret' };
    const away = { ...world.env, ARITMA_TOKEN_ENDPOINT: 'http://127.0.0.1:1/connect/token' };
    const [refused, unreachable] = await Promise.all([run(LIST, { env: wrong }), run(LIST, { env: away })]);
    expect(refused).toMatchObject({ code: 5, stdout: '', stderr: expect.stringMatching(/^CREDENTIALS_REJECTED/) });
    expect(unreachable).toMatchObject({ code: 6, stdout: '', stderr: expect.stringMatching(/^TOKEN_UNAVAILABLE/) });
    expect(refused.stderr).not.toContain('wrong-secret');
  });

  it('explain themselves with --help', async () => {
    const commands = [
      [],
      ['clients'],
      ['clients', 'create'],
      ['secrets', 'create'],
      ['permissions'],
      ['policies', 'delete'],
    ];
    const all = await Promise.all(commands.map((words) => run(['iam', ...words, '--help'])));
    for (const { code, stdout, stderr } of all) {
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(/^Usage: aritma-sidecar iam/);
    }
  });
});

describe('iam commands with a token of an administrator’s own', () => {
  const list = async (fault: Fault, { content = `${TOKEN}\n`, mode = 0o600 } = {}) => {
    await using world = await startIam(fault);
    using folder = createFolder();
    const file = folder.write('token', content, mode);
    const url = `${new URL(world.server.url).origin}/core/iam`;
    const ended = await run([...LIST, '--token-file', file, '--iam-url', url]);
    return { ...ended, tokens: world.tokens() };
  };

  it('send it, without the line break behind it', async () => {
    const { code, stdout, stderr, tokens } = await list(body({ items: [{ clientId: 'c' }] }));
    expect({ code, stderr, tokens }).toEqual({ code: 0, stderr: '', tokens: [`Bearer ${TOKEN}`] });
    expect(jsonLines(stdout)).toEqual([{ clientId: 'c' }]);
  });

  it('warn when others can read it, and go on', async () => {
    const { code, stderr } = await list(body({ items: [] }), { mode: 0o644 });
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: other users can access the token file \(mode 644\); run chmod 600 on it\n$/);
  });

  it.each([
    ['is empty', '\n'],
    ['has two lines', 'a\nb\n'],
    ['says Bearer', `Bearer ${TOKEN}`],
    ['is JSON', `{"access_token":"${TOKEN}"}`],
    ['is larger than any token', 'a'.repeat(70_000)],
  ])('refuse a file that %s, without showing it or sending anything', async (_what, content) => {
    const { code, stdout, stderr, tokens } = await list(body({ items: [] }), { content });
    expect({ code, stdout, tokens }).toEqual({ code: 2, stdout: '', tokens: [] });
    expect(stderr).toMatch(/flag --token-file: /);
    expect(stderr).not.toContain('planted');
  });

  it('exit 8 at the first 401: there is no other token', async () => {
    const { code, stderr, tokens } = await list(problem(401, { title: `Token ${TOKEN} expired` }));
    expect({ code, tokens }).toEqual({ code: 8, tokens: [`Bearer ${TOKEN}`] });
    expect(stderr).toMatch(/^IAM_REFUSED: [\s\S]*status: 401/);
    expect(stderr).not.toMatch(/planted|7f3a|Kq9/);
  });

  it.each([
    ['a 403', problem(403, { detail: 'not an administrator' }), 8, /^IAM_REFUSED: [\s\S]*not an administrator/],
    ['a 500', status(500), 6, /^IAM_UNAVAILABLE/],
    ['a 429', status(429, '', { 'Retry-After': '5' }), 6, /^IAM_UNAVAILABLE/],
    ['a reset', reset, 6, /^IAM_UNAVAILABLE[\s\S]*(ECONNRESET|UND_ERR_SOCKET)/],
    ['a sign-in page', status(200, '<html>'), 6, /^IAM_INVALID[\s\S]*not JSON/],
    ['a redirect', status(302, '', { Location: 'https://elsewhere.example' }), 6, /^IAM_INVALID[\s\S]*redirect/],
    ['no content', bytes('HTTP/1.1 204 No Content\r\n\r\n'), 6, /^IAM_INVALID/],
    ['another program', body({ hello: 'world' }), 6, /^IAM_INVALID[\s\S]*no list/],
  ] as const)('exit as documented on %s', async (_what, fault, expected, hint) => {
    const { code, stdout, stderr } = await list(fault);
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
    expect(stderr).toMatch(hint);
    expect(stderr).not.toMatch(/planted| at .*\.ts:\d+/);
  });

  it('have printed what came before a page that fails, and exit 6', async () => {
    const items = Array.from({ length: 100 }, (_, index) => ({ clientId: `c-${index}` }));
    const first = body({ items, metadata: { page: 1, totalCount: 150 } });
    const { code, stdout, stderr } = await list(inTurn(first, status(503)));
    expect(code).toBe(6);
    expect(jsonLines(stdout)).toHaveLength(100);
    expect(stderr).toMatch(/^IAM_UNAVAILABLE/);
  });

  it('print names that would command a terminal as what they are', async () => {
    const name = 'a\u001b]0;owned\u0007b\u009b31mc\u202ed\u2028e\u{e0001}f';
    const { stdout } = await list(body({ items: [{ clientId: 'c', name }] }));
    expect(stdout).toMatch(/^[ -~]+\n$/);
    expect(jsonLines(stdout)).toEqual([{ clientId: 'c', name }]);
  });

  it('name what cannot be told apart in an error, and there too nothing reaches the terminal raw', async () => {
    const twins = ['\u001b[2J-1', '\u202e-2'].map((clientId) => ({ clientId, name: 'n', description: 'd' }));
    await using world = await startIam(inTurn(body({ items: [] }), status(200), body({ items: twins })));
    using folder = createFolder();
    const file = folder.write('token', TOKEN);
    const url = `${new URL(world.server.url).origin}/core/iam`;
    const words = ['clients', 'create', '--name', 'n', '--description', 'd', '--scope', 'api'];
    const { code, stdout, stderr } = await run(['iam', ...words, '--token-file', file, '--iam-url', url]);
    expect({ code, stdout }).toEqual({ code: 8, stdout: '' });
    expect(stderr).toMatch(/^IAM_CONFLICT: [\s\S]*ids: \\u001b\[2J-1, \\u202e-2\n/);
    expect(stderr).toMatch(/look: aritma-sidecar iam clients list/);
  });
});
