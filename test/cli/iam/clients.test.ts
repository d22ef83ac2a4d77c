// What a client is shown as, whatever IAM says of it.
import { describe, expect, it } from 'vitest';
import { CLIENT_COMMANDS } from '../../../src/cli/iam/clients.ts';
import { createPrinter } from '../../../src/cli/iam/output.ts';
import type { IamApi } from '../../../src/iam/api.ts';
import { createFakeTerminal } from '../../support/fake-terminal.ts';

async function shown(client: object): Promise<string> {
  const [out, err] = [createFakeTerminal(true), createFakeTerminal(false)];
  const api = { client: async () => ({ clientId: 'erp', ...client }) } as unknown as IamApi;
  const printer = createPrinter({ out: out.stream, err: err.stream }, false);
  await CLIENT_COMMANDS.get({ api, printer, flags: {}, operands: ['erp'] });
  return out.text();
}

describe('iam-commands/clients get', () => {
  it('shows lists as words and everything else as it came', async () => {
    const text = await shown({
      name: 'My ERP',
      allowedScopes: ['api', 'openid'],
      tags: [{ a: [1] }, null],
      owner: null,
    });
    expect(text).toBe('clientId: erp\nname: My ERP\nallowedScopes: api openid\ntags: {"a":[1]} null\nowner: null\n');
  });

  it('shows a list of any depth', async () => {
    const depth = 50_000;
    const tags = JSON.parse('['.repeat(depth) + ']'.repeat(depth)) as unknown;
    expect((await shown({ tags })).length).toBeGreaterThan(2 * depth - 10);
  });
});
