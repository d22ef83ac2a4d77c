// Members of a fleet share one token; each group also runs against a shared cache without claim and fencing, which must fail.
import { describe, expect, it } from 'vitest';
import { FleetMemory } from '../../src/fleet/memory.ts';
import { holds } from '../support/fleet-holds.ts';
import { ATTEMPT_MS, FleetWorld, type Kind, LIFETIME_S, newKey } from '../support/fleet-members.ts';

const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
const distinct = (values: readonly unknown[]) => new Set(values).size;
/** Most requests in any second. */
const busiestSecond = (times: readonly number[]) =>
  Math.max(0, ...times.map((from) => times.filter((time) => time >= from && time < from + 1000).length));

describe('members that start together', () => {
  holds(
    '1,000 cold members send one token request and have the same token',
    async (kind) => {
      const world = new FleetWorld(kind);
      await world.startWarm(1000);
      return { requests: world.requests.length, tokens: distinct(world.tokens()), first: world.tokens()[0] };
    },
    { requests: 1, tokens: 1, first: 'Bearer planted-token-1' },
  );

  holds(
    '500 members with five scopes send five token requests',
    async (kind) => {
      const world = new FleetWorld(kind);
      await world.startWarm(500, (index) => ({ scope: `scope-${index % 5}` }));
      return { requests: world.requests.length, tokens: distinct(world.tokens()) };
    },
    { requests: 5, tokens: 5 },
  );

  holds(
    'a caller of one of them waits no longer than for its own fetch, and one more look',
    async (kind) => {
      const world = new FleetWorld(kind);
      world.start(50);
      await world.advance(world.endpointMs + 25);
      return { requests: world.requests.length, without: world.tokens().filter((token) => !token).length };
    },
    { requests: 1, without: 0 },
  );

  holds(
    'those that hear no news have the token within a second and a half',
    async (kind) => {
      const world = new FleetWorld(kind);
      world.start(50, () => ({ state: { hears: false } }));
      await world.advance(1500);
      return { requests: world.requests.length, without: world.tokens().filter((token) => !token).length };
    },
    { requests: 1, without: 0 },
  );

  it('that hear no news look every second, however long the lock is', async () => {
    const world = new FleetWorld();
    world.endpointMs = 500;
    world.start(1);
    await world.advance(10);
    const deaf = world.start(20, () => ({ state: { hears: false } }));
    await world.advance(1500);
    expect(world.tokens(deaf)).not.toContain(undefined);
  });

  it('without a store, members that nobody waits for spread their fetches over two seconds', async () => {
    const world = new FleetWorld();
    world.start(200, () => ({ state: { store: 'down' } }));
    await world.advance(ATTEMPT_MS);
    const [first = 0] = world.requests;
    expect(world.requests).toHaveLength(200);
    expect(world.requests.filter((time) => time < first + 500).length).toBeLessThan(100);
    expect(Math.max(...world.requests) - first).toBeLessThan(2000);
  });

  it('without a store, a member with a waiting caller fetches at once', async () => {
    const world = new FleetWorld();
    const [member] = world.start(1, () => ({ state: { store: 'down' } }));
    void member?.source.get();
    await world.advance(0);
    expect(world.requests).toHaveLength(1);
  });
});

