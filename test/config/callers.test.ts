/** What a configuration may say of callers, their keys and the addresses they connect to. */
import { describe, expect, it } from 'vitest';
import { COMPLETE_ENV, createFolder, load, problemsOf } from '../support/folder.ts';

const KEY = 'canary-caller-key-0000';

describe('callers', () => {
  it.each([
    ['only spelled unsafe', 'unsafe: { nonLoopbackListen: true }'],
    ['only with keys', 'callers: { keys: { erp: [{ file: KEY }] } }'],
  ])('on other machines are refused when %s', (_how, yaml) => {
    using folder = createFolder();
    folder.write('KEY', KEY);
    expect(problemsOf(folder, { env: COMPLETE_ENV, yaml: `listen: 0.0.0.0:7080\n${yaml}\n` })).toEqual([
      expect.objectContaining({ path: 'listen.0', message: expect.stringMatching(/nonLoopbackListen.*callers\.keys/) }),
    ]);
  });

  it('on other machines are let in when both are there, with a warning about the network', () => {
    using folder = createFolder();
    folder.write('KEY', KEY);
    const yaml =
      'listen: 0.0.0.0:7080\nunsafe: { nonLoopbackListen: true }\ncallers: { keys: { erp: [{ file: KEY }] } }\n';
    const { warnings, callerKeys } = load(folder, { env: COMPLETE_ENV, yaml });
    expect(warnings.join('\n')).toMatch(/no callers\.tls: .* in clear/);
    expect(callerKeys.get('erp')?.map((key) => key.reveal())).toEqual([KEY]);
  });

  it.each([
    ['short', 'callers: { keys: { erp: [{ file: SHORT }] } }', 'callers.keys.erp.0', /at least 16 characters/],
    ['missing', 'callers: { keys: { erp: [{ file: NONE }] } }', 'callers.keys.erp.0', /cannot be read/],
    [
      'shared',
      'callers: { keys: { a: [{ file: KEY }], b: [{ file: KEY }] } }',
      'callers.keys.b.0',
      /same key as one of a/,
    ],
    ['none', 'callers: { keys: { erp: [] } }', 'callers.keys.erp', /at least/],
  ])('may not have keys that are %s, and no key is shown', (_what, yaml, path, message) => {
    using folder = createFolder();
    folder.write('KEY', KEY);
    folder.write('SHORT', 'canary-short');
    const problems = problemsOf(folder, { env: COMPLETE_ENV, yaml: `${yaml}\n` });
    expect(problems).toEqual([expect.objectContaining({ path, message: expect.stringMatching(message) })]);
    expect(JSON.stringify(problems)).not.toContain('canary');
  });

  it('need certificate and key files that fit each other', () => {
    using folder = createFolder();
    folder.write('cert.pem', '-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n');
    const yaml = 'callers: { tls: { cert: cert.pem, key: cert.pem } }\n';
    expect(problemsOf(folder, { env: COMPLETE_ENV, yaml })).toEqual([
      {
        where: 'config.yaml:1',
        path: 'callers.tls.cert',
        message: 'cert.pem block 1 (certificate) is damaged: it is no certificate',
      },
      {
        where: 'config.yaml:1',
        path: 'callers.tls.key',
        message: 'cert.pem block 1 (certificate) is damaged: it is no certificate',
      },
    ]);
  });
});
