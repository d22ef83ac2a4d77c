/** A rotated secret that a program stores and another one prints: nobody tells that there is a new one, so it is asked for. */
import { writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { type LoadedConfig, loadConfig } from '../../../src/config/load.ts';
import { withPrograms } from '../../../src/config/secret-programs.ts';
import { createLog } from '../../../src/core/log.ts';
import { createMetrics } from '../../../src/core/metrics.ts';
import { createRotationScheduler } from '../../../src/iam/rotation/scheduler.ts';
import { FIRST_VALUE, type RotationWorld, startRotationServer } from '../../support/rotation-world.ts';
import { until } from '../../support/until.ts';

const DAY = 86_400_000;
const server = await startRotationServer();
afterAll(() => server[Symbol.asyncDispose]());

/** The file of the world is what a vault holds: one program writes it, another one prints it. */
function configOf(world: RotationWorld): string {
  const store = `${world.folder}/store`;
  const text = `#!/bin/sh\nsed 's/.*"secret":"\\([^"]*\\)".*/\\1/' > ${world.file}\n`;
  writeFileSync(store, text, { mode: 0o700 });
  writeFileSync(`${world.folder}/admin`, 'secret-of-the-administrator', { mode: 0o600 });
  const tokenEndpoint = `${world.url}/connect/token`;
  const credential = {
    ...{ tokenEndpoint, clientId: world.clientId, scope: 'api' },
    secrets: [{ exec: ['/bin/cat', world.file] }],
    rotation: { every: '60d', exec: [store], journal: `${world.folder}/journal` },
  };
  const admin = { tokenEndpoint, clientId: 'test-admin', secrets: [{ file: `${world.folder}/admin` }] };
  const iam = { url: `${world.url}/core/iam`, credential: 'admin', timeout: '1s' };
  const file = `${world.folder}/config.yaml`;
  const routes = [{ path: '/', upstream: world.url }];
  writeFileSync(file, JSON.stringify({ iam, routes, credentials: { default: credential, admin } }));
  return file;
}

async function startCare(world: RotationWorld, reads: boolean) {
  const file = configOf(world);
  let loaded: LoadedConfig = await withPrograms((printed) => loadConfig({ file, env: {}, printed }));
  let look = () => undefined as undefined;
  const log = createLog({ level: 'info', format: 'json', write: () => undefined });
  const care = createRotationScheduler({
    ...{ current: () => loaded, log, metrics: createMetrics('1'), clock: world.clock },
    fleet: { share: (_credential, local) => local, isLeft: () => false },
    every(_ms, run) {
      look = () => void run();
      return () => undefined;
    },
    readAgain() {
      if (!reads) return;
      void Promise.resolve(withPrograms((printed) => loaded.reload(printed))).then((next) => {
        loaded = next;
      });
    },
  });
  return {
    care,
    held: () => loaded.secrets.get('default')?.[0]?.value.reveal(),
    async untilState(state: string) {
      await until(`the state ${state}`, () => {
        look();
        return care.view('default')?.rotation?.state === state;
      });
    },
  };
}

describe('the rotation of a secret that a program prints', () => {
  it('asks the program again when the new one is stored, and deletes the old one after the overlap', async () => {
    using world = await server.world();
    const { care, held, untilState } = await startCare(world, true);
    await until('a journal', () => care.view('default')?.rotation?.nextAt !== undefined);
    world.clock.advance(60 * DAY);
    await untilState('overlap');
    await until('the new secret is read', () => held() === world.stored());
    expect(held()).not.toBe(FIRST_VALUE);
    world.clock.advance(3_600_000);
    await untilState('idle');
    expect([await world.tokenFor(FIRST_VALUE), await world.tokenFor(held() ?? '')]).toEqual(['refused', 'accepted']);
    await care.close();
  });

  it('by a naive sidecar that does not ask again keeps the old one, and the rotation never ends', async () => {
    using world = await server.world();
    const { care, held, untilState } = await startCare(world, false);
    await until('a journal', () => care.view('default')?.rotation?.nextAt !== undefined);
    world.clock.advance(60 * DAY);
    await untilState('overlap');
    world.clock.advance(3_600_000);
    await untilState('failing');
    expect([held(), care.view('default')?.rotation?.lastError?.code]).toEqual([FIRST_VALUE, 'ROTATION_NOT_RETIRED']);
    await care.close();
  });
});
