/** Budgets of a fleet: many members behave as one, whatever happens to the store, on a clock of the test's own. */
import { describe, expect, it } from 'vitest';
import { type BudgetMember, BudgetWorld, OWNER } from '../support/fleet-budget-world.ts';
import { chance } from '../support/seeded.ts';

const LIMIT = 600;
const world = (members: number, limit = LIMIT) => new BudgetWorld({ limit, members });
const total = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0);
const member = (fleet: BudgetWorld, index: number) => fleet.members[index] as BudgetMember;
const letAll = (fleet: BudgetWorld, change: Partial<BudgetMember>) => {
  for (const one of fleet.members) Object.assign(one, change);
};

function jump(fleet: BudgetWorld, membersMs: number, storeMs: number): void {
  fleet.clock.jumpWall(membersMs);
  fleet.storeAheadMs += storeMs;
}

describe('a budget while the store is usable', () => {
  it('lets three busy members together begin what one may, in every window of 60 s, in about equal parts', async () => {
    const fleet = world(3);
    fleet.load(50, 50, 50);
    await fleet.pass(200);
    process.stdout.write(`most ${fleet.most()} of ${LIMIT}, each ${fleet.begun().join(' ')}\n`);
    expect(fleet.most()).toBeLessThanOrEqual(LIMIT);
    expect(total(fleet.begun())).toBeGreaterThan(0.9 * LIMIT * (200 / 60));
    for (const one of fleet.begun()) expect(one).toBeGreaterThan(total(fleet.begun()) / 5);
  });

  it('lets three times as much through where each counts alone: the control', async () => {
    const fleet = new BudgetWorld({ limit: LIMIT, members: 3, kind: 'naive' });
    fleet.load(50, 50, 50);
    await fleet.pass(70);
    expect(fleet.most()).toBeGreaterThan(2.5 * LIMIT);
  });

  it('lets one busy member among a hundred begin all of it', async () => {
    const fleet = world(100);
    fleet.load(9);
    await fleet.pass(150);
    expect(member(fleet, 0).refused.length).toBeLessThan(5);
  });

  it('gives who wants little most of what it wants, beside two who want a little more than there is', async () => {
    const fleet = world(3);
    fleet.load(6, 6, 1);
    await fleet.pass(200);
    process.stdout.write(`beside the busy: ${fleet.begun().join(' ')}\n`);
    expect(fleet.most()).toBeLessThanOrEqual(LIMIT);
    expect(fleet.begun()[2]).toBeGreaterThan(0.6 * 200);
  });

  it('serves the first request of a member before the store has said anything, and counts it', async () => {
    const fleet = world(3);
    expect([member(fleet, 0).attempt(), member(fleet, 0).commands]).toEqual([0, 0]);
    await fleet.clock.advance(20);
    expect(member(fleet, 0).commands).toBe(1);
    const [counts] = [...fleet.model.values.values()].map(({ counts: all }) => all);
    expect([...(counts ?? [])].filter(([at]) => at <= fleet.clock.now().wallMs / 1000)).toEqual([
      [expect.any(Number), 1],
    ]);
  });

  it.each([1.1, 1.7, 2, 3, 4, 10])('refuses nobody who begins one every %d seconds', async (seconds) => {
    const fleet = world(3);
    for (let count = 0; count < 50; count += 1) {
      member(fleet, 0).attempt();
      await fleet.clock.advance(seconds * 1000);
    }
    expect(member(fleet, 0).refused).toEqual([]);
  });

  it('takes no more than its share in advance while no lot has come', () => {
    const one = member(world(3), 0);
    for (let count = 0; count < LIMIT; count += 1) one.attempt();
    expect([one.begun.length, one.refused[0]]).toEqual([LIMIT / 3, 1]);
  });

  it('sends about one command a second, however many requests there are, and none when there are none', async () => {
    const fleet = world(1, 100_000);
    fleet.load(500);
    await fleet.pass(20);
    const { commands } = member(fleet, 0);
    expect(commands).toBeGreaterThan(15);
    expect(commands).toBeLessThan(26);
    fleet.load(0);
    await fleet.pass(5);
    const idle = member(fleet, 0).commands;
    await fleet.pass(60);
    expect(idle - commands).toBeLessThanOrEqual(2);
    expect([member(fleet, 0).commands - idle, fleet.clock.timers]).toEqual([0, 0]);
  });

  it('gives its lot back when it is idle, so that another member can have all', async () => {
    const fleet = world(2, 100);
    fleet.load(10);
    await fleet.pass(2);
    fleet.load(0, 0);
    await fleet.pass(3);
    const used = total(fleet.begun());
    fleet.load(0, 50);
    await fleet.pass(20);
    expect(total(fleet.begun())).toBe(100);
    expect(used).toBeGreaterThan(15);
  });

  it('refuses with a Retry-After that is kept', async () => {
    const fleet = world(1, 10);
    fleet.load(10);
    await fleet.pass(5);
    fleet.load(0);
    await fleet.pass(5);
    const waitS = member(fleet, 0).attempt();
    expect(waitS).toBeGreaterThan(45);
    expect(waitS).toBeLessThanOrEqual(60);
    await fleet.clock.advance(waitS * 1000 + 1000);
    expect(member(fleet, 0).attempt()).toBe(0);
    expect(fleet.most()).toBeLessThanOrEqual(10);
  });

  it('tells nobody to wait for longer than a second because of what another member may begin, but does not', async () => {
    const fleet = world(2, 20);
    for (const { attempt } of fleet.members) attempt();
    await fleet.pass(60);
    for (const { attempt } of fleet.members) for (let count = 0; count < 5; count += 1) expect(attempt()).toBe(0);
    await fleet.clock.advance(50);
    // One of the two has a lot now, and the other has none.
    const waits = fleet.members.map(({ attempt }) => attempt());
    expect(waits.sort()).toEqual([0, 1]);
    await fleet.pass(19);
    expect(fleet.members.map(({ attempt }) => attempt())).toEqual([0, 0]);
    expect(fleet.most()).toBeLessThanOrEqual(20);
  });

  it('lets an idle member begin one, not its share, when it has heard that the budget is used up', async () => {
    const [told, deaf] = [world(3), world(3)];
    member(deaf, 2).hears = false;
    for (const fleet of [told, deaf]) {
      fleet.load(100, 100, 0);
      await fleet.pass(30);
      for (let count = 0; count < LIMIT; count += 1) member(fleet, 2).attempt();
      await fleet.pass(20);
    }
    expect([told.begun()[2], told.most()]).toEqual([1, LIMIT + 1]);
    expect(deaf.begun()[2]).toBe(LIMIT / 3);
    expect(deaf.most()).toBeLessThanOrEqual(LIMIT + LIMIT / 3);
  });

  it('counts what a dead member had for a minute, and then no more', async () => {
    const fleet = world(3);
    fleet.load(50, 50, 50);
    await fleet.pass(5);
    fleet.load(50, 50, 0);
    // Dead: it gives nothing back.
    member(fleet, 2).store = 'down';
    await fleet.pass(62);
    const from = fleet.nowMs;
    await fleet.pass(90);
    expect(fleet.most()).toBeLessThanOrEqual(LIMIT);
    expect(total(fleet.begun(from))).toBeGreaterThan(0.9 * LIMIT);
  });

  it('shows no name of a caller to the store', async () => {
    const fleet = world(1);
    member(fleet, 0).attempt();
    await fleet.clock.advance(20);
    expect(fleet.lastCommand.join(' ')).not.toContain('planted-erp');
    expect(OWNER).toContain('planted-erp');
  });
});

