// Which layer wins, and what a configuration that is accepted amounts to.
import { describe, expect, it } from 'vitest';
import { effectiveDocument } from '../../src/config/describe.ts';
import { loadAdminAddress, loadConfig } from '../../src/config/load.ts';
import { PRESETS } from '../../src/config/presets.ts';
import { fileState } from '../../src/config/regular-file.ts';
import { createAuthority } from '../support/certificates.ts';
import { COMPLETE_ENV, createFolder, load, revealed } from '../support/folder.ts';

const DEFAULTS = {
  callers: { hosts: [], keys: {}, limits: {}, allowForwarded: false },
  token: { attemptTimeout: '5s', waitTimeout: '10s', refreshBefore: '5m' },
  timeouts: { callerHeaders: '10s', connect: '5s', firstByte: '60s', idle: '60s', queue: '10s' },
  limits: { connections: 1000, heapShare: 0.9, replayBody: '64KiB', upstreamConnections: 256, keepAlive: '55s' },
  drain: { minimum: '0s', limit: '30s' },
  startup: 'lenient',
  workers: 1,
  adminActions: false,
  unsafe: { plainTextHttp: false, nonLoopbackListen: false },
};

const route = (path: string, upstream: string) => ({
  path,
  upstream,
  credential: 'default',
  replayOn401: 'once',
  upgrade: false,
  warm: false,
  idempotency: 'off',
  rewriteLocation: false,
  cookies: 'pass',
  limits: {},
  timeouts: {},
  headers: {},
});

const FILE = `
environment: dev
listen: 127.0.0.1:2001
admin: 127.0.0.1:2002
log: { level: warn }
credentials:
  default: { clientId: by-file, scope: by-file }
`;
const ENV = {
  ARITMA_CLIENT_SECRET: 'by-environment',
  ARITMA_LISTEN: '127.0.0.1:3001',
  ARITMA_SCOPE: 'by-environment',
  ARITMA_CLIENT_ID: 'by-environment',
  ARITMA_EVENTS_URL: 'https://events.example/by-environment',
};
const FLAGS = {
  '--listen': '127.0.0.1:4001',
  '--scope': 'by-flag',
  '--banking-url': 'https://banking.example/by-flag',
};

const PRECEDENCE = [
  {
    layers: 'preset and defaults under the environment',
    inputs: { env: { ...COMPLETE_ENV, ARITMA_ENVIRONMENT: 'prod' } },
    effective: {
      ...DEFAULTS,
      environment: 'prod',
      listen: '127.0.0.1:7080',
      admin: '127.0.0.1:7090',
      log: { level: 'info', format: 'auto' },
      credentials: {
        default: {
          tokenEndpoint: 'https://id.aritma.io/connect/token',
          clientId: 'my-erp',
          auth: 'client_secret_post',
          parameters: {},
          verify: false,
          secrets: [{ env: 'ARITMA_CLIENT_SECRET' }],
          scope: 'api',
        },
      },
      routes: [route('/banking', 'https://banking.zdata.io/api'), route('/events', 'https://events.aritma.io')],
    },
  },
  {
    layers: 'file over preset and defaults',
    inputs: { yaml: FILE, env: { ARITMA_CLIENT_SECRET: 'by-environment' } },
    effective: {
      ...DEFAULTS,
      environment: 'dev',
      iam: { url: 'https://api.dev.aritma.io/core/iam', scope: 'services.iam', timeout: '15s' },
      listen: '127.0.0.1:2001',
      admin: '127.0.0.1:2002',
      log: { level: 'warn', format: 'auto' },
      credentials: {
        default: {
          tokenEndpoint: 'https://id.dev.aritma.io/connect/token',
          clientId: 'by-file',
          auth: 'client_secret_post',
          parameters: {},
          verify: false,
          secrets: [{ env: 'ARITMA_CLIENT_SECRET' }],
          scope: 'by-file',
        },
      },
      routes: [route('/banking', 'https://banking.dev.zdata.io/api'), route('/events', 'https://events.dev.aritma.io')],
    },
  },
  {
    layers: 'flags over environment over file over preset over defaults',
    inputs: { yaml: FILE, env: ENV, flags: FLAGS },
    effective: {
      ...DEFAULTS,
      environment: 'dev',
      iam: { url: 'https://api.dev.aritma.io/core/iam', scope: 'services.iam', timeout: '15s' },
      listen: '127.0.0.1:4001',
      admin: '127.0.0.1:2002',
      log: { level: 'warn', format: 'auto' },
      credentials: {
        default: {
          tokenEndpoint: 'https://id.dev.aritma.io/connect/token',
          clientId: 'by-environment',
          auth: 'client_secret_post',
          parameters: {},
          verify: false,
          secrets: [{ env: 'ARITMA_CLIENT_SECRET' }],
          scope: 'by-flag',
        },
      },
      routes: [
        route('/banking', 'https://banking.example/by-flag'),
        route('/events', 'https://events.example/by-environment'),
      ],
    },
  },
] as const;

