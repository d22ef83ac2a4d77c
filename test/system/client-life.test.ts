// The whole life of a service client on the local Aritma, with the program's own commands as processes: provisioned from one
// file, served with the configuration that came out of it, called, rotated under load, revoked.
import { expect, it } from 'vitest';
import { stringify } from 'yaml';
import { addressesOf, jsonLines, run, start } from '../support/cli.ts';
import { createFolder } from '../support/folder.ts';
import { startPacedLoad } from '../support/paced-load.ts';
import { until } from '../support/until.ts';

/** What an operator writes, and what their sidecar is to look like besides. */
const desired = (url: string) => ({
  client: { name: 'My ERP', description: 'Payments of the Oslo office', scopes: ['api'] },
  secret: { file: 'secret', lifetime: '90d' },
  policies: [{ scope: '/subscriptions/123', action: 'banking.ais.read' }],
  sidecar: {
    ...{ listen: '127.0.0.1:0', admin: '127.0.0.1:0', iam: { url: `${url}/core/iam`, credential: 'admin' } },
    credentials: {
      default: { tokenEndpoint: `${url}/connect/token`, rotation: { overlap: '2s' } },
      admin: { tokenEndpoint: `${url}/connect/token`, clientId: 'demo-admin', secrets: [{ file: 'admin' }] },
    },
    routes: [{ path: '/banking', upstream: `${url}/banking/api`, allow: ['GET /**'] }],
  },
});

interface Configuration {
  readonly document: { readonly credentials: { readonly default: { readonly clientId: string } } };
}

it('is provisioned, served, called, rotated under 200 requests/s without a failure, and revoked at once', async () => {
  using folder = createFolder();
  await using emulator = start(['emulate', '--listen', '127.0.0.1:0', '--token-lifetime', '5s', '--json']);
  const [, url = ''] = await emulator.untilStdout(/"url":"([^"]+)"/);
  folder.write('admin', 'demo-admin-not-for-production');
  folder.write('service-client.yaml', stringify(desired(url)));
  const admin = {
    ...{ ARITMA_IAM_URL: `${url}/core/iam`, ARITMA_TOKEN_ENDPOINT: `${url}/connect/token` },
    ...{ ARITMA_CLIENT_ID: 'demo-admin', ARITMA_CLIENT_SECRET_FILE: 'admin' },
  };
  const command = (...args: string[]) => run(args, { env: admin, cwd: folder.path });

  const provisioned = await command('iam', 'provision', '-f', 'service-client.yaml', '--yes');
  expect([provisioned.code, provisioned.stderr]).toEqual([0, '']);
  const { document } = jsonLines(provisioned.stdout).find((line) => 'document' in line) as unknown as Configuration;
  const { clientId } = document.credentials.default;
  folder.write('aritma-sidecar.yaml', stringify(document));

  await using sidecar = start(['serve'], { cwd: folder.path, limitMs: 120_000 });
  const { url: proxy } = await addressesOf(sidecar);
  const accounts = `${proxy}/banking/accounts`;
  const status = async (headers = {}) => (await fetch(accounts, { headers })).status;
  expect([
    await status(),
    await status({ 'subscription-id': '123' }),
    await status({ 'subscription-id': '12' }),
  ]).toEqual([200, 200, 403]);

  const load = startPacedLoad([accounts], 200);
  for (let round = 0; round < 3; round += 1) {
    const { code, stdout } = await run(['rotate'], { cwd: folder.path });
    expect([code, jsonLines(stdout).at(-1)?.['kind']]).toEqual([0, 'rotated']);
  }
  const { requests, failures } = await load.stop();
  expect([failures, requests > 1000]).toEqual([{}, true]);
  process.stdout.write(`three rotations under ${requests} requests, 0 failed\n`);

  const policy = ['--client', clientId, '--scope', '/subscriptions/123', '--action', 'banking.ais.read'];
  expect((await command('iam', 'policies', 'delete', ...policy, '--yes')).code).toBe(0);
  expect(await status()).toBe(403);
  expect((await command('iam', 'policies', 'create', ...policy)).code).toBe(0);
  expect(await status()).toBe(200);
  expect((await command('iam', 'clients', 'delete', clientId, '--yes')).code).toBe(0);
  // The token it still has is refused, and there is no other one.
  await until('the sidecar says that its credentials are refused', async () => (await status()) === 503, 15_000);
}, 180_000);