describe('a budget while the store is not usable', () => {
  it('lets each member begin its share in any minute', async () => {
    const fleet = world(3);
    letAll(fleet, { store: 'down' });
    fleet.load(50, 50, 50);
    await fleet.pass(150);
    // Seconds are whole for a member that counts alone.
    for (const one of fleet.begun()) expect(one).toBeLessThanOrEqual(3 * (LIMIT / 3));
    expect(fleet.most()).toBeLessThanOrEqual(LIMIT + 3 * 50);
    expect(total(fleet.begun())).toBeGreaterThan(0.9 * LIMIT * 2);
    // Until there is room in its own minute.
    expect(Math.max(...member(fleet, 0).refused)).toBeGreaterThan(50);
  });

  it.each([
    ['at least one each, with more members than the limit', 7, 3, 1],
    ['the whole limit, if no member was ever seen', undefined, 3, 3],
  ])('lets a member begin %s', async (_name, seen, limit, begun) => {
    const fleet = world(1, limit);
    letAll(fleet, { store: 'down', seen });
    fleet.load(5);
    await fleet.pass(50);
    expect(fleet.begun()).toEqual([begun]);
  });

  it('goes back to lots by itself, and has forgotten nothing meanwhile', async () => {
    const fleet = world(3);
    fleet.load(50, 50, 50);
    await fleet.pass(10);
    letAll(fleet, { store: 'down' });
    await fleet.pass(90);
    const from = fleet.nowMs;
    letAll(fleet, { store: 'up' });
    await fleet.pass(150);
    expect(fleet.most(from - 60_000)).toBeLessThanOrEqual(LIMIT + 3 * 50);
    expect(fleet.most(from)).toBeLessThanOrEqual(LIMIT);
    expect(total(fleet.begun(from))).toBeGreaterThan(0.9 * LIMIT * 2);
  });

  it('gives who is back first no more than its share, and hears at once what the others have begun', async () => {
    const fleet = world(3);
    letAll(fleet, { store: 'down' });
    for (const { budgets } of fleet.members) budgets.onStore(false);
    fleet.load(50, 50, 50);
    await fleet.pass(20);
    member(fleet, 0).store = 'up';
    member(fleet, 0).budgets.onStore(true);
    await fleet.pass(20);
    expect(fleet.begun()).toEqual([LIMIT / 3, LIMIT / 3, LIMIT / 3]);
    fleet.load(0, 0, 0);
    const before = member(fleet, 1).commands;
    letAll(fleet, { store: 'up' });
    member(fleet, 1).budgets.onStore(true);
    await fleet.clock.advance(20);
    expect(member(fleet, 1).commands - before).toBe(1);
  });

  it('does not keep a member to its share because of one lost command', async () => {
    const fleet = world(3);
    fleet.load(20);
    await fleet.pass(5);
    member(fleet, 0).budgets.onStore(false);
    await fleet.pass(1);
    member(fleet, 0).budgets.onStore(true);
    await fleet.pass(20);
    expect(fleet.begun()[0]).toBeGreaterThan(1.5 * (LIMIT / 3));
  });

  it('begins at most twice the limit around the moment at which the store goes', async () => {
    const fleet = world(3);
    fleet.load(100, 0, 0);
    await fleet.pass(20);
    letAll(fleet, { store: 'silent' });
    fleet.load(100, 100, 100);
    await fleet.pass(40);
    expect(fleet.most()).toBeLessThanOrEqual(2 * LIMIT);
    expect(fleet.begun()[0]).toBeLessThanOrEqual(LIMIT);
  });

  it('survives that the store is emptied: what members have begun is stated again', async () => {
    const fleet = world(3);
    fleet.load(50, 50, 50);
    await fleet.pass(30);
    fleet.model.flush();
    fleet.model.members = 0;
    await fleet.pass(5);
    Object.assign(fleet.model, { members: 3, sinceMs: fleet.clock.now().wallMs });
    await fleet.pass(150);
    process.stdout.write(`emptied: most ${fleet.most()} of ${LIMIT}\n`);
    // Until all have stated it, who has begun less than its share is given the rest of that.
    expect(fleet.most()).toBeLessThanOrEqual(1.1 * LIMIT);
    expect(total(fleet.begun())).toBeGreaterThan(0.9 * LIMIT * 3);
  });

  it('begins no more than its share in the first minute of an empty store, if others have begun the rest', async () => {
    const fleet = world(3);
    fleet.load(100);
    await fleet.pass(15);
    fleet.model.flush();
    fleet.model.sinceMs = fleet.clock.now().wallMs;
    fleet.load(0, 100, 0);
    await fleet.pass(50);
    expect(fleet.begun()).toEqual([LIMIT, LIMIT / 3, 0]);
  });

  it.each([
    ['nothing', () => undefined],
    ['text', () => 'OK'],
    ['too few numbers', () => [5]],
    ['a negative lot', () => [-5, 0, 3]],
    ['no numbers', () => ['x', 'y', 'z']],
    ['a broken number', () => [1.5, 0, 3]],
    ['what is for an older statement', () => []],
  ])('keeps to its share when the store says %s', async (_name, reply) => {
    const fleet = world(3);
    fleet.reply = reply;
    fleet.load(50);
    await fleet.pass(55);
    expect(fleet.begun()).toEqual([LIMIT / 3, 0, 0]);
  });

  it.each([
    ['a lot far beyond the limit each time', () => [1_000_000, 0, 3], 3, 'up'],
    ['that there are so many members: no number', () => [0, 0, 'many'], Number.NaN, 'down'],
  ] as const)('begins no more than the limit when the store says %s', async (_name, reply, seen, later) => {
    const fleet = world(3);
    letAll(fleet, { seen });
    fleet.reply = reply;
    fleet.load(50);
    await fleet.pass(10);
    letAll(fleet, { store: later });
    await fleet.pass(45);
    expect(fleet.begun()[0]).toBeLessThanOrEqual(LIMIT);
    expect(fleet.begun()[0]).toBeGreaterThan(0);
  });

  it('sends nothing more after it is closed, also while a command is under way', async () => {
    const fleet = world(1);
    fleet.load(50);
    await fleet.pass(1);
    member(fleet, 0).attempt();
    while (fleet.clock.timers !== 1 || member(fleet, 0).commands < 3) {
      member(fleet, 0).attempt();
      await fleet.clock.advance(3);
    }
    const { commands, budgets } = member(fleet, 0);
    budgets.close();
    await fleet.clock.advance(10_000);
    expect([member(fleet, 0).commands - commands, fleet.clock.timers]).toEqual([0, 0]);
  });

  it('does not let a command that arrives late undo a newer one', async () => {
    const fleet = world(1, 100);
    fleet.load(10);
    await fleet.pass(1);
    const [key = '', own = '', ...args] = fleet.lastCommand;
    await fleet.pass(3);
    const counts = JSON.stringify([...fleet.model.values].map(([name, value]) => [name, [...value.counts]]));
    expect(fleet.model.run([key, own], args.slice(2))).toEqual([]);
    expect(JSON.stringify([...fleet.model.values].map(([name, value]) => [name, [...value.counts]]))).toBe(counts);
  });
});

