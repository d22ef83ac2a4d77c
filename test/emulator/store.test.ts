import { describe, expect, it } from 'vitest';
import { createStore, DEMO_CLIENT } from '../../src/emulator/store.ts';

describe('src/emulator/store.ts', () => {
  it('refuses to start with an expiration that is no date', () => {
    const secrets = [{ clientSecretId: '1', value: 'x', description: '', expiration: 'soon' }];
    expect(() => createStore([{ ...DEMO_CLIENT, secrets }], { now: Date.now })).toThrow(/not an ISO 8601 date/);
  });

  it('keeps no secret value', () => {
    const store = createStore([DEMO_CLIENT], { now: Date.now });
    expect(JSON.stringify(store.contents())).not.toContain('not-for-production');
    expect(store.clients.acceptsSecret('demo-erp', 'demo-secret-not-for-production')).toBe(true);
    expect(store.clients.acceptsSecret('nobody', 'demo-secret-not-for-production')).toBe(false);
  });
});
