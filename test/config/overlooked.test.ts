// What is set up for the sidecar and read by nothing: it is said, and stops nothing by itself.
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { COMPLETE_ENV, createFolder, load, problemsOf } from '../support/folder.ts';

const SECRET = 'canary-in-a-variable';

describe('an unknown ARITMA_ variable', () => {
  it('is warned of with the name that was meant, without its value, and does not stop the start', () => {
    using folder = createFolder();
    const env = { ...COMPLETE_ENV, ARITMA_LOGLEVEL: SECRET, ARITMA_LUNCH: SECRET };
    const { warnings } = load(folder, { env });
    expect(warnings).toContain(
      'environment variable ARITMA_LOGLEVEL is unknown and has no effect; did you mean ARITMA_LOG_LEVEL?',
    );
    expect(warnings).toContain(
      'environment variable ARITMA_LUNCH is unknown and has no effect; `aritma-sidecar config env` lists all variables',
    );
    expect(warnings.join()).not.toContain(SECRET);
  });

  it('stands among the problems where the option it was meant for is missing', () => {
    using folder = createFolder();
    const { ARITMA_CLIENT_ID: id = '', ...rest } = COMPLETE_ENV;
    expect(problemsOf(folder, { env: { ...rest, ARITMA_CLIENTID: id } })).toEqual([
      expect.objectContaining({ path: 'credentials.default.clientId', message: 'is required' }),
      {
        where: 'environment variable ARITMA_CLIENTID',
        path: '',
        message: 'is unknown and has no effect; did you mean ARITMA_CLIENT_ID?',
      },
    ]);
  });

  it('is nothing to warn of when the file names it, when it is empty, or when Kubernetes sets it for a Service', () => {
    using folder = createFolder();
    const env = {
      ...COMPLETE_ENV,
      ARITMA_ERP_KEY: 'canary-caller-key-of-the-erp',
      ARITMA_LOGLEVEL: '',
      ARITMA_SIDECAR_SERVICE_HOST: '10.0.0.1',
      ARITMA_SIDECAR_SERVICE_PORT_HTTP: '7080',
      ARITMA_SIDECAR_PORT: 'tcp://10.0.0.1:7080',
      ARITMA_SIDECAR_PORT_7080_TCP_ADDR: '10.0.0.1',
    };
    const { warnings } = load(folder, { env, yaml: 'callers: { keys: { erp: [{ env: ARITMA_ERP_KEY }] } }\n' });
    expect(warnings.filter((warning) => warning.includes('ARITMA_'))).toEqual([]);
  });
});

describe('a file beside the missing aritma-sidecar.yaml', () => {
  const message = 'is not read; rename it to aritma-sidecar.yaml, or start with --config aritma-sidecar.yml';

  it('is warned of', () => {
    using folder = createFolder();
    folder.write('aritma-sidecar.yml', 'environment: dev\n');
    expect(load(folder, { env: COMPLETE_ENV }).warnings).toContain(`aritma-sidecar.yml ${message}`);
    expect(problemsOf(folder, {})).toContainEqual({ where: 'aritma-sidecar.yml', path: '', message });
  });

  it('is nothing to warn of when the right one is there, or another is asked for', () => {
    using folder = createFolder();
    folder.write('aritma-sidecar.yml', 'environment: dev\n');
    const named = folder.write('mine.yaml', '');
    const both = [loadConfig({ env: COMPLETE_ENV, file: named, cwd: folder.path })];
    folder.write('aritma-sidecar.yaml', '');
    both.push(loadConfig({ env: COMPLETE_ENV, cwd: folder.path }));
    for (const { warnings } of both) expect(warnings.filter((warning) => warning.includes('.yml'))).toEqual([]);
  });
});
