/**
 * Every error that a caller can get says whether the API may have acted on the call, by what had left when it failed: in the
 * response, in the log and in the audit log. Goes over the whole table of errors, so that none is added without this.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import type { Answer } from '../support/caller.ts';
import { createFakeClock, type FakeClock } from '../support/clock.ts';
import { createDeadline } from '../support/deadline.ts';
import { createFolder } from '../support/folder.ts';
import { untilQuiet } from '../support/own-time.ts';
import { createProxyWorld, type ProxyWorld, type ProxyWorldOptions } from '../support/proxy-world.ts';
import { ok } from '../support/raw.ts';
import { json } from '../support/token-server.ts';
import { until } from '../support/until.ts';

interface Stage {
  readonly world: ProxyWorld;
  readonly clock: FakeClock;
  /** Lets `limit` of the options pass. */
  readonly pass: () => void;
}

type Options = (limit: string) => ProxyWorldOptions;

interface Row {
  readonly what: string;
  /** Whether bytes of the call had left for the API. */
  readonly left: boolean;
  /** It brings an API of its own. */
  readonly isElsewhere?: true;
  readonly options?: Options;
  /** The response, or undefined of a caller that went away. */
  readonly call: (stage: Stage) => Promise<Answer | undefined>;
}

const folder = createFolder();
afterAll(() => folder[Symbol.dispose]());

const POST = 'POST /api/pay HTTP/1.1';
const HI = 'Content-Length: 2\r\n\r\nhi';
const CHUNKED = 'Transfer-Encoding: chunked\r\n\r\n';
const BIG = 'x'.repeat(100_000);
const INVALID = 'HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error="invalid_token"\r\nContent-Length: 0\r\n\r\n';
const silent = () => undefined;

/** A whole request that fails before it leaves. */
const before = (what: string, head = HI, line = POST, options?: Options): Row => ({
  ...{ what, left: false, call: ({ world }) => world.call(line, head) },
  ...(options && { options }),
});

const config = (more: Record<string, unknown>): Options => {
  return () => ({ config: more });
};

/** Bytes as they are, without a Host line of ours. */
async function raw({ world }: Stage, ...pieces: readonly string[]): Promise<Answer> {
  using caller = await world.open();
  for (const [index, piece] of pieces.entries()) {
    if (index > 0) await world.upstream.untilRequests(0).then(untilQuiet);
    caller.send(piece);
  }
  return await caller.answer();
}

/** The head and 100 KB of a body in chunks have reached the API; then come these bytes, or what `last` does. */
async function streaming({ world }: Stage, last: string | (() => Promise<void>)): Promise<Answer> {
  using caller = await world.open();
  caller.send(`${POST}\r\n${world.host}${CHUNKED}${BIG.length.toString(16)}\r\n${BIG}\r\n`);
  await until('the API has it', () => world.upstream.received.join('').includes(BIG.slice(0, 1000)));
  if (typeof last === 'string') caller.send(last);
  else await last();
  return await caller.answer();
}

/** A call that waits for a token as long as it may, unless it is told before. */
async function untilGivenUp(world: ProxyWorld, clock: FakeClock): Promise<Answer> {
  let isOver = false;
  const answer = world.call(POST, HI).finally(() => {
    isOver = true;
  });
  while (!isOver) await untilQuiet().then(() => clock.advance(1000));
  return answer;
}

/** No token is left, and none to be had. */
const withoutToken =
  (refusal: Parameters<typeof json>): Row['call'] =>
  async ({ world, clock }) => {
    world.tokens.answerWith(json(...refusal));
    await clock.advance(7_200_000);
    return untilGivenUp(world, clock);
  };

/** The API blames the token, and there is no other. */
const withoutSecondToken =
  (refusal: Parameters<typeof json>): Row['call'] =>
  async ({ world, clock }) => {
    await clock.advance(2000);
    world.tokens.answerWith(json(...refusal));
    return untilGivenUp(world, clock);
  };

/** The drain limit passes when the API has so many requests. */
async function stopped({ world, pass }: Stage, arrived: number): Promise<Answer> {
  using caller = await world.open();
  caller.send(`${POST}\r\n${world.host}${HI}`);
  await until('it is in', async () => (await world.inFlight()) === 1);
  await world.upstream.untilRequests(arrived);
  const end = world.sidecar.stop();
  await untilQuiet();
  pass();
  const answer = await caller.answer();
  await end;
  return answer;
}

function raise(error: Error): never {
  throw error;
}

