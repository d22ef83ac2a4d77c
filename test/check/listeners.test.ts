/** The doctor beside a sidecar that runs: it sees that it does, and leaves nothing behind in it. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { createLog } from '../../src/core/log.ts';
import { startSidecar } from '../../src/sidecar/sidecar.ts';
import { freePort } from '../support/free-port.ts';
import { untilQuiet } from '../support/own-time.ts';
import { createPatient, type Patient } from '../support/patient.ts';

/** The patient's sidecar, in this process, with its first token. */
async function startBeside(patient: Patient) {
  const lines: string[] = [];
  // Of its own: the doctor's is written anew each time, which a sidecar takes for a change.
  const file = patient.folder.write('running.yaml', JSON.stringify(patient.config));
  const loaded = loadConfig({ file, env: patient.env });
  const log = createLog({ level: 'debug', format: 'json', write: (line) => void lines.push(line) });
  const sidecar = await startSidecar({ loaded, log });
  await sidecar.firstTokens();
  const [admin] = sidecar.admin;
  const text = async (path: string) => (await fetch(`${admin?.text}${path}`)).text();
  return {
    /** All that it tells, but for what changes with time and with the process alone. */
    async told() {
      await untilQuiet();
      const metrics = (await text('/metrics'))
        .split('\n')
        .filter((line) => !/^(# \w+ )?(aritma_sidecar_)?(process|nodejs)_/.test(line));
      const { now, uptimeS, credentials, ...status } = JSON.parse(await text('/status'));
      const timeless = JSON.stringify(credentials).replace(/"expiresInS":\d+/g, '');
      return { lines: [...lines], metrics, status, timeless };
    },
    url: sidecar.proxy[0]?.text ?? '',
    [Symbol.asyncDispose]: async () => void (await sidecar.stop()),
  };
}

const LISTEN: readonly (readonly [kind: string, listen: (patient: Patient) => Promise<string>])[] = [
  ['a port', async () => `127.0.0.1:${await freePort()}`],
  ['localhost', async () => `localhost:${await freePort()}`],
  ['every address', async () => `0.0.0.0:${await freePort()}`],
  ['a Unix socket', async ({ folder }) => `unix:${join(folder.path, 'callers.sock')}`],
];

describe('check/listeners', () => {
  it.each(LISTEN)('leaves no trace in a sidecar that listens at %s, however often it runs', async (_kind, listen) => {
    await using patient = await createPatient();
    Object.assign(patient.config, { listen: await listen(patient), admin: `127.0.0.1:${await freePort()}` });
    patient.config['audit'] = { file: join(patient.folder.path, 'audit.jsonl') };
    if (patient.config.listen.startsWith('0.')) patient.config['unsafe'] = { nonLoopbackListen: true };
    await using sidecar = await startBeside(patient);
    const before = await sidecar.told();
    for (let round = 0; round < 10; round += 1) {
      const { code, findings } = await patient.check();
      const inUse = findings.filter(({ message }) => /in use by a running sidecar/.test(String(message)));
      expect([code, inUse.length]).toEqual([0, 2]);
    }
    expect(await sidecar.told()).toEqual(before);
  });

  it('would see a trace: one request that a sidecar refuses leaves a line, a count and an error', async () => {
    await using patient = await createPatient();
    patient.config.admin = `127.0.0.1:${await freePort()}`;
    await using sidecar = await startBeside(patient);
    const before = await sidecar.told();
    await (await fetch(`${sidecar.url}/banking`)).text();
    const after = await sidecar.told();
    expect(after.lines.length).toBeGreaterThan(before.lines.length);
    expect([after.metrics, after.status]).not.toEqual([before.metrics, before.status]);
  });

  it('does not take a port for the sidecar’s that a running one does not claim', async () => {
    await using patient = await createPatient();
    const theirs = await freePort();
    Object.assign(patient.config, { listen: `127.0.0.1:${theirs}`, admin: `127.0.0.1:${await freePort()}` });
    await using other = await createPatient();
    other.config.listen = `127.0.0.1:${await freePort()}`;
    await using sidecar = await startBeside(patient);
    // Its own admin address is free, so nobody vouches for whoever has the port.
    other.config.listen = patient.config.listen;
    const { findings } = await other.check();
    expect(findings).toContainEqual(expect.objectContaining({ cause: 'listener_taken', level: 'error' }));
    expect((await sidecar.told()).lines.some((line) => line.includes('"request"'))).toBe(false);
  });
});