describe('the member that fetches', () => {
  holds(
    'is killed: one other takes over within the attempt timeout and a second',
    async (kind) => {
      const world = new FleetWorld(kind);
      const [killed, ...others] = world.start(20);
      await world.advance(10);
      if (killed) killed.network = 'dead';
      const begun = world.requests.length;
      await world.advance(ATTEMPT_MS + 1000);
      return { begun, all: world.requests.length, without: world.tokens(others).filter((token) => !token).length };
    },
    { begun: 1, all: 2, without: 0 },
  );

  holds(
    'is stopped for longer than its lock: it overwrites nothing, and uses what is there',
    async (kind) => {
      const world = new FleetWorld(kind);
      const [slow] = world.start(1);
      if (slow) slow.network = 'up';
      world.endpointMs = 20_000;
      await world.advance(20_100);
      // Warm; now the refresh of one is slow, and another one is faster.
      world.endpointMs = 50;
      const [other] = await world.startWarm(1);
      if (slow) slow.network = 20_000;
      void slow?.source.refresh();
      await world.advance(10_000);
      void other?.source.refresh();
      await world.advance(1000);
      const newer = world.tokens([other as never])[0];
      await world.advance(20_000);
      const [cold] = await world.startWarm(1);
      return world.tokens([slow, other, cold] as never[]).map((token) => token === newer);
    },
    [true, true, true],
  );

  it('is one that cannot reach the server: each other one gets its turn, and all have a token at last', async () => {
    const world = new FleetWorld();
    const [, ...others] = world.start(20, (index) => ({ state: { network: index === 0 ? 'down' : 'up' } }));
    await world.advance(2500);
    expect(world.tokens(others)).not.toContain(undefined);
    expect(world.requests.length).toBeLessThan(4);
  });

  it('gets a token that has ended already, as after a sleep: the next one is fetched at once', async () => {
    const world = new FleetWorld();
    const [slept] = world.start(1);
    await world.advance(10);
    if (slept) slept.shiftMs = LIFETIME_S * 1000;
    await world.advance(1500);
    expect(world.requests).toHaveLength(2);
    expect(world.tokens()).toEqual(['Bearer planted-token-2']);
  });

  it('has waited for one that was killed: its token counts from its own request', async () => {
    const world = new FleetWorld();
    const [killed, other] = world.start(2);
    await world.advance(10);
    if (killed) killed.network = 'dead';
    await world.advance(ATTEMPT_MS + 1000);
    const [token = ''] = world.tokens([other as never]);
    expect(other?.source.token?.expiresAt).toBe(world.issued.get(token)?.until);
  });

  it('has given its claim up, and the store carries it out later: the others wait a second at most', async () => {
    const world = new FleetWorld();
    const [late, ...others] = world.start(3, () => ({}));
    await world.advance(ATTEMPT_MS);
    world.model.flush();
    if (late) late.store = 5;
    void late?.source.refresh();
    await world.advance(10);
    for (const member of others) void member.source.refresh();
    await world.advance(1400);
    expect(world.requests).toHaveLength(3);
    expect(distinct(world.tokens(others))).toBe(1);
  });

  it('has given its put up, and the store carries it out after another one has fetched: nothing older comes back', async () => {
    const world = new FleetWorld();
    const [late, other] = await world.startWarm(2);
    void late?.source.refresh();
    await world.advance(10);
    if (late) late.store = 30_000;
    await world.advance(10_000);
    void other?.source.refresh();
    await world.advance(1000);
    const [, newest] = world.tokens();
    await world.advance(30_000);
    const [cold] = await world.startWarm(1);
    expect(world.tokens([cold as never])).toEqual([newest]);
  });
});

describe('a token that an upstream refuses', () => {
  holds(
    'costs one token request for 50 members with four callers each',
    async (kind) => {
      const world = new FleetWorld(kind);
      const members = await world.startWarm(50);
      const before = world.requests.length;
      const got = members.flatMap(({ source }) => {
        const stale = source.token;
        return Array.from({ length: 4 }, async () => stale && (await source.renew(stale)));
      });
      await world.advance(2000);
      return {
        requests: world.requests.length - before,
        tokens: distinct((await Promise.all(got)).map((one) => one?.authorization.reveal())),
      };
    },
    { requests: 1, tokens: 1 },
  );

  holds(
    'is not given again to a member that has it from before a reload or a lost store',
    async (kind) => {
      const world = new FleetWorld(kind);
      const [member, other] = await world.startWarm(2);
      const stale = member?.source.token;
      // A new source in the same process knows no generation.
      const [next] = await world.startWarm(1);
      if (next?.source.token) void next.source.renew(next.source.token);
      await world.advance(1000);
      if (other?.source.token) void other.source.renew(other.source.token);
      await world.advance(1000);
      const tokens = world.tokens();
      return {
        requests: world.requests.length,
        tokens: distinct(tokens),
        isStale: tokens[0] === stale?.authorization.reveal(),
      };
    },
    { requests: 3, tokens: 1, isStale: false },
  );

  it('is not given to a member that has it from before a reload, and so knows no generation of it', async () => {
    const world = new FleetWorld();
    const [first] = await world.startWarm(1);
    const [member] = await world.startWarm(1, () => ({ state: { store: 'down' } }));
    const refused = first?.source.token;
    if (!member || !refused) throw new Error('no token');
    member.store = 'up';
    const own = async () => ({ kind: 'unavailable', result: 'own' }) as const;
    const replaced = { authorization: refused.authorization, isRefused: true };
    const response = member.shared.fetch(own, async () => undefined, replaced);
    await world.advance(1000);
    expect(await response).toEqual({ kind: 'unavailable', result: 'own' });
  });

  it('is not given to the same process after a reload, although others still have it in the store', async () => {
    const world = new FleetWorld();
    const memory = new FleetMemory();
    const [before] = await world.startWarm(2, () => ({ memory }));
    const stale = before?.source.token;
    world.endpoint = 'down';
    if (stale) before.source.renewLater(stale);
    await world.advance(1000);
    world.endpoint = 'up';
    const after = await world.startWarm(1, () => ({ memory }));
    expect(world.tokens(after)).toEqual(['Bearer planted-token-2']);
  });

  it('is not given to the same process after a reload, although the process has not yet been allowed to fetch another one', async () => {
    const world = new FleetWorld();
    const memory = new FleetMemory();
    const [before] = await world.startWarm(1, () => ({ memory }));
    const stale = before?.source.token;
    if (!stale) throw new Error('no token');
    world.endpoint = 'down';
    while (before.source.snapshot().consecutiveFailures === 0) await world.advance(1000);
    const requests = world.requests.length;
    const renewed = Promise.resolve(before.source.renew(stale)).catch(() => undefined);
    expect(memory.isRefused(stale.authorization)).toBe(true);
    expect(world.requests).toHaveLength(requests);
    await world.advance(20_000);
    await renewed;
  });

  it('is renewed for all while another member renews it: the second waits, and asks nobody', async () => {
    const world = new FleetWorld();
    const [one, other] = await world.startWarm(2);
    if (one?.source.token) void one.source.renew(one.source.token);
    await world.advance(20);
    if (other?.source.token) void other.source.renew(other.source.token);
    await world.advance(500);
    expect(world.requests).toHaveLength(2);
    expect(distinct(world.tokens())).toBe(1);
  });
});

