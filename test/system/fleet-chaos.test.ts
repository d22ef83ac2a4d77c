// Payments through three members of a fleet while members and store die, freeze and forget. Longer: FLEET_CHAOS_SECONDS=300.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { COMPILED } from '../support/compiled.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { type ChaosMember, type ChaosPlaces, type FleetChaosTally, runFleetChaos } from '../support/redis-chaos.ts';
import { newFleetKey } from '../support/redis-member.ts';
import { describeWithRedis } from '../support/redis-worlds.ts';
import { startSidecarProcess } from '../support/sidecar-process.ts';

const SEED = Number(process.env['CHAOS_SEED'] ?? 20_260_702);
const SECONDS = Number(process.env['FLEET_CHAOS_SECONDS'] ?? 20);
const LIMIT_MS = (SECONDS + 90) * 1000;
const NAIVE = new URL('../support/redis-naive-member.ts', import.meta.url).pathname;

async function startMember({ upstream, tokenEndpoint, storePort }: ChaosPlaces, keyFile: string): Promise<ChaosMember> {
  const fleet = { url: `redis://127.0.0.1:${storePort}`, keys: [{ file: keyFile }] };
  const token = { attemptTimeout: '2s' };
  const sidecar = await startSidecarProcess({ upstream, tokenEndpoint, config: { fleet, token } });
  return { port: sidecar.port, kill: () => Promise.resolve(sidecar[Symbol.asyncDispose]()) };
}

async function startNaive({ upstream, tokenEndpoint, storePort }: ChaosPlaces): Promise<ChaosMember> {
  const child = fork(NAIVE, [upstream, tokenEndpoint, String(storePort)], {
    ...{ stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [], env: { ...process.env, ...COMPILED } },
  });
  const [port] = (await once(child, 'message')) as [number];
  return {
    port,
    async kill() {
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

describeWithRedis(`a fleet in chaos (CHAOS_SEED=${SEED})`, () => {
  let tally: FleetChaosTally;
  let folder: Folder;
  beforeAll(async () => {
    folder = createFolder();
    const keyFile = folder.write('key', newFleetKey());
    tally = await runFleetChaos({ seed: SEED, seconds: SECONDS, start: (places) => startMember(places, keyFile) });
  }, LIMIT_MS);
  afterAll(() => {
    folder?.[Symbol.dispose]();
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
