// What /status and the page say of a fleet: the state of its store, and where tokens came from.
import { describe, expect, it } from 'vitest';
import { renderPage } from '../../src/admin/page.ts';
import { status } from '../../src/admin/status.ts';
import type { StatusInput, TokenView } from '../../src/admin/status-input.ts';
import { createAdminWorld } from '../support/admin-world.ts';
import { newFleetKey } from '../support/fleet-doctor.ts';
import { createFolder } from '../support/folder.ts';

const NOW = Date.UTC(2026, 0, 1, 12);
const PROBLEM = 'the fleet store cannot be reached; check that it runs <now>';

const FLEET = {
  store: 'valkey.example:6379',
  up: true,
  problem: undefined,
  since: NOW - 120_000,
  member: 'a1b2c3d4e5f60718',
  members: 12,
  keyId: '5b1c6a0e',
};

function input(fleet: StatusInput['fleet'], source?: TokenView['source']): StatusInput {
  return {
    ...{ version: '1.2.3', environment: 'dev', startedAt: NOW, now: NOW, listening: true, draining: false },
    ...{ startup: 'lenient', inFlight: 0, generation: 1, lastReload: undefined, logLinesLost: 0 },
    ...{ warnings: [], unsafe: [], recentErrors: [], errorGroups: [], unknownOutcomes: [], routes: [] },
    ...{ upstreams: [], fleet, credentials: [{ name: 'default', clientId: 'erp', secrets: [] }] },
    tokens: [
      {
        key: { credential: 'default', scope: 'api' },
        ...{ state: 'fresh', expiresAt: NOW + 60_000, lastSuccessAt: NOW, lastError: undefined },
        ...{ consecutiveFailures: 0, generation: 1, source },
      },
    ],
  };
}

const page = (...args: Parameters<typeof input>) => renderPage(status(input(...args)), { actions: false });

describe('admin/page of a member of a fleet', () => {
  it.each([
    ['shared', 'default (api): fetched by another member'],
    ['fetched', 'default (api): fetched by this sidecar'],
    [undefined, 'none yet'],
  ] as const)('shows store, members, key id, and the source of a token that is %s', (source, words) => {
    const text = page(FLEET, source);
    for (const shown of ['href="#fleet"', 'valkey.example:6379', 'in use', '<dd>12</dd>', '5b1c6a0e', words])
      expect(text).toContain(shown);
  });

  it('says why the store is not used, what to do, and that calls go on; what comes from outside is no markup', () => {
    const text = page({ ...FLEET, up: false, problem: PROBLEM });
    expect(text).toContain('not used');
    expect(text).toContain('The fleet store cannot be reached; check that it runs &lt;now&gt;. Calls go on');
    expect(page({ ...FLEET, up: false, members: undefined })).toMatch(/connecting[\s\S]*not known/);
  });

  it('has no such section without a fleet', () => {
    expect(page(undefined)).not.toMatch(/fleet/i);
  });
});

describe('admin/status of a member of a fleet', () => {
  it('has times as ISO 8601, and the source of each token', () => {
    const { fleet, credentials } = status(input(FLEET, 'shared'));
    expect(fleet).toEqual({ ...FLEET, since: '2026-01-01T11:58:00.000Z' });
    expect(credentials[0]?.tokens[0]?.source).toBe('shared');
  });

  it('names the store that is down, and what to do; calls work', async () => {
    using folder = createFolder();
    const keys = [{ file: folder.write('key', newFleetKey()) }];
    await using world = await createAdminWorld({ fleet: { url: 'redis://127.0.0.1:9', keys } });
    expect((await fetch(`${world.sidecar.url}/api/x`)).status).toBe(200);
    const told = (await world.admin('/status')).json();
    expect(told['fleet']).toMatchObject({
      ...{ store: '127.0.0.1:9', up: false, problem: expect.stringMatching(/cannot be reached; check that it runs/) },
    });
    expect(told['verdict']).toEqual({ state: 'works', failing: 0 });
    expect(told['credentials']).toMatchObject([{ tokens: [{ source: 'fetched' }] }]);
  });
});