describe('a budget while replies are lost', () => {
  it('begins at most what it may and the shares, and all of it again afterwards', async () => {
    const dice = chance(11, 'lost replies');
    const fleet = world(3);
    fleet.load(20, 20, 20);
    for (let round = 0; round < 100; round += 1) {
      for (const one of fleet.members) one.store = dice.happens(0.3) ? dice.pick(['down', 'silent']) : 'up';
      await fleet.pass(2);
    }
    process.stdout.write(`replies lost: most ${fleet.most()}, begun ${fleet.begun().join(' ')}\n`);
    expect(fleet.most()).toBeLessThanOrEqual(1.5 * LIMIT);
    letAll(fleet, { store: 'up' });
    await fleet.pass(65);
    const from = fleet.nowMs;
    await fleet.pass(125);
    expect(fleet.most(from)).toBeLessThanOrEqual(LIMIT);
    expect(total(fleet.begun(from))).toBeGreaterThan(0.9 * LIMIT * 2);
  });
});

describe('a budget while clocks jump', () => {
  it.each([
    ['the members goes forward', (fleet: BudgetWorld) => jump(fleet, 600_000, -600_000), LIMIT],
    ['the members goes back', (fleet: BudgetWorld) => jump(fleet, -600_000, 600_000), LIMIT],
    ['the store goes back', (fleet: BudgetWorld) => jump(fleet, 0, -600_000), LIMIT],
    // It has forgotten everything, until each member has stated it again.
    ['the store goes forward', (fleet: BudgetWorld) => jump(fleet, 0, 600_000), 1.5 * LIMIT],
  ])('begins no more than it may when the clock of %s', async (name, change, most) => {
    const fleet = world(3);
    fleet.load(50, 50, 50);
    await fleet.pass(30);
    change(fleet);
    await fleet.pass(150);
    process.stdout.write(`clock of ${name}: most ${fleet.most()}, begun ${fleet.begun().join(' ')}\n`);
    expect(fleet.most()).toBeLessThanOrEqual(most);
    expect(total(fleet.begun())).toBeGreaterThan(0.8 * LIMIT * 2.5);
  });

  it('uses no lot after the machine has slept', async () => {
    const fleet = world(2, 100);
    fleet.load(20);
    await fleet.pass(2);
    fleet.clock.sleep(3_600_000);
    fleet.reply = () => [0, 30_000, 2];
    const before = member(fleet, 0).begun.length;
    for (let count = 0; count < 100; count += 1) member(fleet, 0).attempt();
    expect([member(fleet, 0).begun.length, member(fleet, 0).refused.length]).toEqual([before, 100]);
  });
});
