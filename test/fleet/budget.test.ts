/** Budgets of a fleet: many members behave as one, whatever happens to the store, on a clock of the test's own. */
import { describe, expect, it } from 'vitest';
import { BudgetWorld } from '../support/fleet-budget-world.ts';

const LIMIT = 600;
const world = (members: number, limit = LIMIT) => new BudgetWorld({ limit, members });
const total = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);

describe('src/fleet/budget.ts', () => {
  it('lets three busy members together begin what one may, in every window of 60 s, in about equal parts', async () => {
    const fleet = world(3);
    fleet.load(50, 50, 50);
    await fleet.pass(200);
    process.stdout.write(`most ${fleet.most()} of ${LIMIT}, each ${fleet.begun().join(' ')}\n`);
    expect(fleet.most()).toBeLessThanOrEqual(LIMIT);
    expect(total(fleet.begun())).toBeGreaterThan(0.9 * LIMIT * (200 / 60));
    for (const one of fleet.begun()) expect(one).toBeGreaterThan(total(fleet.begun()) / 5);
  });
});
