/**
 * Why http-proxy-3 is fenced: what its ws() does wrong on the wire, row by row, and that the sidecar, which uses it, does it
 * right.
 */
import { describe, expect, it } from 'vitest';
import { type Caller, openCaller } from '../support/caller.ts';
import { PATIENCE_MS, withinOwn } from '../support/own-time.ts';
import { startUpgradeControl } from '../support/upgrade-control.ts';
import {
  createUpgradeWorld,
  type HandshakeUpstream,
  OFFER,
  SWITCH,
  startHandshakeUpstream,
} from '../support/upgrade-world.ts';

interface Row {
  readonly name: string;
  readonly target?: string;
  readonly answer: Parameters<typeof startHandshakeUpstream>[0];
  /** Rejects or throws where the row fails. @param limitMs for what must happen */
  readonly play: (caller: Caller, upstream: HandshakeUpstream, limitMs: number) => Promise<void>;
}

/** Of the time of this process for the sidecar; for the control, whose rows fail, enough to see that something does not happen. */
const SOON_MS = 1500;

async function untilAsked({ conversations }: HandshakeUpstream): Promise<void> {
  await expect.poll(() => conversations[0]?.head ?? '').toContain('GET ');
}

/** It writes without end; a closed connection then closes here too. */
async function closesWhileTalking({ conversations }: HandshakeUpstream, timeout: number): Promise<void> {
  const timer = setInterval(() => conversations[0]?.socket.write('more'), 10);
  try {
    await expect.poll(() => conversations[0]?.closed, { timeout, interval: 5 }).toBe(true);
  } finally {
    clearInterval(timer);
  }
}

const ROWS: readonly Row[] = [
  {
    name: 'a switch to a protocol that was not offered is no tunnel (RFC 9110 §7.8)',
    answer: () => 'HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\nraw',
    async play(caller) {
      expect((await caller.answer()).status).toBe(502);
    },
  },
  {
    name: 'a refusal that breaks off is seen to be broken',
    answer: (_head, _index, socket) => {
      socket.end('HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nhalf');
      return undefined;
    },
    async play(caller, _upstream, limitMs) {
      await caller.ended(limitMs);
    },
  },
  {
    name: 'a refusal without content has none',
    answer: () => 'HTTP/1.1 204 No Content\r\n\r\n',
    async play(caller, _upstream, limitMs) {
      await caller.ended(limitMs);
      expect(caller.received).toMatch(/^HTTP\/1.1 204 (?:.*\r\n)+\r\n$/);
      expect(caller.received).not.toMatch(/transfer-encoding/i);
    },
  },
  {
    name: 'the target of the request reaches the API byte for byte',
    target: '/api/a"b;c|d?x=1?y=2&z=a/./b',
    answer: () => SWITCH,
    async play(_caller, upstream) {
      await untilAsked(upstream);
      expect(upstream.conversations[0]?.head).toMatch(/^GET (?:\/api)?\/a"b;c\|d\?x=1\?y=2&z=a\/\.\/b HTTP/);
    },
  },
  {
    name: 'a caller that leaves during the handshake leaves no connection to the API behind',
    answer: () => undefined,
    async play(caller, upstream, timeout) {
      await untilAsked(upstream);
      caller.socket.resetAndDestroy();
      const [talk] = upstream.conversations;
      await expect.poll(() => talk?.ended || talk?.closed, { timeout, interval: 5 }).toBe(true);
    },
  },
  {
    name: 'a caller that is gone takes the connection to an API that talks on along',
    answer: () => SWITCH,
    async play(caller, upstream, limitMs) {
      await expect.poll(() => caller.received).toContain(' 101 ');
      caller.socket.resetAndDestroy();
      await closesWhileTalking(upstream, limitMs);
    },
  },
];

interface Played {
  readonly port: number;
  readonly upstream: HandshakeUpstream;
  readonly limitMs: number;
}

async function outcome({ target = '/api/ws', play }: Row, { port, upstream, limitMs }: Played): Promise<string> {
  using caller = await openCaller(port);
  caller.send(`GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${OFFER}\r\n`);
  return await play(caller, upstream, limitMs).then(
    () => 'right',
    () => 'wrong',
  );
}

describe('what the fence around http-proxy-3 is for', () => {
  it.each(ROWS.map((row) => [row.name, row] as const))('%s', async (_name, row) => {
    const [ours, theirs] = [await startHandshakeUpstream(row.answer), await startHandshakeUpstream(row.answer)];
    await using world = await createUpgradeWorld(ours.url);
    const control = await startUpgradeControl(theirs.url);
    const sidecar = { port: world.sidecar.port, upstream: ours };
    expect({
      sidecar: await withinOwn(SOON_MS, () => outcome(row, { ...sidecar, limitMs: PATIENCE_MS })),
      'http-proxy-3': await outcome(row, { port: control, upstream: theirs, limitMs: SOON_MS }),
    }).toEqual({ sidecar: 'right', 'http-proxy-3': 'wrong' });
  });
});
