/** The bytes of an upgrade on raw sockets: what comes early, how either side ends, and answers that are no switch. */
import { describe, expect, it } from 'vitest';
import type { Caller } from '../support/caller.ts';
import { createFakeClock } from '../support/clock.ts';
import { withinOwn } from '../support/own-time.ts';
import type { ProxyWorld } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import {
  type Conversation,
  createUpgradeWorld,
  type HandshakeUpstream,
  OFFER,
  SWITCH,
  startHandshakeUpstream,
  type UpgradeWorldOptions,
} from '../support/upgrade-world.ts';

type Setting = AsyncDisposable & {
  readonly upstream: HandshakeUpstream;
  readonly world: ProxyWorld;
  readonly caller: Caller;
};

interface OfferOptions extends UpgradeWorldOptions {
  readonly behind?: string;
  /** Awaited before the offer is sent. */
  readonly age?: () => Promise<void>;
}

/** A caller whose offer has been sent, with what it sends in the same segment. */
async function offer(
  answer?: Parameters<typeof startHandshakeUpstream>[0],
  { behind = '', age = () => Promise.resolve(), ...options }: OfferOptions = {},
): Promise<Setting> {
  const upstream = await startHandshakeUpstream(answer);
  const world = await createUpgradeWorld(upstream.url, options);
  await age();
  const caller = await world.open();
  caller.send(`GET /api/ws HTTP/1.1\r\n${world.host}${OFFER}\r\n${behind}`);
  return {
    upstream,
    world,
    caller,
    async [Symbol.asyncDispose]() {
      caller[Symbol.dispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

function talkOf({ upstream }: Setting, index = 0): Conversation {
  const talk = upstream.conversations[index];
  if (!talk) throw new Error(`the API has no connection ${index}`);
  return talk;
}

/** The same with the switch done. */
async function switched(...how: Parameters<typeof offer>): Promise<Setting & { readonly talk: Conversation }> {
  const setting = await offer(...how);
  await expect.poll(() => setting.caller.received).toContain('\r\n\r\n');
  return { ...setting, talk: talkOf(setting) };
}

const afterHead = (bytes: string) => bytes.slice(bytes.indexOf('\r\n\r\n') + 4);
function chatter({ socket }: Conversation): Disposable {
  const timer = setInterval(() => socket.write('more'), 10);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

const WITHIN_1_S = { timeout: 1000, interval: 5 };
const BIG = 'x'.repeat(300_000);

describe('bytes around the switch', () => {
  it.each([
    ['a few', 'early'],
    ['300 kB of', BIG],
  ])('%s bytes in one piece with the handshake reach the API once, and only after its 101', async (_name, behind) => {
    let finish: () => void = () => undefined;
    await using setting = await offer(
      (_head, _index, socket) => {
        finish = () => void socket.write(SWITCH);
        return undefined;
      },
      { behind },
    );
    await expect.poll(() => setting.upstream.conversations[0]?.head).toContain('GET /ws');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(talkOf(setting).rest).toBe('');
    finish();
    await expect.poll(() => talkOf(setting).rest.length).toBe(behind.length);
    setting.caller.send('later');
    await expect.poll(() => talkOf(setting).rest).toBe(`${behind}later`);
  });

  it.each([
    ['a few', 'first'],
    ['300 kB of', BIG],
  ])('%s bytes in one piece with the 101 reach the caller once', async (_name, first) => {
    await using setting = await switched(() => SWITCH + first);
    talkOf(setting).socket.write('second');
    await expect.poll(() => afterHead(setting.caller.received)).toBe(`${first}second`);
  });

  it('the 101 comes as the API said it, without what is not for callers', async () => {
    const extra =
      'Sec-WebSocket-Protocol: chat\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Echo: token-1\r\nContent-Length: 5\r\n';
    const spoken = `HTTP/1.1 101 Fine\r\n${extra}X-Sidecar-Error: no\r\nX-Hop: 1\r\nUpgrade: WebSocket\r\nConnection: upgrade, x-hop\r\n\r\n`;
    await using setting = await switched(() => spoken);
    const [head = ''] = setting.caller.received.split('\r\n\r\n');
    expect(head.replace(/X-Request-Id: \S+/, 'X-Request-Id: *').split('\r\n')).toEqual([
      'HTTP/1.1 101 Switching Protocols',
      'Sec-WebSocket-Protocol: chat',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
      'X-Echo: [token]',
      'X-Request-Id: *',
      'Connection: Upgrade',
      'Upgrade: websocket',
    ]);
  });

  it.each(['103 Early Hints\r\nLink: </a>', '100 Continue'])('before the 101 %j does no harm', async (interim) => {
    await using setting = await switched(() => `HTTP/1.1 ${interim}\r\n\r\n${SWITCH}down`);
    await expect.poll(() => setting.caller.received.endsWith('down')).toBe(true);
  });
});

describe('the end of a tunnel', () => {
  it.each([
    ['resets', (caller: Caller) => caller.socket.resetAndDestroy()],
    ['closes', (caller: Caller) => caller.socket.destroy()],
    ['ends its side and waits', (caller: Caller) => caller.socket.end()],
  ])('when the caller %s, the connection to an API that says nothing is closed', async (_how, end) => {
    await using setting = await switched();
    end(setting.caller);
    await expect.poll(() => setting.talk.ended || setting.talk.closed, WITHIN_1_S).toBe(true);
    await withinOwn(2000, () => expect.poll(() => setting.world.inFlight()).toBe(0));
    // Only writing shows that the other side is closed, and not merely done.
    using _chatter = chatter(setting.talk);
    await expect.poll(() => setting.talk.closed, WITHIN_1_S).toBe(true);
  });

  it.each([
    ['resets', (caller: Caller) => caller.socket.resetAndDestroy()],
    ['closes', (caller: Caller) => caller.socket.destroy()],
  ])('when the caller %s, the connection to an API that talks on is closed within a second', async (_how, end) => {
    await using setting = await switched();
    using _chatter = chatter(setting.talk);
    await expect.poll(() => setting.caller.received).toContain('more');
    end(setting.caller);
    await expect.poll(() => setting.talk.closed, WITHIN_1_S).toBe(true);
  });

  it.each([
    ['resets', (talk: Conversation) => talk.socket.resetAndDestroy()],
    ['closes', (talk: Conversation) => talk.socket.destroy()],
    ['ends its side and waits', (talk: Conversation) => talk.socket.end()],
  ])('when the API %s, the caller is told within a second and not kept', async (_how, end) => {
    await using setting = await switched();
    end(setting.talk);
    await setting.caller.ended(1000);
    await withinOwn(2000, () => expect.poll(() => setting.world.inFlight()).toBe(0));
  });

  it('what one side says after the other has ended still arrives', async () => {
    await using setting = await switched();
    setting.caller.send('last words');
    setting.caller.socket.end();
    await expect.poll(() => [setting.talk.rest, setting.talk.ended]).toEqual(['last words', true]);
    setting.talk.socket.end('answer to them');
    await expect.poll(() => setting.caller.received.endsWith('answer to them')).toBe(true);
    expect(await setting.caller.ended()).toBe('end');
  });

  it('what the API has sent before its end reaches a caller that reads slowly', async () => {
    await using setting = await switched();
    setting.caller.socket.pause();
    const length = 8 * 1024 * 1024;
    setting.talk.socket.end('x'.repeat(length));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    setting.caller.socket.resume();
    await expect.poll(() => afterHead(setting.caller.received).length, { timeout: 5000 }).toBe(length);
    expect(await setting.caller.ended()).toBe('end');
  });

  it('a side that does not read stops the other from sending', async () => {
    await using setting = await switched();
    setting.caller.socket.pause();
    const { socket } = setting.talk;
    let sent = 0;
    const chunk = Buffer.alloc(1024 * 1024);
    while (
      sent < 64 &&
      (await new Promise((resolve) => {
        const late = setTimeout(() => resolve(false), 300);
        socket.write(chunk, () => {
          clearTimeout(late);
          resolve(true);
        });
      }))
    ) {
      sent += 1;
    }
    expect(sent).toBeLessThan(40);
  });

  it('a caller that leaves during the handshake takes its request to the API along', async () => {
    for (const leave of ['resetAndDestroy', 'destroy', 'end'] as const) {
      await using setting = await offer(() => undefined);
      await expect.poll(() => setting.upstream.conversations[0]?.head).toContain('GET /ws');
      setting.caller.socket[leave]();
      await expect.poll(() => talkOf(setting).closed || talkOf(setting).ended, WITHIN_1_S).toBe(true);
      await withinOwn(2000, () => expect.poll(() => setting.world.inFlight()).toBe(0));
      expect(setting.world.sidecar.logs.at(-1)).toMatchObject({
        message: 'request',
        status: 499,
        code: 'CALLER_ABORTED',
      });
    }
  });
});

describe('an answer that is no switch', () => {
  const BEHIND = 'GET /api/evil HTTP/1.1\r\nHost: x\r\n\r\n';

  it.each([
    ['a 403', 'HTTP/1.1 403 No\r\nContent-Length: 6\r\nX-Why: x\r\n\r\nbecaus', 403, 'becaus'],
    ['a 200', ok('no socket here'), 200, 'no socket here'],
    ['a 200 in chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n', 200, 'abc'],
    ['a 426', 'HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n', 426, ''],
    ['a redirect', 'HTTP/1.1 302 F\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n', 302, ''],
    ['large', ok(BIG), 200, BIG],
  ])('%s is passed on as it is; what came behind the offer goes nowhere, and the connection ends', async (...row) => {
    const [, bytes, status, body] = row;
    await using setting = await offer(() => bytes, { behind: BEHIND });
    const answer = await setting.caller.answer();
    expect([answer.status, answer.body, answer.header('connection')]).toEqual([status, body, 'close']);
    expect(answer.header('x-sidecar-error')).toBeUndefined();
    expect(await setting.caller.ended()).toBe('end');
    expect(talkOf(setting).rest).toBe('');
    expect(setting.upstream.conversations).toHaveLength(1);
    expect(setting.world.sidecar.logs).toContainEqual(expect.objectContaining({ message: 'request', status }));
  });

  it.each([
    ['another protocol', 'HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nraw', 'UPSTREAM_INVALID'],
    ['no protocol', 'HTTP/1.1 101 S\r\n\r\nraw', 'UPSTREAM_INVALID'],
    ['malformed', 'SSH-2.0-x\r\n', 'UPSTREAM_INVALID'],
  ])('a switch to %s is 502 and no tunnel', async (_name, bytes, code) => {
    await using setting = await offer(() => bytes, { behind: 'early' });
    const answer = await setting.caller.answer();
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([502, code]);
    expect(await setting.caller.ended()).toBe('end');
    await expect.poll(() => talkOf(setting).closed || talkOf(setting).ended).toBe(true);
    expect(talkOf(setting).rest).toBe('');
  });

  it('a broken one is not passed off as whole', async () => {
    await using setting = await offer((_head, _index, socket) => {
      socket.end('HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nhalf');
      return undefined;
    });
    await expect(setting.caller.answer()).rejects.toThrow('no whole answer (reset)');
  });

  it('silence is 504, a closed door 502', async () => {
    await using silent = await offer(() => undefined, { config: { timeouts: { firstByte: '200ms' } } });
    expect((await silent.caller.answer()).header('x-sidecar-error')).toBe('UPSTREAM_TIMEOUT');
    const world = await createUpgradeWorld('http://127.0.0.1:1');
    const answer = await world.call('GET /api/ws HTTP/1.1', `${OFFER}\r\n`);
    expect([answer.status, answer.header('x-sidecar-error')]).toEqual([502, 'UPSTREAM_UNREACHABLE']);
    await world[Symbol.asyncDispose]();
  });

  it('a 401 that blames the token is answered with a new one, once', async () => {
    const refusal = 'HTTP/1.1 401 U\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n';
    const clock = createFakeClock();
    const age = () => clock.advance(2000);
    const answer = (head: string) => (head.includes('token-1') ? refusal : SWITCH);
    await using setting = await offer(answer, { behind: 'early', clock, age });
    await expect.poll(() => setting.caller.received).toContain(' 101 ');
    const heads = setting.upstream.conversations.map(({ head }) => /Bearer (\S+)/.exec(head)?.[1]).filter(Boolean);
    expect(heads.at(-1)).toBe('token-2');
    setting.caller.send(' and later');
    await expect.poll(() => setting.upstream.conversations.at(-1)?.rest).toBe('early and later');
    await using refused = await offer(() => refusal);
    expect((await refused.caller.answer()).status).toBe(401);
  });
});
