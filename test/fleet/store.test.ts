// The breaker: a store that fails is left alone for a while, and is back without a restart.
import { describe, expect, it } from 'vitest';
import { type ClientEvents, createStore, type StoreClient } from '../../src/fleet/store.ts';
import { createFakeClock } from '../support/clock.ts';

type Behaviour = 'ok' | 'silent' | Error;

const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:6379'), { code: 'ECONNREFUSED' });
const noConnection = new Error('not connected');

function createWorld({ behaviour = 'ok' as Behaviour, random = 0 } = {}) {
  const clock = createFakeClock();
  const world = {
    clock,
    behaviour,
    /** Monotonic times of each command that reached the client. */
    asked: [] as { readonly script: string; readonly at: number }[],
    changes: [] as (string | undefined)[],
    results: [] as string[],
    subscribed: 0,
    isClosed: false,
    reply: undefined as Promise<unknown> | undefined,
    events: undefined as ClientEvents | undefined,
  };
  const client: StoreClient = {
    async run(script) {
      world.asked.push({ script, at: clock.now().monotonicMs });
      if (world.reply !== undefined) return await world.reply;
      if (world.behaviour === 'silent') return await new Promise(() => undefined);
      if (world.behaviour instanceof Error) throw world.behaviour;
      return script === 'beat' ? 1 : ['none'];
    },
    close() {
      world.isClosed = true;
    },
  };
  const store = createStore({
    connect(events) {
      world.events = events;
      return client;
    },
    timeoutMs: 250,
    ...{ clock, random: () => random },
    onNews: () => undefined,
    onSubscribed: () => {
      world.subscribed += 1;
    },
    beat: async (run) => void (await run('beat', [], [])),
    onOperation: (operation, result) => void world.results.push(`${operation} ${result}`),
    onChange: (fault) => void world.changes.push(fault?.cause),
  });
  return Object.assign(world, { store, acquire: () => store.run('acquire', [], []) });
}

/** Pauses between heartbeats, without the time that each of them waited. */
function pauses(asked: readonly { readonly at: number }[], waitedMs: number): number[] {
  return asked.slice(1).map(({ at }, index) => Math.round(at - (asked[index]?.at ?? 0) - waitedMs));
}

describe('a store that works', () => {
  it('runs commands when the first heartbeat is over, and is told to be usable once', async () => {
    const world = createWorld();
    expect(await world.acquire()).toEqual(['none']);
    expect(world.asked.map(({ script }) => script)).toEqual(['beat', 'acquire']);
    await world.clock.advance(60_000);
    expect(world.changes).toEqual([undefined]);
    expect(world.store.fault()).toBeUndefined();
    expect(
      pauses(
        world.asked.filter(({ script }) => script === 'beat'),
        0,
      ),
    ).toEqual(Array(6).fill(10_000));
  });
});

describe('a store that stops responding', () => {
  it('costs the caller who asks first 250 ms, and later ones nothing', async () => {
    const world = createWorld();
    await world.acquire();
    world.behaviour = 'silent';
    const startedAt = world.clock.now().monotonicMs;
    const first = world.acquire();
    await world.clock.advance(250);
    expect(await first).toBeUndefined();
    expect(world.clock.now().monotonicMs - startedAt).toBe(250);
    const asked = world.asked.length;
    for (let caller = 0; caller < 100; caller += 1) expect(await world.acquire()).toBeUndefined();
    expect(world.asked.length).toBe(asked);
    expect(world.results.at(-1)).toBe('acquire timeout');
  });

  it('is not late when its reply came while this process was busy with something else', async () => {
    const world = createWorld();
    await world.acquire();
    const { promise, resolve } = Promise.withResolvers<unknown>();
    world.reply = promise;
    const found = world.acquire();
    const passed = world.clock.advance(250);
    // What the system has received is read after the timers that are due.
    setImmediate(() => resolve(['token']));
    await passed;
    expect([await found, world.store.fault()]).toEqual([['token'], undefined]);
  });

  it('costs a caller 250 ms in all when it is silent from the start, the heartbeat included', async () => {
    const world = createWorld({ behaviour: 'silent' });
    const first = world.acquire();
    await world.clock.advance(250);
    expect(await first).toBeUndefined();
    expect(world.asked.map(({ script }) => script)).toEqual(['beat']);
  });

  it('has 2 s for the first heartbeat, for which a caller waits no longer than for a command', async () => {
    const world = createWorld({ behaviour: 'silent' });
    const started = world.clock.now().monotonicMs;
    const acquired = world.acquire().then((reply) => [reply, world.clock.now().monotonicMs - started]);
    await world.clock.advance(1999);
    expect(await acquired).toEqual([undefined, 250]);
    expect([world.store.fault(), world.changes]).toEqual([undefined, []]);
    await world.clock.advance(1);
    expect(world.changes).toEqual(['timeout']);
  });

  it.each([
    ['without jitter', 0, [1000, 2000, 4000, 8000, 10_000, 10_000]],
    ['with the most jitter', 0.999_999, [750, 1500, 3000, 6000, 7500, 7500]],
  ] as const)('is asked again after 1 s to 10 s, %s', async (_name, random, expected) => {
    const world = createWorld({ random });
    await world.acquire();
    const before = world.asked.length;
    world.behaviour = 'silent';
    void world.acquire();
    await world.clock.advance(100_000);
    expect(pauses(world.asked.slice(before), 250).slice(0, expected.length)).toEqual(expected);
    expect(world.asked.slice(before + 1).every(({ script }) => script === 'beat')).toBe(true);
    expect(world.changes).toEqual([undefined, 'timeout']);
  });

  it('is back at the next heartbeat that succeeds, and the pauses begin at 1 s again', async () => {
    const world = createWorld({ behaviour: 'silent' });
    await world.clock.advance(20_000);
    world.behaviour = 'ok';
    await world.clock.advance(16_000);
    expect(world.store.fault()).toBeUndefined();
    expect(await world.acquire()).toEqual(['none']);
    expect(world.changes).toEqual(['timeout', undefined]);
    world.behaviour = noConnection;
    const before = world.asked.length;
    await world.acquire();
    await world.clock.advance(1000);
    expect(pauses(world.asked.slice(before), 0)).toEqual([1000]);
  });
});

