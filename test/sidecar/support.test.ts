import { expect, it } from 'vitest';
import type { StatusInput } from '../../src/admin/status-input.ts';
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts';
import { createLog } from '../../src/core/log.ts';
import { createMetrics } from '../../src/core/metrics.ts';
import { Secret } from '../../src/core/secret.ts';
import { createSupport, type Doctor } from '../../src/sidecar/support.ts';

const loaded = loadConfig({
  env: { S: 'a-secret-of-the-test' },
  document: {
    credentials: { default: { tokenEndpoint: 'http://127.0.0.1:9/token', clientId: 'x', secrets: [{ env: 'S' }] } },
    routes: [{ path: '/api', upstream: 'http://127.0.0.1:9' }],
  },
});

const EMPTY = { routes: [], credentials: [], tokens: [], recentErrors: [], errorGroups: [], unknownOutcomes: [] };
const STATE = {
  ...EMPTY,
  inFlight: 0,
  generation: 1,
  logLinesLost: 0,
  upstreams: [],
  warnings: [],
  unsafe: [],
  now: 1000,
  startedAt: 0,
};

function create(doctor: Doctor | undefined, now: LoadedConfig = loaded, before: readonly LoadedConfig[] = []) {
  const log = createLog({ level: 'info', format: 'json', write: () => undefined });
  log.info('listening', { address: 'a-secret-of-the-test' });
  const current = () => ({ loaded: now, tokens: { sources: () => [] } }) as never;
  const snapshot = () => STATE as unknown as StatusInput;
  return createSupport({
    reloader: { current, replaced: () => before },
    log,
    metrics: createMetrics('1.2.3'),
    snapshot,
    doctor,
  });
}

it('runs check once for requests at the same time, and again only after half a minute', async () => {
  let runs = 0;
  const make = create(async (load) => {
    runs += 1;
    return `found in ${load().file}: a-secret-of-the-test`;
  });
  const files = await Promise.all([make(true), make(true), make(true), make(false)]);
  expect(files[0]).toContain('found in the document given: [secret]');
  expect(files[3]).not.toContain('found in');
  await make(true);
  expect(runs).toBe(1);
});

it('has no secret of the configuration in the log it shows', async () => {
  const text = await create(undefined)(true);
  expect(text).toContain('"address":"[secret]","message":"listening"');
  expect(text).not.toContain('a-secret-of-the-test');
});

it('has no secret that was replaced since the log line was written', async () => {
  const text = await create(undefined, { ...loaded, secrets: new Map() }, [loaded])(true);
  expect(text).toContain('"address":"[secret]","message":"listening"');
});

it('lets other work run while it redacts', async () => {
  const many = Array.from({ length: 200 }, (_, index) => ({
    name: String(index),
    value: new Secret(`secret-${index}-of-the-test`),
  }));
  const make = create(undefined, { ...loaded, secrets: new Map([['default', many as never]]) });
  let turns = 0;
  const count = () => {
    turns += 1;
    if (!done) setImmediate(count);
  };
  let done = false;
  setImmediate(count);
  await make(false);
  done = true;
  expect(turns).toBeGreaterThan(200);
});
