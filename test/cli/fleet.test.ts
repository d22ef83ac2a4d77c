// The commands `fleet key` and `fleet status`, without a store; test/system/fleet-commands.test.ts has one.
import { describe, expect, it } from 'vitest';
import { jsonLines, run } from '../support/cli.ts';
import { newFleetKey } from '../support/fleet-doctor.ts';
import { createFolder } from '../support/folder.ts';

const CREDENTIALS = { default: { clientId: 'x', secrets: [{ env: 'SECRET' }] } };
const env = { SECRET: 'CANARY-client-secret', KEY: newFleetKey(), PASSWORD: 'CANARY-store-password' };
const FLEET = { url: 'redis://127.0.0.1:9', password: { env: 'PASSWORD' }, keys: [{ env: 'KEY' }] };

describe.concurrent('fleet key', () => {
  it('prints one new key of 256 bits and nothing else', async () => {
    const [one, other] = await Promise.all([run(['fleet', 'key']), run(['fleet', 'key'])]);
    expect(one).toEqual({ code: 0, stdout: expect.stringMatching(/^[A-Za-z0-9_-]{43}\n$/), stderr: '' });
    expect(Buffer.from(one.stdout, 'base64url')).toHaveLength(32);
    expect(other.stdout).not.toBe(one.stdout);
  });
});

describe.concurrent('fleet status without a store', () => {
  const runWith = async (config: object, ...flags: readonly string[]) => {
    using folder = createFolder();
    const file = folder.write('a.yaml', JSON.stringify({ environment: 'dev', credentials: CREDENTIALS, ...config }));
    return await run(['fleet', 'status', '--config', file, ...flags], { env });
  };

  it('exits 2 where no fleet is configured, and says what to set', async () => {
    const { code, stdout, stderr } = await runWith({});
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/fleet.*is missing: set fleet\.url and fleet\.keys/);
  });

  it('exits 2 with a bad configuration', async () => {
    expect(await runWith({ fleet: { ...FLEET, keys: [] } })).toMatchObject({ code: 2, stdout: '' });
  });

  it('exits 6 where the store cannot be reached, says what to do, and prints no secret', async () => {
    const { code, stdout, stderr } = await runWith({ fleet: FLEET });
    expect([code, jsonLines(stdout)]).toEqual([
      6,
      [
        {
          ...{ reachable: false, cause: 'unreachable', message: 'the fleet store cannot be reached' },
          fix: expect.stringMatching(/^check that it runs/),
        },
      ],
    ]);
    for (const secret of Object.values(env)) expect(stdout + stderr).not.toContain(secret);
  });
});
