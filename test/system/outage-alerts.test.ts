// An identity server that goes away under load, seen through the shipped alerts with shorter waits: what comes first, what
// only when calls fail, and that all of it ends.
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { RULE_FILES } from '../support/deployment.ts';
import { createFolder } from '../support/folder.ts';
import { hasPrometheus, startPrometheus } from '../support/prometheus.ts';
import { startTestSidecar } from '../support/sidecar.ts';

/** Tokens live this long, so that an outage outlives one within a test. */
const TOKEN_LIFETIME_S = 20;

async function createWorld() {
  const emulator = await startEmulator({ port: 0, tokenLifetimeS: TOKEN_LIFETIME_S });
  const sidecar = await startTestSidecar({
    upstream: `${emulator.url}/banking/api`,
    tokenEndpoint: `${emulator.url}/connect/token`,
    clientId: DEMO_CLIENT.clientId,
    secret: DEMO_CLIENT.secrets[0]?.value ?? '',
  });
  const folder = createFolder();
  const rules = RULE_FILES.map((file, index) =>
    folder.write(`rules-${index}.yaml`, readFileSync(file, 'utf8').replace(/^( +for:) .*$/gm, '$1 1s')),
  );
  const prometheus = await startPrometheus(new URL(sidecar.adminUrl).host, rules);
  const load = startLoad(`${sidecar.url}/api/accounts?pageSize=1`);
  onTestFinished(async () => {
    await load.stop();
    await prometheus[Symbol.asyncDispose]();
    await sidecar.stop();
    await emulator.close();
    folder[Symbol.dispose]();
  });
  const faults = (method: string, body?: object) =>
    fetch(`${emulator.url}/_emulator/faults`, {
      method,
      ...(body && { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
    });
  return { sidecar, prometheus, load, faults };
}

/** Some twenty calls a second, and their statuses since they were last asked for. */
function startLoad(url: string) {
  let running = true;
  let statuses = new Set<number>();
  const done = (async () => {
    while (running) {
      statuses.add((await fetch(url)).status);
      await setTimeout(50);
    }
  })();
  return {
    take() {
      const taken = statuses;
      statuses = new Set();
      return taken;
    },
    stop() {
      running = false;
      return done;
    },
  };
}

describe.skipIf(!hasPrometheus && !process.env['CI'])('an outage of the identity server', () => {
  it('is told before calls fail, then as what it is, and is over when it is over', async () => {
    const { sidecar, prometheus, load, faults } = await createWorld();
    const firing = async () =>
      (await prometheus.alerts())
        .filter(({ state }) => state === 'firing')
        .map(({ labels }) => labels['alertname'] ?? '');
    const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 40_000, interval: 100 });
    await eventually(async () => expect(await prometheus.query('up == 1')).toHaveLength(1));
    await eventually(async () => expect(await firing()).toEqual([]));
    await faults('POST', { target: 'token', status: 503, times: 1_000_000 });
    await eventually(async () => expect(await firing()).toContain('AritmaTokenNotRefreshing'));
    // Told while every call still works.
    expect(load.take()).toEqual(new Set([200]));
    expect(await firing()).not.toContain('AritmaTokenExpired');
    await eventually(async () => expect(await firing()).toContain('AritmaTokenExpired'));
    await eventually(async () => expect(await firing()).toContain('AritmaCallsWithoutToken'));
    expect(load.take()).toContain(503);
    await faults('DELETE');
    await fetch(`${sidecar.adminUrl}/token/refresh`, { method: 'POST' });
    load.take();
    await eventually(async () => {
      const names = await firing();
      for (const over of [
        'AritmaTokenNotRefreshing',
        'AritmaTokenExpired',
        'AritmaNoToken',
        'AritmaTokenRefreshFailing',
      ]) {
        expect(names).not.toContain(over);
      }
    });
    expect(load.take()).toContain(200);
  }, 120_000);
});