describe('config/load', () => {
  it.each(PRECEDENCE)('takes $layers', ({ inputs, effective }) => {
    using folder = createFolder();
    expect(effectiveDocument(load(folder, inputs).document)).toEqual(effective);
  });

  it('lets the preset follow the flag, else the variable, else the file', () => {
    using folder = createFolder();
    const endpoint = (env: Record<string, string>, flags: Record<string, string> = {}) =>
      load(folder, { yaml: FILE, env: { ...ENV, ...env }, flags }).config.credentials['default']?.tokenEndpoint?.origin;
    expect(endpoint({})).toBe('https://id.dev.aritma.io');
    expect(endpoint({ ARITMA_ENVIRONMENT: 'prod' })).toBe('https://id.aritma.io');
    expect(endpoint({ ARITMA_ENVIRONMENT: 'prod' }, { '--environment': 'emulator' })).toBe('http://127.0.0.1:7100');
  });

  it('takes an empty variable for an unset one', () => {
    using folder = createFolder();
    const empty = {
      ARITMA_LISTEN: '',
      ARITMA_SCOPE: '',
      ARITMA_CONFIG: '',
      ARITMA_CLIENT_SECRET_FILE: '',
      ARITMA_CLIENT_SECRET_SECONDARY: '',
      ARITMA_LOG_LEVEL: '',
      NODE_DEBUG: '',
    };
    const { document } = load(folder, { env: { ...COMPLETE_ENV, ...empty } });
    expect(document).toEqual(load(folder, { env: COMPLETE_ENV }).document);
  });

  it('reads aritma-sidecar.yaml of the working directory, and ARITMA_CONFIG or --config in its place', () => {
    using folder = createFolder();
    folder.write('aritma-sidecar.yaml', 'listen: 127.0.0.1:1001');
    folder.write('other.yaml', 'listen: 127.0.0.1:1002');
    folder.write('third.yaml', 'listen: 127.0.0.1:1003');
    const port = (env: Record<string, string>, file?: string) => {
      const [first] = loadConfig({ env: { ...COMPLETE_ENV, ...env }, file, cwd: folder.path }).config.listen;
      return first?.kind === 'tcp' ? first.port : undefined;
    };
    expect(port({})).toBe(1001);
    expect(port({ ARITMA_CONFIG: 'other.yaml' })).toBe(1002);
    expect(port({ ARITMA_CONFIG: 'other.yaml' }, 'third.yaml')).toBe(1003);
  });

  it('accepts a file of Windows editors, an empty one and one of comments', () => {
    using folder = createFolder();
    const windows = '\uFEFFlisten: 127.0.0.1:1001\r\nadmin: 127.0.0.1:1002\r\n';
    expect(load(folder, { env: COMPLETE_ENV, yaml: windows }).document).toMatchObject({ admin: '127.0.0.1:1002' });
    for (const yaml of ['', '# nothing yet\n', '---\n'])
      expect(load(folder, { env: COMPLETE_ENV, yaml }).config.startup).toBe('lenient');
  });

  it.each(['dev', 'prod', 'emulator'] as const)(
    'fills token endpoint, scope and routes of preset %s',
    (environment) => {
      using folder = createFolder();
      const { config } = load(folder, { env: { ...COMPLETE_ENV, ARITMA_ENVIRONMENT: environment } });
      const { origin, basePath } = config.credentials['default']?.tokenEndpoint ?? {};
      expect(`${origin}${basePath}`).toBe(PRESETS[environment].credentials?.default.tokenEndpoint);
      expect(config.credentials['default']?.scope).toBe('api');
      expect(config.routes.map(({ path, upstream }) => [path, upstream.origin + upstream.basePath])).toEqual(
        PRESETS[environment].routes?.map(({ path, upstream }) => [path, upstream]),
      );
    },
  );

  it('takes the routes a file lists, no others, with the preset’s upstream where one is missing', () => {
    using folder = createFolder();
    const yaml =
      'environment: dev\nroutes:\n  - path: /own\n    upstream: https://own.example\n  - path: /banking\n    allow: [GET /accounts/**]\n';
    const { config } = load(folder, { yaml, env: { ARITMA_CLIENT_ID: 'x', ARITMA_CLIENT_SECRET: 'y' } });
    expect(
      config.routes.map(({ path, upstream, allow }) => [path, upstream.origin + upstream.basePath, allow]),
    ).toEqual([
      ['/own', 'https://own.example', undefined],
      ['/banking', 'https://banking.dev.zdata.io/api', ['GET /accounts/**']],
    ]);
  });

  it('accepts the documented example', () => {
    using folder = createFolder();
    const secret = folder.write('aritma', 'secret-of-the-example\n');
    const yaml = `environment: dev
listen: 127.0.0.1:7080
admin: 127.0.0.1:7090
credentials:
  default:
    tokenEndpoint: https://id.dev.aritma.io/connect/token
    clientId: my-erp
    auth: client_secret_post
    secrets:
      - file: ${secret}
    scope: api
routes:
  - path: /banking
    upstream: https://banking.dev.zdata.io/api
    credential: default
    scope: api
    allow: ["GET /accounts/**", "POST /payments/**"]
  - path: /events
    upstream: https://events.dev.aritma.io
`;
    const loaded = load(folder, { yaml });
    expect(revealed(loaded)).toEqual(['secret-of-the-example']);
    expect(loaded.config.routes.map(({ path, allow }) => [path, allow])).toEqual([
      ['/banking', ['GET /accounts/**', 'POST /payments/**']],
      ['/events', undefined],
    ]);
    expect(loaded.warnings).toEqual([expect.stringContaining('/events'), expect.stringContaining('callers.keys')]);
  });

  it('takes `workers` from before 1.0, by file and variable, and says that it has no effect', () => {
    using folder = createFolder();
    const warned = (yaml: string, env: Record<string, string> = {}) =>
      load(folder, { yaml, env: { ...COMPLETE_ENV, ...env } }).warnings.filter((text) => text.includes('workers'));
    expect(warned('workers: 2\n')).toEqual([expect.stringContaining('no effect since 1.0')]);
    expect(warned('', { ARITMA_WORKERS: '2' })).toHaveLength(1);
    expect(warned('workers: 1\n')).toEqual([]);
  });

  it('finds the admin address although secrets and routes are missing, and by the same precedence', () => {
    using folder = createFolder();
    const file = folder.write('config.yaml', 'admin: [127.0.0.1:1, 127.0.0.1:2]\nbogus: 1\n');
    const address = (env: Record<string, string>, flags: Record<string, string> = {}) =>
      loadAdminAddress({ file, env, flags });
    expect(address({})).toEqual({ kind: 'tcp', host: '127.0.0.1', port: 1 });
    expect(address({ ARITMA_ADMIN: '[::1]:3' })).toEqual({ kind: 'tcp', host: '::1', port: 3 });
    expect(address({ ARITMA_ADMIN: '[::1]:3' }, { '--admin': 'unix:/x' })).toEqual({ kind: 'unix', path: '/x' });
  });
});

describe('the files of a configuration', () => {
  it('come with their states from before they were read, so that a later change of any is seen', () => {
    using folder = createFolder();
    const secret = folder.write('secret', 'one-secret-of-the-client');
    const { caFile: ca } = createAuthority(folder);
    const credentials = { default: { clientId: 'c', secrets: [{ file: secret }, { file: secret }], tls: { ca } } };
    const file = folder.write('a.yaml', JSON.stringify({ environment: 'dev', credentials }));
    const { files } = loadConfig({ file, env: {} });
    expect([...files]).toEqual([
      [file, fileState(file)],
      [secret, fileState(secret)],
      [ca, fileState(ca)],
    ]);
    folder.write('secret', 'another-secret-of-the-client');
    expect(files.get(secret)).not.toBe(fileState(secret));
  });
});
