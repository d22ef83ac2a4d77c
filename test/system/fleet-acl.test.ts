/** The rights that docs/tokens.md gives the user of a fleet's store are enough, and none of them is too much. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { documentedExtras, documentedRights, STORE_PASSWORD } from '../support/fleet-acl.ts';
import { diagnoseFleet, newFleetKey } from '../support/fleet-doctor.ts';
import { ok, startRawUpstream } from '../support/raw.ts';
import { missingRedis, type RedisServer, startRedis } from '../support/redis-server.ts';
import { createWorld } from '../support/world.ts';

const missing = process.env['CI'] ? [] : missingRedis();
const lacks = missing.length > 0 ? ` (this machine lacks ${missing.join(', ')})` : '';

const ALL_RIGHT = 'this user may do all that a member does';

describe.skipIf(missing.length > 0)(`the documented user of the store${lacks}`, () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis?.[Symbol.asyncDispose]());

  const diagnose = async (rights: readonly string[]) => {
    await redis.ask('ACL', 'SETUSER', 'aritma', 'reset', ...rights);
    return diagnoseFleet({ url: `redis://aritma@127.0.0.1:${redis.port}` });
  };

  it('may do all that a member does, and the doctor calls unknown what it may not see', async () => {
    expect(await diagnose(documentedRights())).toEqual([
      `127.0.0.1:${redis.port} reached as user aritma, without TLS, redis 7.0.15`.replace('7.0.15', await version()),
      ALL_RIGHT,
      'eviction policy unknown: this user may not run INFO',
      'persistence unknown: this user may not run INFO and CONFIG GET',
      'its clock agrees with this machine’s',
      expect.stringMatching(/^0 members now/),
    ]);
  });

  it('sees all with the rights beyond it, save what only CONFIG tells', async () => {
    const found = await diagnose(documentedRights(documentedExtras()));
    expect(found.filter((message) => message.includes('unknown'))).toEqual([
      'persistence unknown: this user may not run INFO and CONFIG GET',
    ]);
    expect(found.at(-1)).toMatch(/^0 members now/);
    expect((await diagnose(documentedRights([...documentedExtras(), '+config|get']))).join()).not.toContain('unknown');
  });

  const commands = documentedRights().filter((rule) => rule.startsWith('+'));

  it.each(commands)(
    'needs %s: without it, the doctor says that a command is refused, and names the step',
    async (rule) => {
      const found = await diagnose([...documentedRights(), rule.replace('+', '-')]);
      expect(found.join('\n')).toMatch(
        rule === '+time'
          ? /^fleet_denied: the fleet store refuses a command/
          : /^fleet_denied: the fleet store refuses a command to this user \(tried to .+\); .* → give it the rights/m,
      );
      expect(found).not.toContain(ALL_RIGHT);
    },
  );

  it.each(['~aritma:*', '&aritma:*'])('needs %s', async (rule) => {
    const found = await diagnose(documentedRights().filter((one) => one !== rule));
    expect(found.join('\n')).toMatch(/^fleet_denied: .*tried to/m);
  });

  it('reads and writes no name of others, and leaves none of its own behind', async () => {
    await redis.ask('FLUSHALL');
    await redis.ask('SET', 'other:{x}:token', '1:planted');
    const found = await diagnoseFleet({
      url: `redis://aritma@127.0.0.1:${redis.port}`,
      more: { prefix: 'other' },
    });
    expect(found.join('\n')).toMatch(/^fleet_denied: /m);
    await diagnose(documentedRights());
    expect(await redis.ask('KEYS', '*')).toBe('other:{x}:token');
  });

  it('shares a token between two sidecars', async () => {
    await redis.ask('FLUSHALL');
    await redis.ask('ACL', 'SETUSER', 'aritma', 'reset', ...documentedRights());
    const api = await startRawUpstream((socket) => void socket.write(ok('{}')));
    await using world = await createWorld(api.url);
    const fleet = {
      url: `redis://aritma@127.0.0.1:${redis.port}`,
      password: { file: world.folder.write('password', STORE_PASSWORD) },
      keys: [{ file: world.folder.write('fleet-key', newFleetKey()) }],
      // Longer than a busy machine takes.
      timeout: '5s',
    };
    const first = await world.serve({ fleet });
    expect((await fetch(`${first.url}/api/x`)).status).toBe(200);
    const second = await world.serve({ fleet });
    expect((await fetch(`${second.url}/api/x`)).status).toBe(200);
    expect(world.identity.calls).toHaveLength(1);
    await api.close();
  });

  async function version(): Promise<string> {
    return /redis_version:(\S+)/.exec(await redis.ask('INFO', 'server'))?.[1] ?? '';
  }
});
