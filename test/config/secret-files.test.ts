// Where client secrets come from, in which order, and what makes one unusable.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadCallerKeys } from '../../src/config/secret-files.ts';
import { createFolder, type Folder, type Inputs, load, problemsOf, revealed } from '../support/folder.ts';

const BASE = { ARITMA_ENVIRONMENT: 'emulator', ARITMA_CLIENT_ID: 'my-erp' };

function secretsOf(folder: Folder, { env = {}, ...rest }: Inputs): string[] {
  return revealed(load(folder, { env: { ...BASE, ...env }, ...rest }));
}

describe('config/secrets', () => {
  it('takes first and second secret from variables, files and flags, in every combination', () => {
    using folder = createFolder();
    const one = folder.write('one', 'file-one\n');
    const two = folder.write('two', 'file-two\n');
    const first = { none: {}, value: { ARITMA_CLIENT_SECRET: 'env-one' }, file: { ARITMA_CLIENT_SECRET_FILE: one } };
    const second = {
      none: {},
      value: { ARITMA_CLIENT_SECRET_SECONDARY: 'env-two' },
      file: { ARITMA_CLIENT_SECRET_SECONDARY_FILE: two },
    };
    const table = Object.entries(first).flatMap(([a, envA]) =>
      Object.entries(second)
        .filter(([b]) => a !== 'none' || b !== 'none')
        .map(([b, envB]) => [`${a} ${b}`, secretsOf(folder, { env: { ...envA, ...envB } })]),
    );
    expect(Object.fromEntries(table)).toEqual({
      'none value': ['env-two'],
      'none file': ['file-two'],
      'value none': ['env-one'],
      'value value': ['env-one', 'env-two'],
      'value file': ['env-one', 'file-two'],
      'file none': ['file-one'],
      'file value': ['file-one', 'env-two'],
      'file file': ['file-one', 'file-two'],
    });
  });

  it('puts each over the same place of a file’s list and leaves the others', () => {
    using folder = createFolder();
    const names = ['a', 'b', 'c'].map((name) => `{ file: ${folder.write(name, `file-${name}`)} }`);
    const yaml = `credentials: { default: { secrets: [${names.join(', ')}] } }`;
    expect(secretsOf(folder, { yaml })).toEqual(['file-a', 'file-b', 'file-c']);
    expect(secretsOf(folder, { yaml, env: { ARITMA_CLIENT_SECRET: 'env' } })).toEqual(['env', 'file-b', 'file-c']);
    expect(secretsOf(folder, { yaml, env: { ARITMA_CLIENT_SECRET_SECONDARY: 'env' } })).toEqual([
      'file-a',
      'env',
      'file-c',
    ]);
  });

  it.each(['', '_SECONDARY'])(
    'finds one problem where ARITMA_CLIENT_SECRET%s comes both by value and by file',
    (suffix) => {
      using folder = createFolder();
      const file = folder.write('one', 'file-one');
      const env = {
        ...BASE,
        [`ARITMA_CLIENT_SECRET${suffix}`]: 'CANARY',
        [`ARITMA_CLIENT_SECRET${suffix}_FILE`]: file,
      };
      expect(problemsOf(folder, { env })).toEqual([
        {
          where: `environment variable ARITMA_CLIENT_SECRET${suffix}_FILE`,
          path: expect.any(String),
          message: expect.stringMatching(/set only one/),
        },
      ]);
    },
  );

  it('lets the flag win over either variable', () => {
    using folder = createFolder();
    const flags = { '--client-secret-file': folder.write('flag', 'by-flag') };
    expect(secretsOf(folder, { flags, env: { ARITMA_CLIENT_SECRET_FILE: '/nowhere' } })).toEqual(['by-flag']);
    expect(secretsOf(folder, { flags, env: { ARITMA_CLIENT_SECRET: 'by-env' } })).toEqual(['by-flag']);
  });

  it('takes off what editors add and keeps everything else', () => {
    using folder = createFolder();
    const read = (content: string) =>
      secretsOf(folder, { env: { ARITMA_CLIENT_SECRET_FILE: folder.write('s', content) } });
    for (const content of ['abc', 'abc\n', 'abc\r\n', '\uFEFFabc\r\n']) expect(read(content)).toEqual(['abc']);
    expect(read(' a b+/=%&"\' \n')).toEqual([' a b+/=%&"\' ']);
  });

  it.each([
    ['empty', '', /empty/],
    ['only a newline', '\r\n', /empty/],
    ['two lines', 'CANARY\nCANARY\n', /line breaks/],
    ['an inner carriage return', 'CAN\rARY', /line breaks/],
    ['two newlines at the end', 'CANARY\n\n', /line breaks/],
    ['a NUL', 'CAN\0ARY', /not ASCII/],
    ['letters beyond ASCII', 'CANARYé', /not ASCII/],
    ['UTF-16', Buffer.from('\uFEFFCANARY', 'utf16le'), /not ASCII/],
  ])('refuses a file that holds %s without showing it', (_what, content, message) => {
    using folder = createFolder();
    const env = { ...BASE, ARITMA_CLIENT_SECRET_FILE: folder.write('s', content) };
    const problems = problemsOf(folder, { env });
    expect(problems).toEqual([
      {
        where: 'environment variable ARITMA_CLIENT_SECRET_FILE',
        path: 'credentials.default.secrets.0',
        message: expect.stringMatching(message),
      },
    ]);
    expect(JSON.stringify(problems)).not.toContain('CANARY');
  });

  it('refuses a missing file and a folder by the system’s reason and the place that names it', () => {
    using folder = createFolder();
    mkdirSync(join(folder.path, 'folder'));
    const yaml = `credentials:\n  default:\n    secrets:\n      - file: ${folder.path}/missing\n      - file: ${folder.path}/folder\n`;
    expect(problemsOf(folder, { yaml, env: BASE })).toEqual([
      { where: 'config.yaml:4', path: 'credentials.default.secrets.0', message: expect.stringMatching(/ENOENT/) },
      { where: 'config.yaml:5', path: 'credentials.default.secrets.1', message: expect.stringMatching(/EISDIR/) },
    ]);
  });

  it('names the variable of a lone second secret that cannot be read', () => {
    using folder = createFolder();
    const env = { ...BASE, ARITMA_CLIENT_SECRET_SECONDARY_FILE: join(folder.path, 'missing') };
    expect(problemsOf(folder, { env }).map(({ where }) => where)).toEqual([
      'environment variable ARITMA_CLIENT_SECRET_SECONDARY_FILE',
    ]);
  });

  it('reads a relative file name from the same folder as a relative configuration file', () => {
    using folder = createFolder();
    folder.write('secret.txt', 'relative');
    expect(secretsOf(folder, { env: { ARITMA_CLIENT_SECRET_FILE: 'secret.txt' } })).toEqual(['relative']);
  });

  it('shows no secret that was written where its file’s or its variable’s name belongs', () => {
    using folder = createFolder();
    const yaml = 'credentials: { default: { secrets: [{ env: CANARY_in_env }, { file: CANARY/in+file== }] } }';
    const problems = problemsOf(folder, { yaml, env: BASE });
    expect(problems).toHaveLength(2);
    expect(JSON.stringify(problems)).not.toContain('CANARY');
  });

  it('says nothing of modes in a pod, where what mounts a volume can read it', () => {
    using folder = createFolder();
    const file = folder.write('secret', 'a-client-secret', 0o444);
    const env = { ARITMA_ENVIRONMENT: 'emulator', ARITMA_CLIENT_ID: 'my-erp', ARITMA_CLIENT_SECRET_FILE: file };
    expect(load(folder, { env }).warnings.join()).toMatch(
      process.platform === 'win32' ? '' : 'can be read by every user',
    );
    expect(load(folder, { env: { ...env, KUBERNETES_SERVICE_HOST: '10.0.0.1' } }).warnings.join()).not.toContain(
      'can be read by',
    );
  });

  it.skipIf(process.platform === 'win32')('warns of a secret file that others can read, and only of such a one', () => {
    using folder = createFolder();
    const warnings = (mode: number) => {
      const file = folder.write(`mode-${mode.toString(8)}`, 'abc', mode);
      return load(folder, { env: { ...BASE, ARITMA_CLIENT_SECRET_FILE: file } }).warnings.filter((text) =>
        text.includes(file),
      );
    };
    expect(warnings(0o600)).toEqual([]);
    expect(warnings(0o400)).toEqual([]);
    expect(warnings(0o640)).toEqual([expect.stringMatching(/chmod 600/)]);
    expect(warnings(0o644)).toEqual([expect.stringMatching(/644/)]);
  });

  it('does not take the mode of a file for who may read it on Windows, where it says nothing', () => {
    using folder = createFolder();
    const file = folder.write('secret', 'abc', 0o644);
    const warningsOn = (platform: NodeJS.Platform) => {
      const warnings: string[] = [];
      const programs = { printed: undefined, env: {} };
      const context = {
        env: {},
        cwd: folder.path,
        files: new Map(),
        report: () => undefined,
        warnings,
        platform,
        programs,
      };
      loadCallerKeys(
        { keys: { erp: { secrets: [{ file }] } } } as unknown as Parameters<typeof loadCallerKeys>[0],
        context,
      );
      return warnings;
    };
    expect(warningsOn('linux')).toEqual([expect.stringContaining('chmod 600')]);
    expect(warningsOn('win32')).toEqual([]);
  });
});
