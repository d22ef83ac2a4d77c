import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ACTIONS, impliedBy } from '../../src/emulator/actions.ts';
import { createPolicies, type Policy } from '../../src/emulator/policies.ts';

const SCOPES = ['/', '/s', '/s/1', '/s/12', '/s/1/g', '/s/1/g/a', '/s/2', '/s/2/g/a'];
const policy: fc.Arbitrary<Policy> = fc.record({
  subject: fc.constantFrom('client-a', 'client-b'),
  scope: fc.constantFrom(...SCOPES),
  action: fc.constantFrom(...ACTIONS.keys()),
});

/** The definition, without any index. */
const isPermitted = (all: readonly Policy[], { subject, scope, action }: Policy): boolean =>
  all.some(
    (one) =>
      one.subject === subject &&
      impliedBy(one.action).includes(action) &&
      (one.scope === '/' || one.scope === scope || scope.startsWith(`${one.scope}/`)),
  );

describe('src/emulator/policies.ts', () => {
  it('decides as the definition does, after any additions and removals', () => {
    fc.assert(
      fc.property(fc.array(policy), fc.array(policy), fc.array(policy, { minLength: 1 }), (added, removed, asked) => {
        const policies = createPolicies(added, () => undefined);
        for (const one of removed) policies.remove(one);
        const left = added.filter((one) => !removed.some((gone) => JSON.stringify(gone) === JSON.stringify(one)));
        for (const { subject, scope, action } of asked) {
          expect(policies.permits(subject, action, scope)).toBe(isPermitted(left, { subject, scope, action }));
          const anywhere = SCOPES.some((any) => isPermitted(left, { subject, scope: any, action }));
          expect(policies.permits(subject, action)).toBe(anywhere);
        }
      }),
    );
  });

  it('pages through all of a filter once, in order, whatever the size', () => {
    fc.assert(
      fc.property(fc.array(policy), fc.integer({ min: 1, max: 7 }), (added, size) => {
        const policies = createPolicies(added, () => undefined);
        const seen: Policy[] = [];
        let after: number | undefined = 0;
        while (after !== undefined) {
          const page = policies.page({ subject: 'client-a' }, after, size);
          expect(page.items.length).toBeLessThanOrEqual(size);
          seen.push(...page.items);
          after = page.after;
        }
        expect(seen).toEqual(policies.of('client-a'));
      }),
    );
  });

  it('tells of changes, and of no change nothing', () => {
    let changes = 0;
    const one = { subject: 'client-a', scope: '/', action: 'owner' };
    const policies = createPolicies([], () => {
      changes += 1;
    });
    expect([policies.add(one), policies.add(one), changes]).toEqual([true, false, 1]);
    expect([policies.remove(one), policies.remove(one), changes]).toEqual([true, false, 2]);
    policies.add(one);
    policies.removeSubject('client-a');
    policies.removeSubject('client-a');
    expect([policies.all(), changes]).toEqual([[], 4]);
  });
});