describe('refusals and failures of the identity server', () => {
  const failing = async (kind: Kind, secrets: readonly string[]) => {
    const world = new FleetWorld(kind);
    world.start(secrets.length, (index) => ({ secret: secrets[index] ?? '' }));
    await world.advance(25_000);
    return world;
  };

  holds(
    'invalid_client is asked once in 30 s by 100 members with the same secret',
    async (kind) =>
      (
        await failing(
          kind,
          Array.from({ length: 100 }, () => 'wrong-secret'),
        )
      ).requests.length,
    1,
  );

  holds(
    'invalid_client of one secret is not told to members with another one, and those with the right one have a token',
    async (kind) => {
      const world = await failing(kind, [
        'wrong-1',
        'wrong-1',
        'wrong-2',
        ...Array.from({ length: 20 }, () => 'planted-secret'),
      ]);
      return { requests: world.requests.length, with: world.tokens().filter(Boolean).length };
    },
    // Those with a wrong secret use the token of the others.
    { requests: 3, with: 23 },
  );

  it('a member with another wrong secret is asked itself', async () => {
    const world = await failing('shared', ['wrong-1', 'wrong-1', 'wrong-2', 'wrong-2']);
    expect(world.requests).toHaveLength(2);
  });

  it('a member with a wrong scope has nothing to do with the others', async () => {
    const world = new FleetWorld();
    const members = world.start(10, (index) => (index === 0 ? { scope: 'wrong', secret: 'wrong' } : {}));
    await world.advance(1000);
    expect(world.requests).toHaveLength(2);
    expect(world.tokens(members.slice(1))).not.toContain(undefined);
  });

  holds(
    'while the endpoint is down, 50 members with waiting callers ask once a second together',
    async (kind) => {
      const world = new FleetWorld(kind);
      world.endpoint = 'down';
      for (const { source } of world.start(50)) void Promise.resolve(source.get()).catch(() => undefined);
      await world.advance(30_000);
      const busiest = busiestSecond(world.requests);
      world.endpoint = 'up';
      await world.advance(62_000);
      return {
        isPaced: busiest <= 2,
        isAsked: world.requests.length > 5,
        without: world.tokens().filter((one) => !one).length,
      };
    },
    { isPaced: true, isAsked: true, without: 0 },
  );
});

