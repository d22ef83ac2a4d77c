/** The script of a budget in a real store, and the model of it that other tests use, do the same on random steps. */
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { SCRIPTS } from '../../src/fleet/scripts.ts';
import { documentedRights, STORE_PASSWORD } from '../support/fleet-acl.ts';
import { BudgetModel } from '../support/fleet-budget-model.ts';
import { describeWithRedis, startRedis } from '../support/fleet-redis.ts';
import { type Chance, chance } from '../support/seeded.ts';

const STEPS = 3000;
const LOT_MS = 3000;
const BUDGET = '{m}:budget:b';
const MEMBERS = ['one', 'two', 'three'] as const;
const statementOf = (member: string) => `${BUDGET}:${member}`;
/** On the clock of the test: both would else run on that of the machine, at different moments. */
const SCRIPT = SCRIPTS.budget.replace("redis.call('TIME')", '{ARGV[10], ARGV[11]}');

interface Pair {
  readonly redis: Redis;
  readonly model: BudgetModel;
  nowMs: number;
  /** Members that have missed a heartbeat, beside the first of those that ask. */
  silent: number;
  statements: number;
}

async function step(pair: Pair, dice: Chance): Promise<void> {
  const { redis, model, nowMs } = pair;
  const member = dice.pick(MEMBERS);
  // Who asks is heard of.
  model.silent = model.members > 0 && member !== MEMBERS[0] ? pair.silent + 1 : pair.silent;
  const keys = [BUDGET, statementOf(member), '{m}:times', '{m}:since'];
  pair.statements += 1;
  const number = dice.happens(0.95) ? pair.statements : pair.statements - 5;
  const begun = Array.from({ length: dice.between(0, 5) }, () => `${dice.between(0, 70_000)}:${dice.between(1, 9)}`);
  const [limit, held] = [dice.pick([1, 3, 60, 61, 200]), dice.pick([0, 0, 1, 5])];
  const wanted = dice.pick([0, held, held + 1, held + 40]);
  const numbers = [number, limit, held, wanted, LOT_MS].map(String);
  const args = [...numbers, begun.join(' '), dice.pick(['0', '1', '5']), 'news', 'budget b'];
  const time = [String(Math.floor(nowMs / 1000)), String((nowMs % 1000) * 1000)];
  const real = await redis.eval(SCRIPT, keys.length, ...keys, ...args, ...time);
  expect(real, args.join(' ')).toEqual(model.run(keys, args));
}

async function sameState({ redis, model }: Pair): Promise<void> {
  for (const key of [BUDGET, ...MEMBERS.map(statementOf)]) {
    // Else it is what somebody else has put there.
    if (!model.values.has(key)) continue;
    const [head = '', rest = ''] = ((await redis.get(key)) ?? '').split('|');
    const { facts = [], counts = new Map<number, number>() } = model.values.get(key) ?? {};
    expect(head, key).toBe(facts.join(' '));
    const kept = [...counts].filter(([, count]) => count > 0).map((pair) => pair.join(':'));
    expect(rest.split(' ').filter(Boolean).sort(), key).toEqual(kept.sort());
    if (head !== '') expect(await redis.pttl(key)).toBeGreaterThan(60_000);
  }
}

/** What somebody else may put there counts as nothing. */
async function disturb({ redis, model }: Pair, dice: Chance): Promise<void> {
  const key = dice.pick([BUDGET, ...MEMBERS.map(statementOf)]);
  await redis.del(key);
  model.values.delete(key);
  const value = dice.pick(['', 'garbage', '|', '|x:y', 'x|', '-5:-5', 'x'.repeat(10_000), undefined]);
  if (value === undefined) await redis.hset(key, 'a', 'b');
  else if (value !== '') await redis.set(key, value);
}

async function flush(pair: Pair): Promise<void> {
  const { redis, model } = pair;
  await redis.flushall();
  model.flush();
  model.members = 0;
  pair.silent = 0;
}

/** The first of those that ask has missed a heartbeat, and `silent` others. */
async function beat(pair: Pair, count: number, silent: number): Promise<void> {
  const { redis, model, nowMs } = pair;
  await redis.del('{m}:times');
  const late = [MEMBERS[0], ...Array.from({ length: silent }, (_, index) => `late-${index}`)];
  const heard = [...MEMBERS.slice(1), ...Array.from({ length: count }, (_, index) => `member-${index}`)];
  for (const member of late) await redis.zadd('{m}:times', nowMs - 300_000, member);
  for (const member of heard) await redis.zadd('{m}:times', nowMs + 3_000_000_000, member);
  await redis.set('{m}:since', String(nowMs), 'NX');
  pair.silent = silent;
  model.members = late.length + heard.length;
  model.sinceMs ??= nowMs;
}

describeWithRedis('src/fleet/budget-script.ts', () => {
  it.each([1, 2, 3])('does what the model does, seed %i', async (seed) => {
    const server = await startRedis();
    const redis = new Redis({ host: '127.0.0.1', port: server.port });
    onTestFinished(async () => {
      redis.disconnect();
      await server[Symbol.asyncDispose]();
    });
    const dice = chance(seed, 'budget script');
    const pair: Pair = {
      redis,
      nowMs: 1_700_000_000_123,
      statements: 10,
      silent: 0,
      model: new BudgetModel(
        () => pair.nowMs,
        () => undefined,
      ),
    };
    Object.assign(pair.model, { members: 0, sinceMs: undefined });
    for (let count = 0; count < STEPS; count += 1) {
      pair.nowMs += dice.happens(0.01) ? dice.between(-90_000, 90_000) : dice.between(0, 900);
      if (dice.happens(0.02)) await beat(pair, dice.between(2, 6), dice.between(0, 2));
      if (dice.happens(0.01)) await disturb(pair, dice);
      if (dice.happens(0.002)) await flush(pair);
      await step(pair, dice);
      if (count % 10 === 0) await sameState(pair);
    }
  });

  it('needs no right beyond those that the page gives to a member', async () => {
    await using server = await startRedis();
    await server.command('acl', 'setuser', 'aritma', ...documentedRights());
    const redis = new Redis({
      host: '127.0.0.1',
      port: server.port,
      username: 'aritma',
      password: STORE_PASSWORD,
      enableReadyCheck: false,
    });
    onTestFinished(() => redis.disconnect());
    const keys = ['budget:b', 'budget:b:one', 'times', 'since'].map((name) => `aritma:{members}:${name}`);
    const run = (number: string) =>
      redis.eval(
        SCRIPTS.budget,
        keys.length,
        ...keys,
        number,
        '1',
        '0',
        '1',
        '3000',
        '',
        '1',
        'aritma:news',
        'budget b',
      );
    expect([await run('1'), await run('1')]).toEqual([[1, expect.any(Number), 1], []]);
  });
});
