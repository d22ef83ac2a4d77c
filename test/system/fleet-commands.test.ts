/** What operators see of a fleet with a real store: `fleet status`, and the doctor's findings about the store's settings. */
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { sayAlive } from '../../src/fleet/heartbeat.ts';
import { openInspection } from '../../src/fleet/inspection.ts';
import { FleetMemory } from '../../src/fleet/memory.ts';
import { memberKeys, SCRIPTS } from '../../src/fleet/scripts.ts';
import { createSealer } from '../../src/fleet/seal.ts';
import { createAuthority } from '../support/certificates.ts';
import { jsonLines, run } from '../support/cli.ts';
import { documentedExtras, documentedRights, STORE_PASSWORD } from '../support/fleet-acl.ts';
import { diagnoseFleet, loadFleet, newFleetKey } from '../support/fleet-doctor.ts';
import { createFolder } from '../support/folder.ts';
import { ok, startRawUpstream } from '../support/raw.ts';
import { missingRedis, type RedisServer, startRedis } from '../support/redis-server.ts';
import { until } from '../support/until.ts';
import { createWorld, WORLD_SECRET } from '../support/world.ts';

const missing = process.env['CI'] ? [] : missingRedis();
const lacks = missing.length > 0 ? ` (this machine lacks ${missing.join(', ')})` : '';

async function createStore(args: readonly string[] = []): Promise<RedisServer> {
  const redis = await startRedis({ args });
  await redis.ask('ACL', 'SETUSER', 'aritma', ...documentedRights([...documentedExtras(), '+config|get']));
  return redis;
}

const urlOf = ({ port }: RedisServer) => `redis://aritma@127.0.0.1:${port}`;

/** One heartbeat of a host, so long ago. */
async function sayOnce(redis: RedisServer, { key, host, agoMs }: { key: string; host: string; agoMs: number }) {
  const member = host === 'silent-host' ? 'f'.repeat(16) : 'e'.repeat(16);
  const holdings = [{ client: 'c', place: `place of ${host}`, secrets: [], isKept: true }];
  await sayAlive(
    {
      ...{ prefix: 'aritma', sealer: createSealer([new Secret(key)]), member, memory: new FleetMemory() },
      async run(script, keys, args) {
        await redis.ask('EVAL', SCRIPTS[script], String(keys.length), ...keys, ...args);
        const [times = '', , , heardTimes = ''] = memberKeys('aritma');
        await redis.ask('ZREM', times, member);
        await redis.ask('ZADD', heardTimes, String(Date.now() - agoMs), args[3] ?? '');
      },
    },
    { host, version: '1.0.0', secrets: [], holdings },
  );
}

describe.skipIf(missing.length > 0)(`fleet status${lacks}`, () => {
  it('lists the members with host, version, key and secrets, counts tokens, and names those that differ', async () => {
    await using redis = await createStore();
    const api = await startRawUpstream((socket) => void socket.write(ok('{}')));
    await using world = await createWorld(api.url);
    const { folder } = world;
    const [key, otherKey] = [newFleetKey(), newFleetKey()];
    const fleetWith = (value: string, name: string) => ({
      ...{ url: urlOf(redis), password: { file: folder.write('password', STORE_PASSWORD) } },
      keys: [{ file: folder.write(name, value) }],
      // Longer than a busy machine takes: a token fetched without the store is not there.
      timeout: '5s',
    });
    const fleet = fleetWith(key, 'key');
    await world.serve({ fleet });
    await world.serve({ fleet });
    await world.serve({ fleet }, { env: { TEST_SECRET: 'CANARY-another-secret-0815' } });
    await world.serve({ fleet: fleetWith(otherKey, 'other-key') });
    const file = folder.write(
      'status.yaml',
      JSON.stringify({
        environment: 'emulator',
        credentials: { default: { clientId: 'x', secrets: [{ file: folder.write('s', WORLD_SECRET) }] } },
        fleet,
      }),
    );
    const look = async () => {
      const { code, stdout, stderr } = await run(['fleet', 'status', '--config', file]);
      expect([code, stderr]).toEqual([0, '']);
      for (const secret of [WORLD_SECRET, 'CANARY', key, otherKey, 'token-1', '.A', 'eyJ'])
        expect(stdout).not.toContain(secret);
      return jsonLines(stdout)[0] as {
        readonly keyId: string;
        readonly tokens: number;
        readonly members: { keyId: string; details?: { host: string; secrets: string[] } }[];
        readonly warnings: string[];
      };
    };
    // Secrets are known with the second heartbeat at the latest.
    await until('all members have told their secrets', async () => {
      const { members } = await look();
      return members.length === 4 && members.every(({ details }) => !details || details.secrets.length > 0);
    });
    const { keyId, tokens, members, warnings } = await look();
    expect(members.filter((member) => member.keyId === keyId)).toHaveLength(3);
    expect(members.filter(({ details }) => details)).toHaveLength(3);
    expect(tokens).toBe(2);
    expect(warnings).toEqual([
      expect.stringMatching(/^[0-9a-f]{16} has the key [0-9a-f]{8}, most have another one/),
      expect.stringMatching(/has other client secrets than most: [0-9a-f]{8}$/),
    ]);
    await sayOnce(redis, { key, host: 'silent-host', agoMs: 7_500_000 });
    await sayOnce(redis, { key: newFleetKey(), host: 'silent-with-other-key', agoMs: 60_000 });
    expect((await look()).warnings.slice(2)).toEqual([
      expect.stringMatching(/^e{16}, with the key [0-9a-f]{8}, was heard of last 0 h 1 min ago: for 24 h, no secret/),
      expect.stringMatching(/^silent-host \([0-9a-f]{16}\) was heard of last 2 h 5 min ago: for 24 h, no secret/),
    ]);
    await api.close();
  });

  it('exits 6 with a wrong password, and says so without it', async () => {
    await using redis = await createStore();
    using folder = createFolder();
    const file = folder.write(
      'a.yaml',
      JSON.stringify({
        environment: 'emulator',
        credentials: { default: { clientId: 'x', secrets: [{ file: folder.write('s', 'CANARY-client-secret') }] } },
        fleet: {
          ...{ url: urlOf(redis), password: { file: folder.write('p', 'CANARY-wrong-password') } },
          keys: [{ file: folder.write('k', newFleetKey()) }],
        },
      }),
    );
    const { code, stdout } = await run(['fleet', 'status', '--config', file]);
    expect([code, jsonLines(stdout)]).toMatchObject([6, [{ reachable: false, cause: 'password' }]]);
    expect(stdout).not.toContain('CANARY');
  });
});