describe('time', () => {
  holds(
    'one member refreshes early for all',
    async (kind) => {
      const world = new FleetWorld(kind);
      await world.startWarm(50);
      await world.advance(LIFETIME_S * 1000);
      return { requests: world.requests.length, tokens: distinct(world.tokens()) };
    },
    { requests: 2, tokens: 1 },
  );

  holds(
    'members with clocks ten minutes off use each token as long as the others, and never longer than it lives',
    async (kind) => {
      const world = new FleetWorld(kind);
      world.start(3, (index) => ({ state: { shiftMs: (index - 1) * 600_000 } }));
      let expired = 0;
      for (let minute = 0; minute < 180; minute += 1) {
        await world.advance(60_000);
        const now = world.clock.now().wallMs;
        expired += world.tokens().filter((token) => (world.issued.get(token ?? '')?.until ?? 0) < now).length;
      }
      return { expired, requests: world.requests.length };
    },
    // One each 55 minutes or later.
    { expired: 0, requests: 4 },
  );

  holds(
    'a clock set ten minutes forward costs one early refresh at most, and no valid token is lost',
    async (kind) => {
      const world = new FleetWorld(kind);
      const [jumping] = await world.startWarm(3);
      if (jumping) jumping.shiftMs = 600_000;
      let without = 0;
      for (let minute = 0; minute < 54; minute += 1) {
        for (const { source } of world.members) void source.get();
        await world.advance(60_000);
        without += world.tokens().filter((token) => !token).length;
      }
      return { without, requests: world.requests.length, tokens: distinct(world.tokens()) };
    },
    { without: 0, requests: 2, tokens: 1 },
  );

  holds(
    'after an hour of sleep nobody sends an expired token, and one fetches for all',
    async (kind) => {
      const world = new FleetWorld(kind);
      const members = await world.startWarm(10);
      world.clock.sleep(3_600_000);
      const expired = world.tokens().filter(Boolean).length;
      for (const { source } of members) void source.get();
      await world.advance(1000);
      return { expired, requests: world.requests.length, tokens: distinct(world.tokens()) };
    },
    { expired: 0, requests: 2, tokens: 1 },
  );

  it('a token that ends within its margin is not taken: the cold member fetches', async () => {
    const world = new FleetWorld();
    const [first] = await world.startWarm(1);
    first?.source.close();
    await world.advance(3_580_000);
    const [cold] = await world.startWarm(1);
    expect(world.tokens([cold as never])).toEqual(['Bearer planted-token-2']);
    expect(cold?.source.snapshot().lastError).toBeUndefined();
    expect(cold?.rejected).toEqual([]);
  });
});

describe('a store that loses data', () => {
  holds(
    'everything: nobody notices, and the next refresh puts it back',
    async (kind) => {
      const world = new FleetWorld(kind);
      await world.startWarm(20);
      world.model.flush();
      await world.advance(1_000_000);
      const { length } = world.requests;
      await world.advance(LIFETIME_S * 1000);
      return {
        length,
        after: world.requests.length,
        isBack: world.model.pttl(world.place('token')) > 0,
        tokens: distinct(world.tokens()),
      };
    },
    { length: 1, after: 2, isBack: true, tokens: 1 },
  );

  holds(
    'the last second, with the lock: two fetch at most, and one token stays',
    async (kind) => {
      const world = new FleetWorld(kind);
      await world.startWarm(10);
      const failOver = world.model.copy();
      const [one] = world.members;
      world.endpointMs = 500;
      if (one?.source.token) void one.source.renew(one.source.token);
      await world.advance(100);
      failOver();
      for (const { source } of world.members.slice(1)) if (source.token) void source.renew(source.token);
      await world.advance(2000);
      return { requests: world.requests.length, tokens: distinct(world.tokens()) };
    },
    { requests: 3, tokens: 1 },
  );

  it('the newest token, which never came: the member that has fetched it takes nothing older after a reload', async () => {
    const world = new FleetWorld();
    const memory = new FleetMemory();
    const [before] = await world.startWarm(1, () => ({ memory }));
    if (!before) throw new Error('no member');
    world.endpointMs = 5000;
    while (world.requests.length === 1) await world.advance(1000);
    before.store = 'down';
    await world.advance(10_000);
    expect(world.tokens()).toEqual(['Bearer planted-token-2']);
    world.endpointMs = 10;
    const after = await world.startWarm(1, () => ({ memory }));
    expect(world.tokens(after)).toEqual(['Bearer planted-token-3']);
  });

  it('a token that the others have heard of: they keep it, and a cold one fetches', async () => {
    const world = new FleetWorld();
    await world.startWarm(5);
    const failOver = world.model.copy();
    void world.members[0]?.source.refresh();
    await world.advance(1000);
    failOver();
    const [cold] = await world.startWarm(1);
    expect(world.requests).toHaveLength(2);
    // The token from before the refresh is still valid.
    expect(world.tokens([cold as never])).toEqual(['Bearer planted-token-1']);
    await world.advance(LIFETIME_S * 1000);
    expect(distinct(world.tokens())).toBe(1);
    expect(sum(world.members.map(({ got }) => got.fetched))).toBe(world.requests.length);
  });
});

describe('two fleets in one store', () => {
  holds(
    'with two prefixes or two keys share nothing',
    async (kind) => {
      const world = new FleetWorld(kind);
      for (const settings of [{ prefix: 'a' }, { prefix: 'b' }, { keys: [newKey()] }, { keys: [newKey()] }])
        await world.startWarm(1, () => settings);
      const rejected = world.members.flatMap((member) => member.rejected);
      return { requests: world.requests.length, tokens: distinct(world.tokens()), rejected };
    },
    { requests: 4, tokens: 4, rejected: [] },
  );
});
