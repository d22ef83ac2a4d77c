/** Provisioning from the file to a client that works, over real sockets. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { parseJournal } from '../../src/rotation/journal.ts';
import { createProvisionWorld, type ProvisionWorld } from '../support/provision-world.ts';

let world: ProvisionWorld;

beforeAll(async () => {
  world = await createProvisionWorld();
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => {
  world.renew();
  world.double.answers = 'body';
});

describe('provision/run', () => {
  it.each(['body', 'empty'] as const)(
    'makes client, secret and policies when creations answer with %s',
    async (mode) => {
      world.double.answers = mode;
      expect(await world.run()).toBe(0);
      expect(world.faultsOfResult()).toEqual([]);
      const journal = parseJournal(readFileSync(join(world.folder.path, 'secret.rotation'), 'utf8'));
      expect(journal).toMatchObject({
        clientId: world.double.clients[0]?.clientId,
        current: { clientSecretId: world.double.secrets[0]?.clientSecretId },
      });
      expect(journal.current?.expiresAt).toBeCloseTo(Date.now() + 90 * 86_400_000, -5);
      expect(world.double.secrets[0]?.description).toContain(`aritma-sidecar ${journal.id} `);
    },
  );

  it('changes nothing the second time, at IAM or on disk', async () => {
    await world.run();
    const before = readFileSync(join(world.folder.path, 'secret.rotation'));
    world.double.calls.length = 0;
    expect(await world.run()).toBe(0);
    expect(world.double.calls.filter((call) => !call.startsWith('GET '))).toEqual([]);
    expect(world.double.calls.length).toBeGreaterThan(2);
    expect(readFileSync(join(world.folder.path, 'secret.rotation'))).toEqual(before);
    expect(world.faultsOfResult()).toEqual([]);
  });

  it('prints a configuration that loads as it stands', async () => {
    await world.run();
    const yaml = world.output.find((line) => line.includes('# aritma-sidecar.yaml')) ?? '';
    const file = world.folder.write('aritma-sidecar.yaml', yaml);
    const { config, secrets } = loadConfig({ file, env: {}, cwd: '/' });
    expect(config.credentials['default']).toMatchObject({ clientId: world.double.clients[0]?.clientId, scope: 'api' });
    expect(secrets.get('default')?.[0]?.value.reveal()).toBe(world.stored());
    expect(parse(yaml)).toMatchObject({ environment: 'dev' });
  });

  it('shows with --dry-run what would be done and leaves no file behind', async () => {
    expect(await world.run({ dryRun: true })).toBe(0);
    expect(world.output.join('')).toMatch(/^\+ client My ERP\n\+ secret .*\n\+ policy banking\.pis\.create on/);
    expect(world.double.calls.filter((call) => !call.startsWith('GET '))).toEqual([]);
    expect(readdirSync(world.folder.path)).toEqual(['service-client.yaml']);
  });
});
