// The token engine behind the IAM API: another token for one that is refused, and an end without leftovers.
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { Secret } from '../../src/core/secret.ts';
import { createIamApi } from '../../src/iam/api.ts';
import { connectIam, connectIamAs } from '../../src/iam/connection.ts';
import { startIamCli } from '../support/iam-cli.ts';
import { collect, failure } from '../support/iam-world.ts';
import { until } from '../support/until.ts';

describe('iam-connection', () => {
  it('asks for services.iam and gets another token once IAM refuses one that is older than a moment', async () => {
    await using world = await startIamCli();
    const loaded = loadConfig({ env: world.env, cwd: world.folder.path, iamOnly: { ownToken: false } });
    await using iam = connectIam(loaded);
    const api = createIamApi(iam.connection);
    expect(await collect(api.clients())).toHaveLength(2);
    const before = await iam.connection.authorize();
    await fetch(`${world.url}/_emulator/tokens/revoke`, { method: 'POST' });
    const listed = () =>
      collect(api.clients()).then(
        (clients) => clients.length === 2,
        () => false,
      );
    await until('a list with another token', listed);
    expect((await iam.connection.authorize()).fingerprint()).not.toBe(before.fingerprint());
  });

  it('has no other token than the one that was brought along', async () => {
    await using world = await startIamCli();
    const loaded = loadConfig({ env: world.env, cwd: world.folder.path, iamOnly: { ownToken: true } });
    await using iam = connectIamAs(loaded, new Secret('Bearer not-a-token'));
    const { code, extras } = await failure(collect(createIamApi(iam.connection).clients()));
    expect([code, extras.fields?.['status']]).toEqual(['IAM_REFUSED', 401]);
    expect((await world.counters()).requests.iam).toBe(1);
  });

  it('says what to set, and where, when no IAM is configured', async () => {
    const env = { ARITMA_ENVIRONMENT: 'prod', ARITMA_CLIENT_ID: 'c', ARITMA_CLIENT_SECRET: 's' };
    const loaded = loadConfig({ env, cwd: '/nonexistent' });
    const { code, extras } = await failure((async () => connectIam(loaded))());
    const problem = { where: 'flags and environment', path: 'iam', message: expect.stringContaining('ARITMA_IAM_URL') };
    expect([code, extras.problems]).toEqual(['CONFIG_INVALID', [problem]]);
  });
});
