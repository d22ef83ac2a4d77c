// The iam commands: one whole life and each exit code. Every command with every flag is in test/system, since
// that is a hundred processes.
import { readFileSync, statSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { createInside } from '../support/cli-inside.ts';
import { startIamCli } from '../support/iam-cli.ts';

const inside = createInside();
afterAll(() => inside[Symbol.asyncDispose]());

describe.concurrent('iam', () => {
  it('makes a client with a secret and a policy, shows them, and deletes them', async () => {
    await using world = await startIamCli({ runIt: inside.run });
    const names = ['--name', 'my-erp', '--description', 'ERP of Oslo', '--scope', 'api'];
    const [client] = await world.rows(['clients', 'create', ...names]);
    const id = String(client?.['clientId']);
    const file = `${world.folder.path}/secret`;
    await world.rows(['secrets', 'create', id, '--description', 'first', '--expires', '90d', '--out', file]);
    expect([readFileSync(file, 'utf8').trim().length, statSync(file).mode & 0o777]).toEqual([32, 0o600]);
    const policy = ['--client', id, '--scope', '/subscriptions/123', '--action', 'banking.ais.read'];
    await world.rows(['policies', 'create', ...policy]);
    expect(await world.rows(['permissions', id])).toMatchObject([{ action: 'banking.ais.read' }]);
    expect(await world.rows(['clients', 'delete', id, '--yes'])).toEqual([{ result: 'deleted', clientId: id }]);
    expect(await world.rows(['policies', 'list', '--scope', '/subscriptions/123'])).toEqual([]);
  });

  it.each([
    ['a client that does not exist', ['clients', 'get', 'nobody'], 8],
    ['a deletion that nobody can be asked about', ['clients', 'delete', 'demo-erp'], 2],
    ['a secret that would go nowhere', ['secrets', 'create', 'demo-erp', '--description', 'x'], 2],
    ['no IAM', ['clients', 'list', '--iam-url', 'http://127.0.0.1:9/core/iam'], 6],
  ])('exits with the code of its cause for %s', async (_what, args, code) => {
    await using world = await startIamCli({ runIt: inside.run });
    expect((await world.iam(args)).code).toBe(code);
  });
});
