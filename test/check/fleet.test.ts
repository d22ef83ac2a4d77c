// The doctor and a fleet without a store: it warns, says what to do, and nothing else changes.

import { chmodSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { fleetFindings } from '../../src/check/fleet.ts';
import { diagnoseFleet, loadFleet, newFleetKey } from '../support/fleet-doctor.ts';
import { createPatient, startMute } from '../support/patient.ts';

describe('check of a fleet', () => {
  it('warns where the store cannot be reached: address, errno, and what to do', async () => {
    const [finding, ...rest] = await fleetFindings(loadFleet({ url: 'redis://127.0.0.1:9' }));
    expect(rest).toEqual([]);
    expect(finding).toEqual({
      ...{ level: 'warning', subject: 'fleet', code: 'TOKEN_UNAVAILABLE', cause: 'fleet_unreachable' },
      message:
        'the fleet store cannot be reached (127.0.0.1:9, ECONNREFUSED); each sidecar fetches its own tokens meanwhile',
      fix: 'check that it runs, the address, and firewalls between',
    });
  });

  it.each([
    ['nodes', { nodes: ['127.0.0.1:9'] }],
    ['sentinels', { sentinel: { name: 'main', nodes: ['127.0.0.1:9'] } }],
  ])('warns where no %s can be reached', async (_what, more) => {
    expect((await diagnoseFleet({ more })).join()).toMatch(/^fleet_unreachable: .*127\.0\.0\.1:9/);
  });

  it('warns in time where the store takes connections and says nothing', async () => {
    const silent = await startMute();
    expect((await diagnoseFleet({ url: `redis://127.0.0.1:${silent.port}` })).join()).toMatch(
      /^fleet_(timeout|unreachable): /,
    );
    silent.close();
  });

  it('leaves the exit code alone, and prints neither password nor key', async () => {
    await using patient = await createPatient();
    const key = newFleetKey();
    patient.config['fleet'] = {
      url: 'redis://127.0.0.1:9',
      password: { file: patient.folder.write('password', 'CANARY-store-password') },
      keys: [{ file: patient.folder.write('fleet-key', key) }],
    };
    const { code, findings, output } = await patient.check();
    expect(code).toBe(0);
    expect(findings.filter(({ subject }) => subject === 'fleet')).toMatchObject([{ cause: 'fleet_unreachable' }]);
    expect(output).not.toMatch(new RegExp(`CANARY|${key}`));
  });

  it('says of the files of password and key who else can read them', async () => {
    await using patient = await createPatient();
    const file = patient.folder.write('fleet-key', newFleetKey());
    chmodSync(file, 0o644);
    patient.config['fleet'] = { url: 'redis://127.0.0.1:9', keys: [{ file }] };
    const { findings } = await patient.check();
    expect(findings).toContainEqual(
      expect.objectContaining({ subject: 'fleet key 1', cause: 'file_readable_by_others' }),
    );
  });
});
