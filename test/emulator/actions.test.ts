import { describe, expect, it } from 'vitest';
import { ACTIONS, grantersOf, impliedBy } from '../../src/emulator/actions.ts';

describe('src/emulator/actions.ts', () => {
  it('has the actions of the public authorization page', () => {
    const of = (name: string, parts: string[]): string[] => parts.map((part) => `banking.${name}.${part}`);
    expect([...ACTIONS.keys()]).toEqual(
      expect.arrayContaining([
        'owner',
        'banking.manage',
        ...of('channels', ['all', 'psd2', 'openbanking']),
        ...of('consents', ['manage', 'create', 'read', 'update', 'delete']),
        ...of('ais', ['manage', 'create', 'read']),
        ...of('pis', ['manage', 'create', 'read', 'authorize', 'cancel']),
        ...of('mandates', ['manage', 'write', 'read', 'delete']),
        'iam.policy.read',
      ]),
    );
  });

  it('goes up from a child to the root, nearest first', () => {
    expect(grantersOf('banking.pis.cancel')).toEqual([
      'banking.pis.cancel',
      'banking.pis.manage',
      'banking.manage',
      'owner',
    ]);
    expect(grantersOf('owner')).toEqual(['owner']);
  });

  it('goes down from a parent to all its children, and from a leaf to itself', () => {
    expect(impliedBy('banking.ais.manage')).toEqual(['banking.ais.manage', 'banking.ais.create', 'banking.ais.read']);
    expect(impliedBy('banking.ais.read')).toEqual(['banking.ais.read']);
    expect(impliedBy('owner')).toEqual([...ACTIONS.keys()]);
  });
});
