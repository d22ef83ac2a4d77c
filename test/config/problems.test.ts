// What an operator reads when a configuration is wrong: all of it at once, each with its place and what is allowed.
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMPLETE_ENV, createFolder, load, problemsOf } from '../support/folder.ts';

const ENV = COMPLETE_ENV;

/** A valid file by itself, so that every problem found is the planted one. */
const CREDENTIAL =
  'credentials: { default: { tokenEndpoint: https://id.example/token, clientId: x, secrets: [{ env: S }] } }';
const FILE_ENV = { S: 'secret-by-environment' };

const BROKEN = `environment: dev
bogus: 1
listen: [127.0.0.1:7080, nonsense]
credentials:
  default:
    clientId: ""
    clientSecret: x
    auth: none
    scope: "two  spaces"
    secrets:
      - path: /x
routes:
  - path: /banking/
    upstreams: https://x
    allow: ["get /x"]
callers: { host: x }
token: { attemptTimeout: 5 }
timeouts: { connect: 5 seconds }
limits: { replayBody: 64kb, upstreamConnections: 0 }
drain: { maximum: 1s }
log: { level: loud }
unsafe: { plainTextHttp: "yes" }
`;

describe('config/problems', () => {
  it('names every problem of a file at once, each with its path and line', () => {
    using folder = createFolder();
    const found = problemsOf(folder, { yaml: BROKEN }).map(({ where, path }) => `${where} ${path}`);
    expect([...new Set(found)].sort()).toEqual(
      [
        'config.yaml:2 bogus',
        'config.yaml:3 listen.1',
        'config.yaml:6 credentials.default.clientId',
        'config.yaml:7 credentials.default.clientSecret',
        'config.yaml:8 credentials.default.auth',
        'config.yaml:9 credentials.default.scope',
        'config.yaml:11 credentials.default.secrets.0',
        'config.yaml:11 credentials.default.secrets.0.path',
        'config.yaml:13 routes.0.path',
        'config.yaml:13 routes.0.upstream',
        'config.yaml:14 routes.0.upstreams',
        'config.yaml:15 routes.0.allow.0',
        'config.yaml:16 callers.host',
        'config.yaml:17 token.attemptTimeout',
        'config.yaml:18 timeouts.connect',
        'config.yaml:19 limits.replayBody',
        'config.yaml:19 limits.upstreamConnections',
        'config.yaml:20 drain.maximum',
        'config.yaml:21 log.level',
        'config.yaml:22 unsafe.plainTextHttp',
      ].sort(),
    );
  });

  it('says of an unknown option what is allowed at that place', () => {
    using folder = createFolder();
    const messages = new Map(problemsOf(folder, { yaml: BROKEN }).map(({ path, message }) => [path, message]));
    expect(messages.get('bogus')).toMatch(/unknown option; allowed here: environment, listen, admin, credentials/);
    expect(messages.get('credentials.default.clientSecret')).toMatch(
      /allowed here: .*clientId, auth, secrets, assertion, scope/,
    );
    expect(messages.get('credentials.default.secrets.0.path')).toMatch(/allowed here: file, env, exec, kid, alg$/);
    expect(messages.get('routes.0.upstreams')).toMatch(/allowed here: path, upstream, credential/);
    expect(messages.get('drain.maximum')).toMatch(/allowed here: minimum, limit$/);
    expect(messages.get('auth') ?? messages.get('credentials.default.auth')).toMatch(/client_secret_post/);
    expect(messages.get('log.level')).toMatch(/debug.*info.*warn.*error.*silent/);
    expect(messages.get('timeouts.connect')).toMatch(/500ms, 30s/);
    expect(messages.get('limits.replayBody')).toMatch(/64KiB/);
  });

  it.each([
    ['credentails: {}\n', 'credentails', /^unknown option \(did you mean credentials\?\); allowed here: environment, /],
    ['timeouts: { conect: 5s }\n', 'timeouts.conect', /^unknown option \(did you mean connect\?\); allowed here: /],
    ['token_endpoint: x\n', 'token_endpoint', /^unknown option; allowed here/],
    ['clientId: x\n', 'clientId', /^unknown option \(it belongs elsewhere: credentials\.<name>\.clientId\)/],
    ['replayBody: 1KiB\n', 'replayBody', /^unknown option \(it belongs elsewhere: limits\.replayBody\)/],
    ['drain: { maximum: 1s }\n', 'drain.maximum', /^unknown option; allowed here: minimum, limit$/],
  ])('says of the unknown option in %j which one or where was meant', (yaml, path, message) => {
    using folder = createFolder();
    expect(problemsOf(folder, { yaml })).toContainEqual(
      expect.objectContaining({ path, message: expect.stringMatching(message) }),
    );
  });

  it('finds unsafe addresses and missing secrets also where other options are wrong', () => {
    using folder = createFolder();
    const yaml = `environment: dev
bogus: 1
listen: 0.0.0.0:7080
credentials: { default: { clientId: x, secrets: [{ file: ./missing }] } }
routes:
  - { path: /a, upstream: "http://api.example" }
  - { path: /a, upstream: "https://api.example", credential: other }
`;
    const found = problemsOf(folder, { yaml }).map(({ where, path }) => `${where} ${path}`);
    expect(found.sort()).toEqual([
      'config.yaml:2 bogus',
      'config.yaml:3 listen.0',
      'config.yaml:4 credentials.default.secrets.0',
      'config.yaml:6 routes.0.upstream',
      'config.yaml:7 routes.1.credential',
      'config.yaml:7 routes.1.path',
    ]);
  });

  it.each([
    ['a flag', {}, { '--banking-url': 'nope' }, 'flag --banking-url'],
    ['a variable', { ARITMA_EVENTS_URL: 'nope' }, {}, 'environment variable ARITMA_EVENTS_URL'],
    ['a variable', { ARITMA_LISTEN: '127.0.0.1' }, {}, 'environment variable ARITMA_LISTEN'],
    ['a variable', { ARITMA_LOG_LEVEL: 'loud' }, {}, 'environment variable ARITMA_LOG_LEVEL'],
    ['a variable', { ARITMA_ENVIRONMENT: 'staging' }, {}, 'environment variable ARITMA_ENVIRONMENT'],
    ['a flag over a variable', { ARITMA_ADMIN: 'x' }, { '--admin': 'y' }, 'flag --admin'],
  ])('names %s as the place of what it brought in', (_what, env, flags, where) => {
    using folder = createFolder();
    const problems = problemsOf(folder, { env: { ...ENV, ...env }, flags, yaml: 'log: {}\n' });
    expect(problems.map((problem) => problem.where)).toContain(where);
  });

  it('refuses a glob with more than eight wildcards, and counts none of the method', () => {
    using folder = createFolder();
    const allow = (glob: string) => `bogus: 1
${CREDENTIAL}
routes: [{ path: /x, upstream: "https://x.example", allow: ["* ${glob}"] }]
`;
    const found = (glob: string) =>
      problemsOf(folder, { yaml: allow(glob), env: FILE_ENV }).map(({ path, message }) => `${path} ${message}`);
    expect(found('/**/a/*/b/*/c/*/*-*-*/**')).toEqual([expect.stringContaining('bogus')]);
    expect(found('/**/a/*/b/*/c/*/*-*-*/**x*')).toEqual([
      expect.stringMatching(/^routes\.0\.allow\.0 .*at most 8/),
      expect.stringContaining('bogus'),
    ]);
  });

  it('tells a newcomer with nothing configured what to begin with', () => {
    using folder = createFolder();
    expect(problemsOf(folder, {})).toEqual([
      expect.objectContaining({ path: 'routes', message: expect.stringMatching(/environment/) }),
    ]);
  });

  it('says in words what type is wanted, not in those of a programming language', () => {
    using folder = createFolder();
    const yaml =
      'drain:\nlog: debug\nadmin: 7090\nroutes: /banking\ncredentials: { default: { clientId: 12345, secrets: hidden } }\n';
    for (const { message } of problemsOf(folder, { yaml })) expect(message).not.toMatch(/Invalid input|received|<=/);
  });

  it.each([
    ['a:\n  b: 1\n\tc: 2\n', 3, 'is indented with tabs: YAML allows only spaces'],
    ['routes: []\nlog: {}\nroutes: []\n', 3, '`routes` occurs twice: keep one of them'],
    ['"canary key": 1\n"canary key": 2\n', 2, 'an option occurs twice: keep one of them'],
    ['environment: dev\nlisten "canary"\nadmin: x\n', 2, /colon and a space/],
    ['environment: dev\nlisten:canary\nadmin: x\n', 2, /colon and a space/],
    ['environment: dev\nlisten: "canary\nadmin: x\n', 2, 'opens a quote that is never closed'],
    ["environment: dev\nlisten: 'canary\nadmin: x\n", 2, 'opens a quote that is never closed'],
    ['allow:\n  - * /canary\n', 2, /reserved character of YAML.*put it in quotes/],
    ['scope: @canary\n', 1, /reserved character of YAML.*put it in quotes/],
    ['clientId: canary: x\n', 1, 'has a value with `: ` in it: put the value in quotes'],
    ['a:\n  b: canary\n c: 2\n', 3, /indent all options of a group equally/],
    ['a:\n  b: canary\n   c: 2\n', 2, /same indentation/],
    ['a: {b: canary\nc: 2\n', 2, /close it, or indent/],
    ['a: {b: canary c: 2}\n', 1, /comma/],
    ['a: "canary" x\n', 1, /one pair of quotes/],
    ['a: 1\n---\nb: canary\n', 2, /second document/],
    ['environment:dev\n', 1, /`environment: dev`, with a space after the colon/],
    ['a: *canary\n', 1, /put a value that begins with \* in quotes/],
  ])('says of %j in line %i what to write, in plain words and without what stands there', (yaml, line, said) => {
    using folder = createFolder();
    const problems = problemsOf(folder, { yaml });
    const message = typeof said === 'string' ? said : expect.stringMatching(said);
    expect(problems[0]).toEqual({ where: `config.yaml:${line}`, path: '', message });
    expect(JSON.stringify(problems)).not.toMatch(/canary|_[A-Z]/);
  });

  it.each([
    ['timeouts: { connect: 5 }', /^must be a whole number with a unit: .*; write 5s$/],
    ['timeouts: { connect: "5" }', /; write 5s$/],
    ['timeouts: { connect: 5000 }', /; write 5000ms$/],
    ['timeouts: { total: true }', /^must be a whole number with a unit: /],
    ['limits: { replayBody: 65536 }', /; write 65536B$/],
    ['listen: 7080', /^must be an address, .*; write 127\.0\.0\.1:7080$/],
    ['admin: [7090]', /; write 127\.0\.0\.1:7090$/],
    ['adminActions: yes', /^must be true or false, without quotes; not yes or no$/],
    ['limits: { connections: "5" }', /^must be a number; write it without quotes$/],
    ['log: { level: Debug }', /^must be one of: .*; did you mean debug\?$/],
    ['drain:', /^must be a mapping; it has no value/],
    ['routes: /banking', /^must be a list; put \[ \] around it/],
    ['log: debug', /^must be a mapping; write `name: value` on indented lines below it$/],
    ['credentials: { default: { clientId: 12345 } }', /^must be text; put it in quotes$/],
  ])('says of %s what to write instead', (yaml, said) => {
    using folder = createFolder();
    const messages = problemsOf(folder, { yaml: `${yaml}\n`, env: {} }).map(({ message }) => message);
    expect(messages).toContainEqual(expect.stringMatching(said));
  });

  it('finds one problem and no consequences of it where the file cannot be understood', () => {
    using folder = createFolder();
    for (const yaml of [
      'a: b: c\n',
      '- a list\n',
      'just text\n',
      'a: 1\na: 2\n',
      'a: *nowhere\n',
      'a: 1\n---\na: 2\n',
    ]) {
      const problems = problemsOf(folder, { yaml });
      expect(problems, yaml).toHaveLength(1);
      expect(problems[0]?.where, yaml).toMatch(/^config\.yaml:[12]$/);
    }
  });

  it('refuses a file whose aliases expand without end, within a moment', () => {
    using folder = createFolder();
    const levels = Array.from({ length: 9 }, (_, n) => `k${n + 1}: &k${n + 1} [${Array(10).fill(`*k${n}`).join(',')}]`);
    const yaml = `k0: &k0 [x,x,x,x,x,x,x,x,x,x]\n${levels.join('\n')}\n`;
    expect(problemsOf(folder, { yaml }).length).toBeGreaterThan(0);
  });

  it('refuses a file that cannot be read, or is a folder, by the system’s reason', () => {
    using folder = createFolder();
    mkdirSync(join(folder.path, 'config.d'));
    const reasons = ['missing.yaml', 'config.d'].map((name) =>
      problemsOf(folder, { env: { ARITMA_CONFIG: name } }).map(({ where, message }) => `${where}: ${message}`),
    );
    expect(reasons).toEqual([
      [expect.stringMatching(/^missing\.yaml: cannot be read \(ENOENT\)/)],
      [expect.stringMatching(/^config\.d: cannot be read \(EISDIR\)/)],
    ]);
  });

  it.skipIf(process.getuid?.() === 0)('refuses a file without read permission by the system’s reason', () => {
    using folder = createFolder();
    chmodSync(folder.write('config.yaml', ''), 0o000);
    expect(problemsOf(folder, { env: { ARITMA_CONFIG: 'config.yaml' } })).toEqual([
      expect.objectContaining({ message: expect.stringMatching(/EACCES/) }),
    ]);
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])('treats %s as any unknown option', (key) => {
    using folder = createFolder();
    const problems = problemsOf(folder, { env: ENV, yaml: `"${key}": { polluted: yes }\ndrain: { "${key}": 1 }\n` });
    expect(problems.map(({ where, path }) => `${where} ${path}`).sort()).toEqual([
      `config.yaml:1 ${key}`,
      `config.yaml:2 drain.${key}`,
    ]);
    expect({}).not.toHaveProperty('polluted');
  });

  it.each(['__proto__', 'constructor', 'toString'])(
    'refuses %s as an unknown option also where options, and it again, are below it',
    (key) => {
      using folder = createFolder();
      const yaml = JSON.stringify({ environment: 'dev' }).replace('{', `{"${key}":{"environment":{"${key}":"dev"}},`);
      expect(problemsOf(folder, { env: ENV, yaml }).map(({ path }) => path)).toContain(key);
    },
  );

  it('refuses __proto__ as a name wherever names are free, where the schema would drop it without a word', () => {
    using folder = createFolder();
    const yaml = JSON.stringify({
      credentials: { default: { parameters: 'P' }, other: 1 },
      callers: { keys: 'P' },
      routes: [{ path: '/x', upstream: 'https://x.example', headers: 'P' }],
    }).replaceAll('"P"', '{ "__proto__": "canary" }');
    const problems = problemsOf(folder, { env: ENV, yaml }).filter(({ path }) => path.endsWith('.__proto__'));
    expect(problems.map(({ path }) => path).sort()).toEqual([
      'callers.keys.__proto__',
      'credentials.default.parameters.__proto__',
      'routes.0.headers.__proto__',
    ]);
    for (const { message } of problems) expect(message).toBe('cannot be used as a name: choose another one');
  });

  it('refuses an alias of YAML that is inside what it names', () => {
    using folder = createFolder();
    const yaml = "routes: [{ path: /x, upstream: 'https://x.example', allow: &a [*a] }]";
    expect(problemsOf(folder, { env: ENV, yaml })).toEqual([
      expect.objectContaining({ message: expect.stringContaining('inside its own one') }),
    ]);
  });

  it.each([
    ['NODE_TLS_REJECT_UNAUTHORIZED', '0', 'NODE_EXTRA_CA_CERTS'],
    ['NODE_DEBUG', 'http', 'token'],
  ])('refuses to run with %s', (name, value, hint) => {
    using folder = createFolder();
    expect(problemsOf(folder, { env: { ...ENV, [name]: value } })).toEqual([
      { where: `environment variable ${name}`, path: '', message: expect.stringContaining(hint) },
    ]);
  });

  it.each([
    ['a listener other machines reach', 'listen: 10.0.0.1:7080', 'listen.0', /loopback/],
    ['a listener on all addresses', 'listen: "[::]:7080"', 'listen.0', /loopback/],
    [
      'plain HTTP to another machine',
      'routes: [{ path: /a, upstream: "http://api.example" }]',
      'routes.0.upstream',
      /https/,
    ],
    [
      'a credential nobody defined',
      'routes: [{ path: /a, upstream: "https://a.example", credential: o }]',
      'routes.0.credential',
      /configured: default/,
    ],
    [
      'one path twice',
      'routes: [{ path: /a, upstream: "https://a.example" }, { path: /a, upstream: "https://b.example" }]',
      'routes.1.path',
      /twice/,
    ],
    ['no route at all', 'routes: []', 'routes', /at least one/],
  ])('refuses %s', (_what, line, path, message) => {
    using folder = createFolder();
    const routes = line.startsWith('routes') ? '' : 'routes: [{ path: /a, upstream: "https://a.example" }]\n';
    expect(problemsOf(folder, { env: FILE_ENV, yaml: `${CREDENTIAL}\n${routes}${line}\n` })).toEqual([
      expect.objectContaining({ path, message: expect.stringMatching(message) }),
    ]);
  });
});