const refusing = () => ({ answer: () => INVALID });
const NONE: readonly Row[] = [];

const ROWS: Readonly<Record<ErrorCode, readonly Row[]>> = {
  SIDECAR_AUDIT_FAILED: [
    {
      what: 'the audit log cannot be written',
      left: false,
      options: config({ audit: { file: join(folder.path, 'replaced'), whenFailing: 'refuse' } }),
      async call({ world }) {
        rmSync(join(folder.path, 'replaced'));
        mkdirSync(join(folder.path, 'replaced'));
        world.sidecar.reload();
        const failing = async () =>
          (await (await fetch(`${world.sidecar.adminUrl}/metrics`)).text()).includes(
            '\naritma_sidecar_audit_failing 1\n',
          );
        await expect.poll(failing).toBe(true);
        return world.call(POST, HI);
      },
    },
  ],
  SIDECAR_INTERNAL: [
    {
      what: 'something unforeseen is thrown at the gate',
      left: false,
      options: config({ callers: { limits: { inFlight: 9 } } }),
      async call({ world, clock }) {
        const { now } = clock;
        const broken = Object.assign(clock, { now: () => raise(new Error('unforeseen')) });
        const answer = await world.call(POST, HI);
        Object.assign(broken, { now });
        return answer;
      },
    },
  ],
  SIDECAR_STOPPED: [
    {
      what: 'the drain limit passes while it waits for a token',
      left: false,
      options: (limit) => ({ config: { drain: { limit } } }),
      async call(stage) {
        stage.world.tokens.answerWith(silent);
        await stage.clock.advance(7_200_000);
        return stopped(stage, 0);
      },
    },
    {
      what: 'the drain limit passes while the API has the request',
      left: true,
      options: (limit) => ({ answer: silent, config: { drain: { limit } } }),
      call: (stage) => stopped(stage, 1),
    },
  ],
  SIDECAR_OVERLOADED: [before('memory is short', HI, POST, () => ({ heapShare: () => 1 }))],
  CALLER_REQUEST_INVALID: [
    before('the target is malformed', HI, 'POST /api//pay HTTP/1.1'),
    { what: 'the bytes are no request', left: false, call: (stage) => raw(stage, 'POST\r\n\r\n') },
    {
      what: 'a body is malformed of which nothing has left',
      left: false,
      call: (stage) => raw(stage, `${POST}\r\n${stage.world.host}${CHUNKED}`, 'zz\r\n'),
    },
    {
      what: 'a body is malformed of which much has left',
      left: true,
      options: () => ({ answer: silent }),
      call: (stage) => streaming(stage, 'zz\r\n'),
    },
  ],
  CALLER_HEADERS_TOO_LARGE: [
    before('there are 101 headers', `${'X: y\r\n'.repeat(101)}${HI}`),
    { what: 'they are too long', left: false, call: ({ world }) => world.call(POST, `X: ${BIG}\r\n\r\n`) },
  ],
  CALLER_TARGET_TOO_LONG: [before('the target is too long', HI, `POST /api/${'x'.repeat(9000)} HTTP/1.1`)],
  CALLER_BODY_TOO_LARGE: [
    before('it is announced', `Content-Length: 200\r\n\r\n`, POST, config({ limits: { requestBody: '100B' } })),
    {
      what: 'it shows when much has left',
      left: true,
      options: () => ({ answer: silent, config: { limits: { requestBody: '100KiB' } } }),
      call: (stage) => streaming(stage, `${BIG.length.toString(16)}\r\n${BIG}\r\n`),
    },
  ],
  CALLER_METHOD_REFUSED: [
    before('it is TRACE', '\r\n', 'TRACE /api/x HTTP/1.1'),
    { what: 'it is CONNECT', left: false, call: (stage) => raw(stage, 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n') },
  ],
  CALLER_TIMEOUT: [
    {
      what: 'the rest of a small body does not come',
      left: false,
      options: (idle) => ({ config: { timeouts: { idle } } }),
      async call({ world, pass }) {
        using caller = await world.open();
        caller.send(`${POST}\r\n${world.host}Content-Length: 4\r\n\r\nhi`);
        await untilQuiet();
        pass();
        return await caller.answer();
      },
    },
    {
      what: 'the rest of a large body does not come',
      left: true,
      options: (idle) => ({ answer: silent, config: { timeouts: { idle } } }),
      call: (stage) =>
        streaming(stage, async () => {
          await untilQuiet();
          stage.pass();
        }),
    },
  ],
  CALLER_ABORTED: [
    {
      what: 'it goes away within its body',
      left: false,
      async call({ world }) {
        using caller = await world.open();
        caller.send(`${POST}\r\n${world.host}Content-Length: 4\r\n\r\nhi`);
        await until('it has begun', async () => (await world.inFlight()) === 1);
        return undefined;
      },
    },
    {
      what: 'it goes away while the API works',
      left: true,
      options: () => ({ answer: silent }),
      async call({ world }) {
        using caller = await world.open();
        caller.send(`${POST}\r\n${world.host}${HI}`);
        await world.upstream.untilRequests(1);
        return undefined;
      },
    },
  ],
  CALLER_EXPECTATION: [before('it expects what nobody knows', `Expect: wonders\r\n${HI}`)],
  CALLER_KEY: [
    before('it has none', HI, POST, () => ({
      config: { callers: { keys: { erp: [{ file: folder.write('key', 'canary-caller-key-of-the-erp') }] } } },
    })),
  ],
  CALLER_LIMIT: [
    {
      what: 'it is used up',
      left: false,
      options: config({ callers: { limits: { requestsPerMinute: 1 } } }),
      async call({ world }) {
        await world.call('GET /api/x HTTP/1.1');
        return world.call(POST, HI);
      },
    },
  ],
  CALLER_TOKEN_IN_QUERY: [before('there is one', HI, 'POST /api/pay?access_token=x HTTP/1.1')],
  CALLER_HOST: [{ what: 'it is foreign', left: false, call: (stage) => raw(stage, `${POST}\r\nHost: a\r\n${HI}`) }],
  CALLER_ORIGIN: [before('a page sends it', `Origin: https://a.example\r\n${HI}`)],
  CALLER_FORWARDED: [before('a proxy sends it', `Forwarded: for=a\r\n${HI}`)],
  CALLER_LOOP: [before('it comes from here', `Via: 1.1 aritma-sidecar\r\n${HI}`)],
  ROUTE_NOT_FOUND: [before('there is none', HI, 'POST /nowhere HTTP/1.1')],
  ROUTE_NOT_ALLOWED: [
    before('the list has other calls', HI, POST, () => ({
      config: { routes: [{ path: '/api', upstream: 'http://127.0.0.1:9', allow: ['GET /x'] }] },
    })),
  ],
  TOKEN_UNAVAILABLE: [
    { what: 'no token is left', left: false, call: withoutToken([500, {}]) },
    { what: 'the API wants another', left: true, options: refusing, call: withoutSecondToken([500, {}]) },
  ],
  CREDENTIALS_REJECTED: [
    { what: 'no token is left', left: false, call: withoutToken([401, { error: 'invalid_client' }]) },
    {
      what: 'the API wants another',
      left: true,
      options: refusing,
      call: withoutSecondToken([401, { error: 'invalid_client' }]),
    },
  ],
  UPSTREAM_UNREACHABLE: [
    before('nothing listens there', HI, POST, () => ({ upstream: 'http://127.0.0.1:9' })),
    {
      what: 'a kept connection broke, and another cannot be made',
      left: true,
      isElsewhere: true,
      async call({ clock }) {
        const sockets: Socket[] = [];
        const api = createServer((req, res) => {
          if (req.url === '/first') res.end('fine');
          else req.socket.destroy();
        }).on('connection', (socket) => sockets.push(socket));
        await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
        const upstream = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
        await using other = await createProxyWorld({ upstream, clock });
        await other.call('GET /api/first HTTP/1.1');
        // Whoever is connected stays so.
        Object.assign(api, { closeIdleConnections: () => undefined }).close();
        expect(sockets).toHaveLength(1);
        const answer = await other.call('GET /api/x HTTP/1.1');
        const metrics = await (await fetch(`${other.sidecar.adminUrl}/metrics`)).text();
        expect(metrics).toContain('upstream_replays_total{reason="stale_connection"} 0');
        return answer;
      },
    },
  ],
  UPSTREAM_BUSY: [
    {
      what: 'no connection becomes free',
      left: false,
      options: (queue) => ({
        answer: silent,
        config: { limits: { upstreamConnections: 1 }, timeouts: { queue } },
      }),
      async call({ world, pass }) {
        using first = await world.open();
        first.send(`GET /api/first HTTP/1.1\r\n${world.host}\r\n`);
        await world.upstream.untilRequests(1);
        const waiting = world.call(POST, HI);
        await until('both are under way', async () => (await world.inFlight()) === 2);
        await untilQuiet();
        pass();
        return await waiting;
      },
    },
  ],
  UPSTREAM_RESET: [
    {
      what: 'the API breaks off',
      left: true,
      options: () => ({ answer: ({ socket }) => void socket.destroy() as undefined }),
      call: ({ world }) => world.call(POST, HI),
    },
  ],
  UPSTREAM_TIMEOUT: [
    {
      what: 'the time is over within the body',
      left: false,
      options: (total) => ({ config: { timeouts: { total } } }),
      async call({ world, pass }) {
        using caller = await world.open();
        caller.send(`${POST}\r\n${world.host}Content-Length: 4\r\n\r\nhi`);
        await untilQuiet();
        pass();
        return await caller.answer();
      },
    },
    {
      what: 'the time is over while the API works',
      left: true,
      options: (total) => ({ answer: silent, config: { timeouts: { total } } }),
      async call({ world, pass }) {
        const asked = world.call(POST, HI);
        await world.upstream.untilRequests(1);
        await untilQuiet();
        pass();
        return await asked;
      },
    },
  ],
  UPSTREAM_INVALID: [
    {
      what: 'the response is none',
      left: true,
      options: () => ({ answer: () => 'HTTP/3 what\r\n\r\n' }),
      call: ({ world }) => world.call(POST, HI),
    },
  ],
  // Of commands, and of the doctor; no call of a caller ends with them.
  CONFIG_INVALID: NONE,
  SIDECAR_LISTEN_FAILED: NONE,
  UPSTREAM_REFUSED_TOKEN: NONE,
  IAM_REFUSED: NONE,
  IAM_NOT_FOUND: NONE,
  IAM_CONFLICT: NONE,
  IAM_UNAVAILABLE: NONE,
  IAM_INVALID: NONE,
  ROTATION_LOCKED: NONE,
  ROTATION_NOT_VERIFIED: NONE,
  ROTATION_NOT_RETIRED: NONE,
  ROTATION_TOO_MANY_SECRETS: NONE,
  ROTATION_STORE_FAILED: NONE,
  ROTATION_JOURNAL_INVALID: NONE,
};

const CASES = Object.entries(ROWS).flatMap(([code, rows]) => rows.map((row) => [code as ErrorCode, row] as const));

describe('mayHaveExecuted', () => {
  it('is asked of every error of the table that callers can get', () => {
    const nobody = /^(?:CONFIG_|IAM_|ROTATION_|SIDECAR_LISTEN_FAILED|UPSTREAM_REFUSED_TOKEN)/;
    for (const code of Object.keys(ERRORS) as ErrorCode[]) expect(ROWS[code].length > 0, code).toBe(!nobody.test(code));
  });

  it.each(CASES.map(([code, row]) => [code, row.what, row.left, row] as const))(
    'of %s, where %s, is %j',
    async (code, what, left, { options, call, isElsewhere }) => {
      using deadline = createDeadline();
      const clock = createFakeClock();
      const file = join(folder.path, `${code}-${what}.jsonl`);
      const own = options?.(`${deadline.ms}ms`) ?? {};
      await using world = await createProxyWorld({ ...own, clock, config: { audit: { file }, ...own.config } });
      const answer = await call({ world, clock, pass: deadline.pass });
      if (answer) {
        expect(answer.json()).toMatchObject({ code, mayHaveExecuted: left });
        if (left) expect(answer.json()['detail']).not.toMatch(/not sent on|(?<!false, )nothing was sent/i);
      }
      if (!isElsewhere) expect(world.upstream.received.join('').includes('POST')).toBe(left);
      await untilQuiet();
      for (const line of world.sidecar.logs.filter((one) => one['message'] === 'request' && one['code'] === code))
        expect(line).toMatchObject({ mayHaveExecuted: left });
      if (own.config?.['audit']) return;
      const text = readFileSync(file, 'utf8');
      for (const line of text.split('\n').filter((one) => one.includes(`"code":"${code}"`)))
        expect(JSON.parse(line)).toMatchObject({ mayHaveExecuted: left });
    },
  );

  it('is nothing that a call has which the API answered', async () => {
    await using world = await createProxyWorld({ answer: () => ok('fine') });
    await world.call(POST, HI);
    await expect
      .poll(() => world.sidecar.logs.find(({ message }) => message === 'request'))
      .not.toHaveProperty('mayHaveExecuted');
  });
});