describe('a store whose connection fails', () => {
  it('is broken at once, although nobody has asked for anything', async () => {
    const world = createWorld();
    await world.acquire();
    world.events?.onError(refused);
    expect(world.store.fault()?.cause).toBe('unreachable');
    const asked = world.asked.length;
    expect(await world.acquire()).toBeUndefined();
    expect(world.asked.length).toBe(asked);
  });

  it('is told once for each change of cause, however often it is tried', async () => {
    const world = createWorld();
    await world.acquire();
    world.behaviour = noConnection;
    for (const error of [refused, refused, new Error('WRONGPASS invalid'), new Error('WRONGPASS invalid'), refused]) {
      world.events?.onError(error);
      await world.clock.advance(5000);
    }
    expect(world.changes).toEqual([undefined, 'unreachable', 'password', 'unreachable']);
  });

  it('keeps the cause of the connection for commands that only know that there is none', async () => {
    const world = createWorld();
    await world.acquire();
    world.behaviour = noConnection;
    world.events?.onError(new Error('WRONGPASS invalid'));
    await world.clock.advance(10_000);
    expect(new Set(world.results.filter((result) => !result.endsWith(' ok')))).toEqual(new Set(['beat password']));
  });

  it('does not put off its heartbeats with each failed try to connect', async () => {
    const world = createWorld();
    await world.acquire();
    world.behaviour = noConnection;
    world.events?.onError(refused);
    const before = world.asked.length;
    for (let tries = 0; tries < 40; tries += 1) {
      world.events?.onError(refused);
      await world.clock.advance(100);
    }
    expect(world.asked.length - before).toBe(2);
  });

  it('is back when the connection is, whatever the pause says', async () => {
    const world = createWorld();
    await world.acquire();
    world.behaviour = noConnection;
    world.events?.onError(refused);
    await world.clock.advance(70_000);
    world.behaviour = 'ok';
    const asked = world.asked.length;
    world.events?.onSubscribed();
    await world.clock.advance(0);
    expect(world.asked.length).toBe(asked + 1);
    expect(world.store.fault()).toBeUndefined();
    expect([world.changes.at(-1), world.subscribed]).toEqual([undefined, 1]);
  });

  it('is not broken by one node of a cluster', async () => {
    const world = createWorld();
    await world.acquire();
    world.events?.onNodeError(refused);
    expect(world.store.fault()).toBeUndefined();
    expect(await world.acquire()).toEqual(['none']);
  });
});

describe('two heartbeats at a time', () => {
  it('count by the one that began last', async () => {
    const world = createWorld();
    await world.acquire();
    world.behaviour = 'silent';
    void world.acquire();
    const before = world.asked.length;
    await world.clock.advance(1300);
    // The first one waits for a reply that got lost with the old connection.
    world.behaviour = 'ok';
    world.events?.onSubscribed();
    await world.clock.advance(300);
    expect(world.asked.length - before).toBe(3);
    expect(world.store.fault()).toBeUndefined();
    expect(world.changes).toEqual([undefined, 'timeout', undefined]);
  });
});

describe('a store that is closed', () => {
  it.each([
    ['while it works', 'ok' as Behaviour],
    ['while a command runs', 'silent' as Behaviour],
    ['while it is broken', noConnection],
  ])('leaves no timer %s, and asks and tells nothing more', async (_name, behaviour) => {
    const world = createWorld();
    await world.acquire();
    world.behaviour = behaviour;
    const last = world.acquire();
    await world.clock.advance(1);
    world.store.close();
    await last;
    expect([world.isClosed, world.clock.timers]).toEqual([true, 0]);
    const { asked, changes } = { asked: world.asked.length, changes: world.changes.length };
    world.behaviour = 'ok';
    world.events?.onError(refused);
    world.events?.onSubscribed();
    expect(await world.acquire()).toBeUndefined();
    await world.clock.advance(100_000);
    expect([world.clock.timers, world.asked.length, world.changes.length]).toEqual([0, asked, changes]);
  });

  it('ends the wait for a first heartbeat without a reply', async () => {
    const world = createWorld({ behaviour: 'silent' });
    const waiting = world.acquire();
    world.store.close();
    expect(await waiting).toBeUndefined();
    expect(world.clock.timers).toBe(0);
  });
});