describe('a configuration as Windows has it', () => {
  const yaml = "credentials:\r\n  default:\r\n    secrets:\r\n      - file: 's'\r\nlog:\r\n  level: debug\r\n";
  const env = { ARITMA_ENVIRONMENT: 'emulator', ARITMA_CLIENT_ID: 'my-erp' };

  it('is read with CRLF and with a byte order mark', () => {
    using folder = createFolder();
    folder.write('s', '\uFEFFplain-secret\r\n');
    expect(load(folder, { env, yaml: `\uFEFF${yaml}` }).config.log.level).toBe('debug');
  });

  it('is refused in UTF-16 by that name', () => {
    using folder = createFolder();
    for (const bytes of [Buffer.from(`\uFEFF${yaml}`, 'utf16le'), Buffer.from(`\uFEFF${yaml}`, 'utf16le').swap16()]) {
      folder.write('w.yaml', bytes);
      expect(problemsOf(folder, { env: { ...env, ARITMA_CONFIG: 'w.yaml' } })).toEqual([
        { where: 'w.yaml:1', path: '', message: expect.stringMatching(/UTF-16/) },
      ]);
    }
  });

  it.each([
    ['C:\\secrets\\aritma', /double quotes.*single quotes/],
    ['C:\\temp\\new', /single quotes/],
    ['C:\\erp\\bin', /single quotes/],
  ])('with the path "%s" in double quotes is refused with what to do', (path, message) => {
    using folder = createFolder();
    const said = problemsOf(folder, { env, yaml: `credentials: { default: { secrets: [{ file: "${path}" }] } }` });
    expect(said.map((problem) => problem.message).join()).toMatch(message);
  });
});
