// Payments through three members of a fleet while members and store die, freeze and forget, the store fails over, and key and
// client secret are changed. Longer: FLEET_CHAOS_SECONDS=300.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { setup } from '../support/build-program.ts';
import { COMPILED } from '../support/compiled.ts';
import { createFolder } from '../support/folder.ts';
import {
  type ChangingMember,
  type ChaosMember,
  type ChaosPlaces,
  type FleetChaosTally,
  runFleetChaos,
} from '../support/redis-chaos.ts';
import { describeWithRedis } from '../support/redis-worlds.ts';
import { FLEET_CLIENT, startRotationMember } from '../support/rotation-fleet.ts';

const SEED = Number(process.env['CHAOS_SEED'] ?? 20_260_702);
const SECONDS = Number(process.env['FLEET_CHAOS_SECONDS'] ?? 30);
const LIMIT_MS = (SECONDS + 300) * 1000;
const NAIVE = new URL('../support/redis-naive-member.ts', import.meta.url).pathname;

async function startMember(places: ChaosPlaces, at: number): Promise<ChangingMember> {
  const folder = createFolder();
  let keys = 0;
  const withKeys = (values: readonly string[]) => {
    const sources = values.map((value) => {
      keys += 1;
      return { file: folder.write(`key-${keys}`, value) };
    });
    return { fleet: { ...places.fleet, keys: sources, timeout: '1s' } };
  };
  const first = withKeys([places.key]);
  const member = await startRotationMember(at, {
    ...{ overlap: '4s', aritma: places.aritma, tokenEndpoint: places.tokenEndpoint, storePort: 0 },
    config: () => ({
      ...first,
      routes: [{ path: '/banking', upstream: places.upstream, credential: 'default' }],
      token: { attemptTimeout: '2s' },
      log: { format: 'json' },
    }),
  });
  const end = member[Symbol.asyncDispose];
  return Object.assign(member, {
    useKeys: (values: readonly string[]) => member.configure(withKeys(values)),
    async [Symbol.asyncDispose]() {
      await end();
      folder[Symbol.dispose]();
    },
  });
}

async function startNaive({ upstream, tokenEndpoint, sentinelPorts }: ChaosPlaces): Promise<ChaosMember> {
  const args = [upstream, tokenEndpoint, JSON.stringify(FLEET_CLIENT), ...sentinelPorts.map(String)];
  const begin = async () => {
    const child = fork(NAIVE, args, {
      ...{ stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [], env: { ...process.env, ...COMPILED } },
    });
    const [port] = (await once(child, 'message')) as [number];
    return { child, url: `http://127.0.0.1:${port}/api/payments` };
  };
  let running = await begin();
  const kill = async () => {
    const exited = once(running.child, 'exit');
    running.child.kill('SIGKILL');
    await exited;
  };
  return {
    get url() {
      return running.url;
    },
    kill,
    async restart() {
      running = await begin();
    },
    [Symbol.asyncDispose]: kill,
  };
}

describeWithRedis(`a fleet in chaos (CHAOS_SEED=${SEED})`, () => {
  let tally: FleetChaosTally;
  beforeAll(async () => {
    // Starts in half the time, which is most of what this costs.
    await setup();
    tally = await runFleetChaos({ seed: SEED, seconds: SECONDS, start: startMember });
  }, LIMIT_MS);
  afterAll(() => {
    process.stdout.write(`fleet chaos ${SEED}: ${JSON.stringify(tally)}\n`);
  });

  it('everything has struck, or the rest would prove nothing', () => {
    expect(Object.entries(tally.struck).filter(([, times]) => times === 0)).toEqual([]);
    expect(tally.served).toBeGreaterThan(100);
  });

  it('every call is served that a single sidecar would serve', () => {
    expect(tally.failed).toEqual({});
  });

  it('no payment is executed twice, and each whose caller got a success is executed once', () => {
    expect([tally.executedTwice, tally.lost]).toEqual([[], []]);
  });

  it('every member has a working secret at any moment, and the same one and the same key as the others at the end', () => {
    expect(tally.wrong).toEqual([]);
  });

  it('no token is sent after its life', () => {
    expect(tally.expired).toBe(0);
  });

  it('the members share again afterwards: one revoked token, one token request', () => {
    expect(tally.atTheEnd).toBe(1);
  });
});

describeWithRedis('proxies with a shared cache, in the same chaos', () => {
  it(
    'fail calls',
    async () => {
      const tally = await runFleetChaos({ seed: SEED, seconds: 10, start: startNaive });
      expect(Object.keys(tally.failed)).not.toEqual([]);
    },
    LIMIT_MS,
  );
});
