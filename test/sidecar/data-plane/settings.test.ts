// What a worker is told of a configuration: enough to serve by, and no secret of a client.
import { deserialize, serialize } from 'node:v8';
import { expect, it } from 'vitest';
import { partOf, plainSettings, revive } from '../../../src/sidecar/data-plane/settings.ts';
import type { WorkerSettings } from '../../../src/sidecar/workers/protocol.ts';
import { createFolder, load } from '../../support/folder.ts';

const SECRET = 'canary-client-secret-4711';
const KEY = 'canary-caller-key-0815';

const YAML = (folder: { write(name: string, text: string): string }) => `
credentials:
  default:
    tokenEndpoint: https://id.example/connect/token
    clientId: canary-client-id
    secrets: [{ file: ${folder.write('secret', SECRET)} }, { env: SECOND }]
    parameters: { tenant: canary-parameter }
routes: [{ path: /api, upstream: 'https://api.example/v1', allow: [GET /x] }]
callers: { keys: { erp: [{ file: ${folder.write('key', KEY)} }] } }
limits: { connections: 10, upstreamConnections: 7 }
`;

it('holds no client secret, no caller’s key and nothing of a credential', () => {
  using folder = createFolder();
  const env = { SECOND: 'canary-client-secret-second', HTTPS_PROXY: 'http://user:word@proxy:3128' };
  const loaded = load(folder, { yaml: YAML(folder), env });
  const plain = plainSettings(loaded, { index: 0, count: 3 }, () => 0);
  const bytes = serialize(plain);
  expect(bytes.includes('canary')).toBe(false);
  expect(bytes.includes(folder.path)).toBe(false);
  // What it does have, so that the above means something.
  for (const text of ['https://api.example', 'GET /x', 'user:word@proxy']) expect(bytes.includes(text)).toBe(true);
  const there = revive({ ...(deserialize(bytes) as typeof plain), generation: 1, tokens: [] } as WorkerSettings);
  const [key] = loaded.callerKeys.get('erp') ?? [];
  expect(there.callerKeys.get('erp')?.[0]?.digest()).toEqual(key?.digest());
  expect(there.proxy?.https?.reveal()).toBe('http://user:word@proxy:3128');
  expect(there.config.limits).toMatchObject({ connections: 4, upstreamConnections: 3 });
});

it.each([
  [10, 3],
  [7, 7],
  [1000, 64],
])('%i for %i workers are divided without one more or less', (whole, count) => {
  const parts = Array.from({ length: count }, (_, index) => partOf(whole, { index, count }));
  expect(parts.reduce((sum, part) => sum + part, 0)).toBe(whole);
  expect(Math.max(...parts) - Math.min(...parts)).toBeLessThanOrEqual(1);
});

it('of fewer connections than workers there is no part for each, which is said at once', () => {
  using folder = createFolder();
  const yaml = `${YAML(folder)}workers: 8\n`;
  const tryIt = () => load(folder, { yaml, env: { SECOND: 'canary-second' } });
  expect(tryIt).toThrow('CONFIG_INVALID');
});
