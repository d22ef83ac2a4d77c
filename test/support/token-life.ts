/** Callers without pause on tokens of any length, and what the local Aritma saw of it. */
import { setTimeout } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { startTestSidecar } from './sidecar.ts';

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
  readonly logs: readonly Record<string, unknown>[];
}

/** @param beforeSidecar told the emulator's URL */
export async function startTokenLife(
  tokenLifetimeS: number,
  beforeSidecar: (emulatorUrl: string) => Promise<unknown> = async () => undefined,
): Promise<TokenLifeWorld> {
  const emulator = await startEmulator({ port: 0, tokenLifetimeS });
  await beforeSidecar(emulator.url);
  const sidecar = await startTestSidecar({
    upstream: `${emulator.url}/banking/api`,
    tokenEndpoint: `${emulator.url}/connect/token`,
    clientId: DEMO_CLIENT.clientId,
    secret: DEMO_CLIENT.secrets[0]?.value ?? '',
    config: { log: { level: 'info' } },
  });
  const callers = new Agent();
  return {
    async call() {
      const answer = await request(`${sidecar.url}/api/accounts?pageSize=1`, { dispatcher: callers });
      await answer.body.dump();
      return answer.statusCode;
    },
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
  /** Every way in which it could have gone wrong, with what was seen of it. */
  readonly wrong: { failed: readonly number[]; unauthorized: number; expiredTokensSeen: number; replayed: number };
}

/** Four callers, some hundred requests a second, on tokens of 4 s. */
export async function loadOnShortTokens(seconds: number): Promise<LoadResult> {
  await using world = await startTokenLife(4);
  const endAt = performance.now() + seconds * 1000;
  let calls = 0;
  const failed: number[] = [];
  const caller = async () => {
    while (performance.now() < endAt) {
      const status = await world.call();
      calls += 1;
      if (status !== 200) failed.push(status);
      // Enough to see every change of tokens, and leaves the machine to other tests.
      await setTimeout(5);
    }
  };
  await Promise.all(Array.from({ length: 4 }, caller));
  const { tokenRequests, unauthorized, expiredTokensSeen } = await world.counters();
  const replayed = world.logs.filter((line) => line['replayed'] === true).length;
  return { calls, refreshes: tokenRequests - 1, wrong: { failed, unauthorized, expiredTokensSeen, replayed } };
}

export const NOTHING_WRONG: LoadResult['wrong'] = { failed: [], unauthorized: 0, expiredTokensSeen: 0, replayed: 0 };
