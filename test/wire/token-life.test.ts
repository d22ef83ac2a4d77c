/** Tokens under load: one request at a cold start however many callers wait, and no gap when tokens are short-lived. */
import { setTimeout } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { startTestSidecar } from '../support/sidecar.ts';

interface Counters {
  readonly tokenRequests: number;
  readonly unauthorized: number;
  readonly expiredTokensSeen: number;
  readonly requests: { readonly banking: number };
}

async function startWorld(tokenLifetimeS: number, beforeSidecar: (emulatorUrl: string) => Promise<unknown>) {
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
  onTestFinished(async () => {
    await callers.destroy();
    await sidecar.stop();
    await emulator.close();
  });
  const call = async () => {
    const answer = await request(`${sidecar.url}/api/accounts?pageSize=1`, { dispatcher: callers });
    await answer.body.dump();
    return answer.statusCode;
  };
  const counters = async () => (await (await fetch(`${emulator.url}/_emulator/counters`)).json()) as Counters;
  return { call, counters, logs: sidecar.logs };
}

describe('tokens under load', () => {
  it('makes one token request for 1,000 concurrent callers at a cold start, and all of them succeed', async () => {
    // The slow first answer holds every caller in the queue until all have come.
    const slowToken = { target: 'token', delayMs: 1500 };
    const { call, counters } = await startWorld(3600, (url) =>
      fetch(`${url}/_emulator/faults`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(slowToken),
      }),
    );
    const statuses = await Promise.all(Array.from({ length: 1000 }, call));
    expect(statuses.filter((status) => status !== 200)).toEqual([]);
    expect(await counters()).toMatchObject({ tokenRequests: 1, unauthorized: 0, requests: { banking: 1000 } });
  });

  it('serves 30 s of continuous load on tokens of 4 s: nothing fails, none is expired, at most 15 refreshes', async () => {
    const { call, counters, logs } = await startWorld(4, async () => undefined);
    const endAt = performance.now() + 30_000;
    let calls = 0;
    const failed: number[] = [];
    const caller = async () => {
      while (performance.now() < endAt) {
        const status = await call();
        calls += 1;
        if (status !== 200) failed.push(status);
        // Some hundred requests a second see every change of tokens and leave the machine to other tests.
        await setTimeout(5);
      }
    };
    await Promise.all(Array.from({ length: 4 }, caller));
    const { tokenRequests, unauthorized, expiredTokensSeen } = await counters();
    const replayed = logs.filter((line) => line['replayed'] === true).length;
    expect({ failed, unauthorized, expiredTokensSeen, replayed }).toEqual({
      failed: [],
      unauthorized: 0,
      expiredTokensSeen: 0,
      replayed: 0,
    });
    expect(calls).toBeGreaterThan(1000);
    // The first token is no refresh. Fewer than six would mean tokens were used beyond their life.
    expect(tokenRequests - 1).toBeLessThanOrEqual(15);
    expect(tokenRequests - 1).toBeGreaterThanOrEqual(6);
    process.stdout.write(`30 s on 4 s tokens: ${calls} requests, ${tokenRequests - 1} refreshes, 0 failed\n`);
  }, 60_000);
});
