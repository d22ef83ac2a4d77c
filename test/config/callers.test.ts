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
    expect(warnings.join('\n')).toMatch(/no callers\.tls: .* unencrypted/);
    expect(callerKeys.get('erp')?.map((key) => key.reveal())).toEqual([KEY]);
  });

  it.each([
    ['short', 'callers: { keys: { erp: [{ file: SHORT }] } }', 'callers.keys.erp.0', /at least 16 characters/],
    ['missing', 'callers: { keys: { erp: [{ file: NONE }] } }', 'callers.keys.erp.0', /cannot be read/],
    [
      'shared',
      'callers: { keys: { a: [{ file: KEY }], b: [{ file: KEY }] } }',
      'callers.keys.b.0',
      /is also a key of a/,
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

  it.each<[string, string, object | undefined]>([
    ['a list', '[{ file: KEY }]', undefined],
    ['secrets', '{ secrets: [{ file: KEY }] }', undefined],
    [
      'limits of its own',
      '{ secrets: [{ file: KEY }], limits: { requestsPerMinute: 9, methods: { POST: { requestsPerMinute: 2 } } } }',
      { requestsPerMinute: 9, methods: { POST: { requestsPerMinute: 2 } } },
    ],
  ])('are given as %s', (_how, entry, limits = {}) => {
    using folder = createFolder();
    folder.write('KEY', KEY);
    const yaml = `callers: { keys: { erp: ${entry} } }\n`;
    const { config, callerKeys } = load(folder, { env: COMPLETE_ENV, yaml });
    expect(callerKeys.get('erp')?.map((key) => key.reveal())).toEqual([KEY]);
    expect(config.callers.keys['erp']).toEqual({ secrets: [{ file: 'KEY' }], limits });
  });

  it.each([
    ['canary-key-in-the-wrong-place', 'callers.keys.erp', /list of keys, or have secrets and limits/],
    ['{}', 'callers.keys.erp.secrets', /required/],
    ['[{ canary_key: x }]', 'callers.keys.erp.0', /unknown option; allowed here: file, env, exec, kid, alg/],
    ['[{ canary_key: x }, { file: KEY }]', 'callers.keys.erp.0', /exactly one of/],
    ['{ secrets: [{ file: KEY }], limit: 1 }', 'callers.keys.erp.limit', /allowed here: secrets, limits/],
    ['{ secrets: [{ file: KEY }], limits: { perMinute: 1 } }', 'callers.keys.erp.limits.perMinute', /methods/],
    [
      '{ secrets: [{ file: KEY }], limits: { requestsPerMinute: 0 } }',
      'callers.keys.erp.limits.requestsPerMinute',
      /1/,
    ],
    ['{ secrets: [{ file: KEY }], limits: { methods: { post: {} } } }', 'callers.keys.erp.limits.methods.post', /POST/],
    ['{ secrets: [{ file: KEY }], limits: { methods: { POST: 3 } } }', 'callers.keys.erp.limits.methods.POST', /./],
  ])('may not be %s', (entry, path, message) => {
    using folder = createFolder();
    folder.write('KEY', KEY);
    const problems = problemsOf(folder, { env: COMPLETE_ENV, yaml: `callers: { keys: { erp: ${entry} } }\n` });
    expect(problems).toContainEqual(expect.objectContaining({ path, message: expect.stringMatching(message) }));
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
        message: 'cert.pem block 1 (certificate) is damaged: it is not a valid certificate',
      },
      {
        where: 'config.yaml:1',
        path: 'callers.tls.key',
        message: 'cert.pem block 1 (certificate) is damaged: it is not a valid certificate',
      },
    ]);
  });
});