describe.skipIf(missing.length > 0)(`check of a store${lacks}`, () => {
  it('has nothing but good to say of one that is set up as documented', async () => {
    await using redis = await createStore(['--maxmemory-policy', 'noeviction']);
    const found = await diagnoseFleet({ url: urlOf(redis) });
    expect(found).toEqual([
      expect.stringMatching(/^127\.0\.0\.1:\d+ reached as user aritma, without TLS, \w+ \d+\.\d+/),
      'this user may do all that a member does',
      'it evicts nothing',
      'it writes nothing to disk',
      'its clock agrees with this machine’s',
      expect.stringMatching(/^0 members now/),
    ]);
  });

  it.each<[string, readonly string[], RegExp]>([
    ['can evict', ['--maxmemory-policy', 'allkeys-lru'], /^fleet_eviction: .*allkeys-lru.* → set maxmemory-policy/m],
    ['writes snapshots', ['--save', '3600 1'], /^fleet_persistence: .*save 3600 1.* → set appendonly no/m],
    ['writes a log', ['--appendonly', 'yes'], /^fleet_persistence: .*appendonly yes/m],
    ['is full', ['--maxmemory', '1mb'], /^fleet_full: .*no memory left \(tried to .*\).* → raise maxmemory/m],
    ['is a replica', ['--replicaof', '127.0.0.1 9'], /^fleet_read_only: .*fleet\.sentinel/m],
  ])('warns about one that %s', async (_what, args, expected) => {
    await using redis = await createStore(args);
    expect((await diagnoseFleet({ url: urlOf(redis) })).join('\n')).toMatch(expected);
  });

  it('warns about a wrong password, a wrong database, and TLS where none is spoken', async () => {
    await using redis = await createStore();
    const causes = async (...args: Parameters<typeof diagnoseFleet>) =>
      (await diagnoseFleet(...args)).map((finding) => finding.replace(/:.*/, ''));
    expect(await causes({ url: urlOf(redis), password: 'CANARY-wrong' })).toEqual(['fleet_password']);
    expect(await causes({ url: `${urlOf(redis)}/99` })).toEqual(['fleet_denied']);
    expect(await causes({ url: `redis://127.0.0.1:${redis.port}/99`, password: '' })).toEqual(['fleet_database']);
    expect(await causes({ url: urlOf(redis).replace('redis:', 'rediss:') })).toEqual([
      expect.stringMatching(/^fleet_(tls|unreachable|timeout)$/),
    ]);
  });

  it('warns about a certificate that is not trusted, and reaches the store with its CA', async () => {
    using folder = createFolder();
    const authority = createAuthority(folder);
    const { certFile, keyFile } = authority.issue('valkey', 'IP:127.0.0.1');
    await using redis = await startRedis({ tls: { certFile, keyFile, caFile: authority.caFile } });
    const url = `rediss://127.0.0.1:${redis.port}`;
    expect((await diagnoseFleet({ url, password: '' })).join()).toMatch(/^fleet_tls: .*fleet\.tls/);
    const found = await diagnoseFleet({ url, password: '', more: { tls: { ca: authority.caFile } } });
    expect(found[0]).toMatch(/reached, with TLS/);
  });

  it('warns about members with another key', async () => {
    await using redis = await createStore();
    const api = await startRawUpstream((socket) => void socket.write(ok('{}')));
    await using world = await createWorld(api.url);
    const fleet = {
      ...{ url: urlOf(redis), password: { file: world.folder.write('password', STORE_PASSWORD) } },
      keys: [{ file: world.folder.write('key', newFleetKey()) }],
    };
    await world.serve({ fleet });
    await until('it is there', async () => (await redis.ask('ZCARD', 'aritma:{members}:times')) === '1');
    expect((await diagnoseFleet({ url: urlOf(redis) })).at(-1)).toMatch(
      /^fleet_other_keys: 1 of 1 member seal with another key/,
    );
    await api.close();
  });

  it('works with a cluster, with the right that the page names for it', async () => {
    // A node that has met no other does not know its own address.
    const args = ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'];
    await using redis = await startRedis({ args });
    await redis.ask('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    await until('the cluster is up', async () => (await redis.ask('CLUSTER', 'INFO')).includes('cluster_state:ok'));
    await redis.ask('ACL', 'SETUSER', 'aritma', ...documentedRights([...documentedExtras(), '+cluster|slots']));
    const more = { nodes: [`127.0.0.1:${redis.port}`], user: 'aritma' };
    const found = await diagnoseFleet({ more });
    expect(found.slice(0, 2)).toEqual([
      expect.stringMatching(/reached as user aritma/),
      'this user may do all that a member does',
    ]);
    using store = await openInspection(loadFleet({ more }));
    expect(await store.countTokens()).toBe(0);
  });
});
