/** The scripts in a real store, and the model of them that other tests use, do the same on random steps. */
import { createHash } from 'node:crypto';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { SCRIPTS, type ScriptName } from '../../src/fleet/scripts.ts';
import { RotationScripts } from '../support/fleet-rotation-scripts.ts';
import type { ScriptModel } from '../support/fleet-script-model.ts';
import { startRedis } from '../support/redis-server.ts';
import { describeWithRedis } from '../support/redis-worlds.ts';
import { type Chance, chance } from '../support/seeded.ts';
import { until } from '../support/until.ts';

const STEPS = 1500;
const KEYS = { token: '{n}:token', lock: '{n}:lock', last: '{n}:generation', verdict: '{n}:verdict' } as const;
const MEMBERS = ['{m}:times', '{m}:details', '{m}:since', '{m}:heardTimes', '{m}:heard'] as const;
const [JOURNAL, LEASE] = ['{n}:journal', '{n}:lease'] as const;
const HOLDERS = ['one', 'two', 'three'] as const;
/** Both run on the clock of this machine, one after the other. */
const LATE_MS = 3000;

interface Pair {
  readonly redis: Redis;
  readonly model: ScriptModel;
}

/** Replies with the times and generations that are near enough made equal. */
function alike(real: unknown, modelled: unknown): unknown {
  if (Array.isArray(real) && Array.isArray(modelled)) return real.map((one, index) => alike(one, modelled[index]));
  const isNear = Math.abs(Number(real) - Number(modelled)) <= LATE_MS;
  return isNear && Number(real) > 1000 ? modelled : real;
}

async function sameReply({ redis, model }: Pair, script: ScriptName, keys: readonly string[], args: readonly string[]) {
  const real = await redis.eval(SCRIPTS[script], keys.length, ...keys, ...args).catch(() => 'error');
  let modelled: unknown;
  try {
    modelled = model.run(script, keys, args);
  } catch {
    modelled = 'error';
  }
  expect(alike(real, modelled), `${script} ${keys.join(' ')} ${args.join(' ').slice(0, 200)}`).toEqual(modelled);
  return real;
}

async function sameState({ redis, model }: Pair): Promise<void> {
  for (const key of [...Object.values(KEYS), JOURNAL, LEASE, ...MEMBERS]) {
    const [type, left] = [await redis.type(key), await redis.pttl(key)];
    const value = model.get(key);
    expect([key, type === 'none', type === 'string'], key).toEqual([
      key,
      value === undefined,
      typeof value === 'string',
    ]);
    expect(Math.abs(left - model.pttl(key)), `life of ${key}`).toBeLessThanOrEqual(LATE_MS);
    // Two of them hold a time.
    if (type === 'string' && key !== KEYS.last && key !== '{m}:since') expect(await redis.get(key), key).toBe(value);
  }
}

/** What somebody else may put there. */
async function disturb({ redis, model }: Pair, dice: Chance): Promise<void> {
  const key = dice.pick([KEYS.token, KEYS.lock, KEYS.last, KEYS.verdict, JOURNAL, LEASE]);
  const now = Date.now();
  const value = dice.pick([
    '',
    'garbage',
    `${now}:x`,
    `${now + 3_600_000}:y`,
    `${now + 1e9}:z`,
    '999999999999999',
    '1e300',
    '12:old',
    'x'.repeat(40_000),
  ]);
  const px = dice.pick([0, 25_000, 90_000_000]);
  switch (dice.pick(['delete', 'set', 'type'])) {
    case 'delete':
      await redis.del(key);
      return model.delete(key);
    case 'type':
      await redis.del(key);
      await redis.hset(key, 'a', 'b');
      return model.set(key, new Map([['a', 'b']]));
    default:
      await (px ? redis.set(key, value, 'PX', px) : redis.set(key, value));
      return model.set(key, value, px || undefined);
  }
}

class Steps {
  readonly #pair: Pair;
  readonly #dice: Chance;
  #generation = 0;
  #holder = 'nobody';

  constructor(pair: Pair, dice: Chance) {
    this.#pair = pair;
    this.#dice = dice;
  }

