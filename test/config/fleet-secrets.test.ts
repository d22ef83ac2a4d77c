// Password and keys of a fleet from variables: read once, and then gone from what children of the process get.
import { afterEach, describe, expect, it } from 'vitest';
import { forgetSecretVariables, loadConfig } from '../../src/config/load.ts';
import { newFleetKey } from '../support/fleet-doctor.ts';

const NAMES = ['TEST_FLEET_KEY', 'TEST_FLEET_PASSWORD', 'TEST_FLEET_CLIENT'] as const;

afterEach(() => {
  for (const name of NAMES) delete process.env[name];
});

describe('the variables with the secrets of a fleet', () => {
  it('are removed from the environment of the process, and a reload still has them', () => {
    const env = Object.fromEntries(NAMES.map((name) => [name, newFleetKey()]));
    Object.assign(process.env, env);
    const [key, password, client] = NAMES;
    const document = {
      environment: 'emulator',
      credentials: { default: { clientId: 'x', secrets: [{ env: client }] } },
      fleet: { url: 'redis://127.0.0.1:9', password: { env: password }, keys: [{ env: key }] },
    };
    const loaded = loadConfig({ document, env });
    forgetSecretVariables(loaded.config);
    expect(NAMES.filter((name) => name in process.env)).toEqual([]);
    expect(loaded.reload().fleetSecrets?.password?.fingerprint()).toBe(loaded.fleetSecrets?.password?.fingerprint());
  });
});
