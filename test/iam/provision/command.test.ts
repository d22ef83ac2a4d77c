/** `iam provision` against the local Aritma, up to a token and a call that the new policies allow. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ProvisionSetup, provision } from '../../../src/cli/iam/provision.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { ERRORS, SidecarError } from '../../../src/core/errors.ts';
import { type Emulator, startEmulator } from '../../../src/emulator/server.ts';
import { ADMIN_CLIENT } from '../../../src/emulator/store.ts';
import { connectIam } from '../../../src/iam/connection.ts';
import { createFolder, type Folder } from '../../support/folder.ts';

let folder: Folder;
let emulator: Emulator;
/** The command reads them of its process, and those of the test runner would be refused. */
const { execArgv } = process;

beforeEach(async () => {
  process.execArgv = [];
  folder = createFolder();
  emulator = await startEmulator({ port: 0, iam: { createResponse: 'empty', duplicatePolicy: 'conflict' } });
  folder.write('service-client.yaml', serviceClient());
});
afterEach(async () => {
  process.execArgv = execArgv;
  await emulator.close();
  folder[Symbol.dispose]();
});

const serviceClient = () => `
client: { name: My ERP, description: Pays the bills, scopes: [api] }
secret: { file: secret, lifetime: never }
policies: [{ scope: /subscriptions/123, action: banking.manage }]
sidecar:
  environment: none
  listen: 127.0.0.1:0
  admin: 127.0.0.1:0
  credentials: { default: { tokenEndpoint: "${emulator.url}/connect/token" } }
  routes: [{ path: /banking, upstream: "${emulator.url}/banking/api" }]
`;

function setup(answer?: string): { setup: ProvisionSetup; lines: () => Record<string, unknown>[] } {
  let printed = '';
  const [secret] = ADMIN_CLIENT.secrets;
  const document = {
    environment: 'none',
    iam: { url: `${emulator.url}/core/iam` },
    credentials: {
      default: {
        tokenEndpoint: `${emulator.url}/connect/token`,
        clientId: ADMIN_CLIENT.clientId,
        secrets: [{ file: folder.write('admin-secret', secret?.value ?? '') }],
      },
    },
    routes: [{ path: '/banking', upstream: `${emulator.url}/banking/api` }],
  };
  const input: PassThrough & { isTTY?: boolean } = new PassThrough();
  if (answer !== undefined) {
    input.isTTY = true;
    if (answer === END) input.end();
    else input.write(`${answer}\n`);
  }
  return {
    setup: {
      connect: () => connectIam(loadConfig({ document, cwd: folder.path, env: {} })),
      environment: undefined,
      cwd: folder.path,
      output: {
        write: (text) => {
          printed += text;
        },
      },
      input,
    },
    lines: () =>
      printed
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

/** Of the input: Ctrl-D. */
const END = 'the end';

const FILE = { file: 'service-client.yaml' };

async function exitOf(running: Promise<number>): Promise<number> {
  try {
    return await running;
  } catch (error) {
    if (error instanceof SidecarError) return ERRORS[error.code].exit;
    throw error;
  }
}

describe('provision-command', () => {
  it('ends with a sidecar configuration that the doctor finds good, and says so in JSON lines', async () => {
    const { setup: given, lines } = setup();
    expect(await provision({ ...FILE, yes: true }, given)).toBe(0);
    const findings = lines().filter(({ level }) => level !== undefined);
    expect(findings.filter(({ level }) => level === 'error')).toEqual([]);
    expect(findings.map(({ subject }) => String(subject)).join()).toContain('token default');
    const plan = lines().filter(({ change }) => change !== undefined);
    expect(plan.map(({ change, what }) => `${change} ${what}`)).toEqual([
      'create client',
      'create secret',
      'create policy',
    ]);
    const value = readFileSync(join(folder.path, 'secret'), 'utf8').trimEnd();
    expect(JSON.stringify(lines())).not.toContain(value);
  });

  it('finds the second time, by a real token, that the secret works and nothing is to do', async () => {
    await provision({ ...FILE, yes: true }, setup().setup);
    const { setup: given, lines } = setup();
    expect(await provision({ ...FILE, yes: true }, given)).toBe(0);
    expect(lines().flatMap(({ change }) => change ?? [])).toEqual(['none', 'none', 'none']);
  });

  it.each([
    ['y', true],
    ['n', false],
    [END, false],
  ])('asks at a terminal; %s does as it says', async (answer, done) => {
    expect(await provision(FILE, setup(answer).setup)).toBe(0);
    expect(existsSync(join(folder.path, 'secret'))).toBe(done);
  });

  it('wants --yes where nobody can be asked', async () => {
    expect(await exitOf(provision(FILE, setup().setup))).toBe(2);
    expect(existsSync(join(folder.path, 'secret.rotation'))).toBe(false);
  });

  it('ends with 8 for a token without the right, and goes on with a better one', async () => {
    const { setup: given } = setup();
    const connect = async () => {
      const open = await given.connect();
      const { Secret } = await import('../../../src/core/secret.ts');
      const nobody = new Secret('Bearer nonsense');
      return { ...open, connection: { ...open.connection, authorize: async () => nobody } };
    };
    expect(await exitOf(provision({ ...FILE, yes: true }, { ...given, connect }))).toBe(8);
    expect(await provision({ ...FILE, yes: true }, given)).toBe(0);
  });

  it('ends with 6 when IAM is not there', async () => {
    const { setup: given } = setup();
    const open = await given.connect();
    await open.connection.authorize();
    await emulator.close();
    expect(await exitOf(provision({ ...FILE, yes: true }, { ...given, connect: () => open }))).toBe(6);
    emulator = await startEmulator({ port: 0 });
  });
});
