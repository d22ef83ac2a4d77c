/** Callers without pause on tokens of any lifetime, by the test's own clock, and what the local Aritma saw. */
import { Agent, request } from 'undici';
import { startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { createFakeClock, type FakeClock } from './clock.ts';
import { startTestSidecar } from './sidecar.ts';
import { until } from './until.ts';

export interface Counters {
  readonly tokenRequests: number;
  readonly unauthorized: number;
  readonly expiredTokensSeen: number;
  readonly requests: { readonly banking: number };
}

export interface TokenLifeWorld extends AsyncDisposable {
  /** The status of one call. */
  call(): Promise<number>;
  counters(): Promise<Counters>;
  /** The clock of both sidecar and Aritma. */
  readonly clock: FakeClock;
  readonly logs: readonly Record<string, unknown>[];
}

/** @param beforeSidecar gets the emulator's URL */
export async function startTokenLife(
  tokenLifetimeS: number,
  beforeSidecar: (emulatorUrl: string) => Promise<unknown> = async () => undefined,
): Promise<TokenLifeWorld> {
  const clock = createFakeClock(Date.now());
  const emulator = await startEmulator({ port: 0, tokenLifetimeS, now: () => clock.now().wallMs });
  await beforeSidecar(emulator.url);
  const sidecar = await startTestSidecar({
    upstream: `${emulator.url}/banking/api`,
    tokenEndpoint: `${emulator.url}/connect/token`,
    clientId: DEMO_CLIENT.clientId,
    secret: DEMO_CLIENT.secrets[0]?.value ?? '',
    clock,
    // A thousand callers in one process need time, which must not count for the token request.
    config: { log: { level: 'info' }, token: { attemptTimeout: '10m', waitTimeout: '10m' } },
  });
  const callers = new Agent();
  return {
    async call() {
      const answer = await request(`${sidecar.url}/api/accounts?pageSize=1`, { dispatcher: callers });
      await answer.body.dump();
      return answer.statusCode;
    },
    clock,
    counters: async () => (await (await fetch(`${emulator.url}/_emulator/counters`)).json()) as Counters,
    logs: sidecar.logs,
    async [Symbol.asyncDispose]() {
      await callers.destroy();
      await sidecar.stop();
      await emulator.close();
    },
  };
}

export interface LoadResult {
  readonly calls: number;
  /** Tokens after the first one. */
  readonly refreshes: number;
  /** Everything that could have gone wrong, with the observed values. */
  readonly wrong: { failed: readonly number[]; unauthorized: number; expiredTokensSeen: number; replayed: number };
}

const CALLERS = 4;
const STEP_MS = 50;

/** Four callers without pause on tokens of 4 s: the clock moves when each has got another response. */
export async function loadOnShortTokens(seconds: number): Promise<LoadResult> {
  await using world = await startTokenLife(4);
  const calls = Array<number>(CALLERS).fill(0);
  const failed: number[] = [];
  let goesOn = true;
  const caller = async (_none: unknown, index: number) => {
    while (goesOn) {
      const status = await world.call();
      calls[index] = (calls[index] ?? 0) + 1;
      if (status !== 200) failed.push(status);
    }
  };
  const calling = Promise.all(Array.from({ length: CALLERS }, caller));
  for (let passedMs = 0; passedMs < seconds * 1000; passedMs += STEP_MS) {
    const before = [...calls];
    await until('all have had an answer', () => calls.every((count, index) => count > (before[index] ?? 0)));
    await world.clock.advance(STEP_MS);
  }
  goesOn = false;
  await calling;
  const { tokenRequests, unauthorized, expiredTokensSeen } = await world.counters();
  const replayed = world.logs.filter((line) => line['replayed'] === true).length;
  return {
    calls: calls.reduce((sum, count) => sum + count, 0),
    refreshes: tokenRequests - 1,
    wrong: { failed, unauthorized, expiredTokensSeen, replayed },
  };
}

export const NOTHING_WRONG: LoadResult['wrong'] = { failed: [], unauthorized: 0, expiredTokensSeen: 0, replayed: 0 };
