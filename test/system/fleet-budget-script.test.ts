/** The script of a budget in a real store, and the model of it that other tests use, do the same on random steps. */
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { SCRIPTS } from '../../src/fleet/scripts.ts';
import { documentedRights, STORE_PASSWORD } from '../support/fleet-acl.ts';
import { BudgetModel } from '../support/fleet-budget-model.ts';
import { startRedis } from '../support/redis-server.ts';
import { describeWithRedis } from '../support/redis-worlds.ts';
import { type Chance, chance } from '../support/seeded.ts';

const STEPS = 3000;
const LOT_MS = 3000;
const BUDGET = '{m}:budget:b';
const MEMBERS = ['one', 'two', 'three'] as const;
const statementOf = (member: string) => `${BUDGET}:${member}`;
/** On the clock of the test: both would else run on that of the machine, at different moments. */
const SCRIPT = SCRIPTS.budget.replace("redis.call('TIME')", '{ARGV[11], ARGV[12]}');

interface Pair {
  readonly redis: Redis;
  readonly model: BudgetModel;
  nowMs: number;
  statements: number;
}

async function step(pair: Pair, dice: Chance): Promise<void> {
  const { redis, model, nowMs } = pair;
  const keys = [BUDGET, statementOf(dice.pick(MEMBERS)), '{m}:times', '{m}:since'];
  pair.statements += 1;
  const number = dice.happens(0.95) ? pair.statements : pair.statements - 5;
  const begun = Array.from({ length: dice.between(0, 5) }, () => `${dice.between(0, 70_000)}:${dice.between(1, 9)}`);
  const [limit, held] = [dice.pick([1, 3, 60, 61, 200]), dice.pick([0, 0, 1, 5])];
  const wanted = dice.pick([0, held, held + 1, held + 40]);
  const numbers = [number, limit, held, wanted, LOT_MS].map(String);
  const args = [
    ...numbers,
    begun.join(' '),
    dice.pick(['0', '1', '5']),
    dice.pick(['0', '0', '1']),
    'news',
    'budget b',
  ];
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

async function flush({ redis, model }: Pair): Promise<void> {
  await redis.flushall();
  model.flush();
  model.members = 0;
}

async function beat({ redis, model, nowMs }: Pair, count: number): Promise<void> {
  await redis.del('{m}:times');
  for (let index = 0; index < count; index += 1) await redis.zadd('{m}:times', nowMs, `member-${index}`);
  await redis.set('{m}:since', String(nowMs), 'NX');
  model.members = count;
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
      model: new BudgetModel(
        () => pair.nowMs,
        () => undefined,
      ),
    };
    Object.assign(pair.model, { members: 0, sinceMs: undefined });
    for (let count = 0; count < STEPS; count += 1) {
      pair.nowMs += dice.happens(0.01) ? dice.between(-90_000, 90_000) : dice.between(0, 900);
      if (dice.happens(0.02)) await beat(pair, dice.between(1, 6));
      if (dice.happens(0.01)) await disturb(pair, dice);
      if (dice.happens(0.002)) await flush(pair);
      await step(pair, dice);
      if (count % 10 === 0) await sameState(pair);
    }
  });

  it('needs no right beyond those that the page gives to a member', async () => {
    await using server = await startRedis();
    await server.ask('acl', 'setuser', 'aritma', ...documentedRights());
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
        '0',
        'aritma:news',
        'budget b',
      );
    expect([await run('1'), await run('1')]).toEqual([[1, expect.any(Number), 1], []]);
  });
});