  async one(step: number): Promise<void> {
    const dice = this.#dice;
    const holder = dice.happens(0.7) ? this.#holder : 'somebody:9';
    switch (
      dice.pick([
        'acquire',
        'acquire',
        'acquire',
        'hold',
        'put',
        'put',
        'giveUp',
        'beat',
        'rotation',
        'rotation',
        'disturb',
      ])
    ) {
      case 'acquire':
        return this.#acquire(step);
      case 'hold':
        return void (await sameReply(this.#pair, 'hold', [KEYS.lock], [holder, '35000']));
      case 'put': {
        const generation = String(this.#generation + dice.pick([0, 0, 0, -5, 5]));
        const args = [
          holder,
          generation,
          `${generation}:sealed-${step}`,
          dice.pick(['45000', '45000', '0', '-5']),
          'news',
          `put-${step}`,
        ];
        return void (await sameReply(this.#pair, 'put', [KEYS.token, KEYS.lock], args));
      }
      case 'giveUp': {
        const verdict = dice.happens(0.5) ? `${this.#generation}:refused-${step}` : '';
        const args = [holder, verdict, '20000', '15000', 'news', `gave-up-${step}`];
        return void (await sameReply(this.#pair, 'giveUp', [KEYS.lock, KEYS.verdict], args));
      }
      case 'beat': {
        const host = dice.pick(['host-1', 'host-2', '']);
        const older = dice.pick([[], [], ['host-1'], ['host-3', 'host-2']]);
        const args = [dice.pick(['a', 'b', 'c', '']), `details-${step}`, '30000', host, '86400000', ...older];
        if (dice.happens(0.1)) await this.#evict(dice.pick([MEMBERS[0], MEMBERS[3]]));
        return void (await sameReply(this.#pair, 'beat', MEMBERS, args));
      }
      case 'rotation':
        return this.#rotation(step);
      default:
        return disturb(this.#pair, dice);
    }
  }

  /** As a store that is full: one key of those that belong together. */
  async #evict(key: string): Promise<void> {
    await this.#pair.redis.del(key);
    this.#pair.model.delete(key);
  }

  async #rotation(step: number): Promise<void> {
    const dice = this.#dice;
    const same = (script: ScriptName, keys: readonly string[], args: readonly string[]) =>
      sameReply(this.#pair, script, keys, args);
    const holder = dice.pick(HOLDERS);
    const revision = () => String(Date.now() + dice.pick([-2000, -1000, 0, 1000]));
    switch (dice.pick(['lease', 'lease', 'note', 'recall', 'release', 'members'])) {
      case 'lease':
        return void (await same('lease', [LEASE], [holder, '30000', dice.pick(['take', 'keep'])]));
      case 'note': {
        const at = revision();
        const args = [
          dice.pick(['', holder]),
          at,
          `${at}:journal-${step}`,
          '60000',
          'news',
          `note-${step}`,
          revision(),
        ];
        return void (await same('note', [JOURNAL, LEASE], args));
      }
      case 'recall':
        return void (await same('recall', [JOURNAL, LEASE], [dice.pick(['0', revision()])]));
      case 'release':
        return void (await same('release', [LEASE], [holder]));
      default:
        return this.#members();
    }
  }

  /** The order of members differs. */
  async #members(): Promise<void> {
    const { redis, model } = this.#pair;
    const namesOf = (reply: unknown) =>
      (reply as unknown[][]).slice(2).map((list) => list.filter((_, at) => at % 2 === 0).sort());
    const real = await redis.eval(SCRIPTS.members, MEMBERS.length, ...MEMBERS);
    expect(namesOf(real)).toEqual(namesOf(model.run('members', MEMBERS, [])));
  }

  async #acquire(step: number): Promise<void> {
    const { redis, model } = this.#pair;
    const dice = this.#dice;
    const known = dice.pick([0, this.#generation, this.#generation - 1, this.#generation + 1, 1e16]);
    const bad = (key: string) => {
      const value = model.get(key);
      return typeof value === 'string' && dice.happens(0.3) ? createHash('sha1').update(value).digest('hex') : '';
    };
    const lockMs = dice.pick(['0', '50000', '50000']);
    const args = [String(known), `member:${step}`, '40000', lockMs, bad(KEYS.token), bad(KEYS.verdict)];
    const reply = await sameReply(this.#pair, 'acquire', Object.values(KEYS), args);
    if (!Array.isArray(reply) || reply[0] !== 'claimed') return;
    this.#holder = `member:${step}`;
    this.#generation = Number(reply[1]);
    // The clocks were read one after the other.
    model.set(KEYS.last, (await redis.get(KEYS.last)) ?? '', 172_800_000);
  }
}

describeWithRedis('the scripts and their model', () => {
  it(`reply the same and leave the same, ${STEPS} random steps of each of four seeds`, async () => {
    await using server = await startRedis();
    const redis = new Redis(server.port, '127.0.0.1');
    const listener = new Redis(server.port, '127.0.0.1');
    onTestFinished(() => {
      redis.disconnect();
      listener.disconnect();
    });
    const [heard, published]: [string[], string[]] = [[], []];
    await listener.subscribe('news');
    listener.on('message', (_, message) => heard.push(message));
    for (const seed of [1, 2, 3, 4]) {
      await redis.flushall();
      const model = new RotationScripts(Date.now, (message) => published.push(message));
      const steps = new Steps({ redis, model }, chance(seed, 'scripts'));
      for (let step = 0; step < STEPS; step += 1) {
        await steps.one(step);
        await sameState({ redis, model });
      }
    }
    await until('all messages', () => heard.length >= published.length);
    expect(heard).toEqual(published);
    expect(published.length).toBeGreaterThan(100);
  });
});
