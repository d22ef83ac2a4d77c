/** The file of a service client: everything that is wrong with it at once, each with its line. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SidecarError } from '../../../src/core/errors.ts';
import { type Desired, loadDesired } from '../../../src/iam/provision/desired-state.ts';
import { createFolder, type Folder } from '../../support/folder.ts';

let folder: Folder;

beforeEach(() => {
  folder = createFolder();
});
afterEach(() => folder[Symbol.dispose]());

function load(yaml: string, environment: string | undefined = 'dev'): Desired {
  folder.write('erp.yaml', yaml);
  return loadDesired('erp.yaml', { cwd: folder.path, environment });
}

function problemsOf(yaml: string, environment?: string): string[] {
  try {
    load(yaml, environment);
  } catch (error) {
    if (!(error instanceof SidecarError) || error.code !== 'CONFIG_INVALID') throw error;
    return (error.extras.problems ?? []).map(({ where, path, message }) => `${where} ${path} ${message}`);
  }
  return [];
}

const GOOD = `client: { name: ERP, description: Pays, scopes: [api] }
secret: { file: keys/secret, lifetime: 90d }
`;

describe('provision/desired', () => {
  it('fills in what is implied and finds the secret beside the file', () => {
    expect(load(GOOD)).toEqual({
      client: { name: 'ERP', description: 'Pays', scopes: ['api'] },
      secret: {
        file: join(folder.path, 'keys/secret'),
        description: 'first secret, made by provisioning',
        lifetimeMs: 90 * 86_400_000,
      },
      policies: [],
      sidecar: { environment: 'dev' },
    });
    expect(load(GOOD.replace('90d', 'never')).secret.lifetimeMs).toBeUndefined();
    expect(load(`${GOOD}sidecar: { environment: prod }\n`).sidecar).toEqual({ environment: 'prod' });
  });

  it('tells every problem at once, with its line and what is allowed', () => {
    expect(
      problemsOf(`client:
  name: ''
  description: Pays
  scopes: []
  allowedGrantTypes: [password]
  owner: me
secret:
  file: secret
  lifetime: soon
policies:
  - { scope: subscriptions/123, action: 'banking pis' }
  - scope: /a
    action: b
  - scope: /a
    action: b
sidecars: {}
`),
    ).toEqual([
      'erp.yaml:2 client.name must be at least 1 characters long',
      'erp.yaml:4 client.scopes must have at least 1 entry',
      'erp.yaml:6 client.owner unknown option; allowed here: id, name, description, scopes, allowedGrantTypes, redirectUris',
      'erp.yaml:5 client.allowedGrantTypes must include client_credentials: a service gets its tokens with this grant',
      'erp.yaml:9 secret.lifetime must be a whole number with a unit: 10s, 15m, 1h or 60d, at most 3650d; or never',
      'erp.yaml:11 policies.0.scope must be a path such as /subscriptions/123, or / for everything',
      'erp.yaml:11 policies.0.action must be the name of an action, such as banking.pis.create',
      'erp.yaml:16 sidecars unknown option; allowed here: client, secret, policies, sidecar',
      'erp.yaml:14 policies.2 repeats an earlier policy',
    ]);
  });

  it.each([
    [
      'the grant that a service needs is left out',
      'allowedGrantTypes: [password]',
      'client.allowedGrantTypes must include',
    ],
    ['a name could be read in two ways', 'allowedGrantTypes: [" client_credentials"]', 'must not begin or end'],
  ])('says so when %s', (_name, line, message) => {
    expect(problemsOf(GOOD.replace('scopes:', `${line}, scopes:`)).join()).toContain(message);
  });

  it('refuses a sidecar that nobody could start, before anything is made for it', () => {
    expect(problemsOf(`${GOOD}sidecar:\n  environment: dev\n  listen: nowhere\n  rout: []\n`)).toEqual([
      expect.stringMatching(/^erp\.yaml:5 sidecar\.listen\.0 must be host:port/),
      expect.stringMatching(/^erp\.yaml:6 sidecar\.rout unknown option; allowed here: environment, listen/),
    ]);
    expect(problemsOf(`${GOOD}sidecar: {}\n`, '')).not.toEqual([]);
  });

  it.each([
    ['no YAML', 'client: [', 'close it'],
    ['empty', '', 'is required'],
    ['a list', '- 1', 'must contain options'],
  ])('refuses a file that is %s', (_name, yaml, message) => {
    expect(problemsOf(yaml).join()).toContain(message);
  });

  it('takes the example of docs/iam.md as it stands', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/iam.md'), 'utf8');
    const [, section = ''] = page.split('## A service client from one file');
    const [, example = ''] = /<<'END'\n([\s\S]*?)\nEND/.exec(section) ?? [];
    const secret = { file: join(folder.path, 'my-erp.secret') };
    expect(load(example)).toMatchObject({ client: { name: 'My ERP' }, secret });
  });

  it('names a file that is not there', () => {
    expect(() => loadDesired('nowhere.yaml', { cwd: folder.path, environment: 'dev' })).toThrow(SidecarError);
  });
});
