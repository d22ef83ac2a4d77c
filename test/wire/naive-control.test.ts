// The rows that decide this product, run against the sidecar and against a naive proxy: a row that both pass would
// prove nothing, so the naive one has to fail where it is known to.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, describe, expect, it } from 'vitest';
import { type Caller, openCaller } from '../support/caller.ts';
import { valuesOf } from '../support/messages.ts';
import { ok } from '../support/raw.ts';
import { startTestSidecar } from '../support/sidecar.ts';
import { startTokenServer } from '../support/token-server.ts';
import { type Answerer, type ScriptedUpstream, startUpstream } from '../support/upstream.ts';

interface Proxy extends AsyncDisposable {
  readonly port: number;
  isAlive(): boolean;
}

interface Trial {
  readonly upstream: ScriptedUpstream;
  /** Where the token must never go. */
  readonly foreign: ScriptedUpstream;
  readonly proxy: Proxy;
  readonly caller: Caller;
  readonly host: string;
}

interface Row {
  readonly name: string;
  readonly answer?: Answerer;
  /** True when the proxy behaved. */
  holds(trial: Trial): Promise<boolean>;
}

const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
const CHUNKED = `Transfer-Encoding: chunked\r\n\r\n${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`;
const NO_ANSWER: Answerer = () => undefined;

const framing = (method: string): Row => ({
  name: `a chunked ${method} stays one request`,
  async holds({ upstream, caller, host }) {
    caller.send(`${method} /api/x HTTP/1.1\r\n${host}${CHUNKED}`);
    await caller.answer({ toHead: method === 'HEAD' });
    caller.send(`GET /api/next HTTP/1.1\r\n${host}\r\n`);
    await caller.answer();
    return (
      upstream.requests.map(({ target }) => target).join() === '/x,/next' && upstream.requests[0]?.body === SMUGGLED
    );
  },
});

const foreignTarget = (spelling: string): Row => ({
  name: `the token does not follow the target ${spelling}`,
  async holds({ foreign, caller, host }) {
    caller.send(`GET ${spelling.replace('EVIL', new URL(foreign.url).host)} HTTP/1.1\r\n${host}\r\n`);
    await caller.answer();
    return foreign.connections === 0;
  },
});

const survives = (name: string, bytes: (host: string) => string, answer: Answerer = () => ok('fine')): Row => ({
  name,
  answer,
  async holds({ proxy, caller, host }) {
    caller.send(bytes(host));
    await caller.answer();
    return proxy.isAlive();
  },
});

const get = (host: string) => `GET /api/x HTTP/1.1\r\n${host}\r\n`;

const breaksOff = (name: string, head: string, part: string): Row => ({
  name: `an answer with ${name} that breaks off is an abort to the caller`,
  answer({ socket }) {
    socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n${part}`, () => setTimeout(() => socket.destroy(), 50));
    return undefined;
  },
  async holds({ caller, host }) {
    caller.send(get(host));
    await caller.ended(2000);
    return true;
  },
});

const ROWS: readonly Row[] = [
  ...['GET', 'HEAD', 'DELETE', 'OPTIONS', 'POST'].map(framing),
  ...['//EVIL/x', '/\\EVIL/x', 'http://EVIL/x', '///EVIL/x'].map(foreignTarget),
  {
    name: 'Connection: authorization cannot take the token away',
    async holds({ upstream, caller, host }) {
      caller.send(`GET /api/x HTTP/1.1\r\n${host}Connection: authorization\r\n\r\n`);
      await caller.answer();
      return upstream.requests.every((request) => valuesOf(request, 'authorization')[0] === 'Bearer token-1');
    },
  },
  survives(
    'a Trailer header without chunks does not end the process',
    (host) => `GET /api/x HTTP/1.1\r\n${host}Trailer: X\r\n\r\n`,
  ),
  survives('status 099 does not end the process', get, () => 'HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n'),
  survives(
    'an answer with Trailer and a length does not end the process',
    get,
    () => 'HTTP/1.1 200 OK\r\nTrailer: X\r\nContent-Length: 2\r\n\r\nhi',
  ),
  breaksOff('a length', 'Content-Length: 100', 'half'),
  breaksOff('chunks', 'Transfer-Encoding: chunked', '4\r\nhalf\r\n'),
  {
    name: 'a caller that leaves in the middle of a download frees the connection to the API',
    answer: () => 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf',
    async holds({ upstream, caller, host }) {
      caller.send(get(host));
      await expect.poll(() => caller.received.endsWith('half')).toBe(true);
      caller.socket.destroy();
      await expect.poll(() => upstream.closed, { timeout: 1000 }).toBe(1);
      return true;
    },
  },
  {
    name: 'a page of another host cannot call (DNS rebinding)',
    async holds({ upstream, caller }) {
      caller.send('GET /api/x HTTP/1.1\r\nHost: evil.example\r\n\r\n');
      await caller.answer();
      return upstream.connections === 0;
    },
  },
  {
    name: 'no coding reaches an HTTP/1.0 caller',
    answer: () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
    async holds({ caller, host }) {
      caller.send(`GET /api/x HTTP/1.0\r\n${host}\r\n`);
      await caller.ended();
      return caller.received.endsWith('\r\n\r\nhi');
    },
  },
  {
    name: 'an API that is silent does not hold the caller for ever',
    answer: NO_ANSWER,
    async holds({ caller, host }) {
      caller.send(get(host));
      return (await caller.answer({ timeoutMs: 2000 })).status === 504;
    },
  },
];

async function startSidecar(upstream: string): Promise<Proxy> {
  const tokens = await startTokenServer();
  const config = { timeouts: { firstByte: '500ms' } };
  const sidecar = await startTestSidecar({ upstream, tokenEndpoint: tokens.url, config });
  return {
    port: sidecar.port,
    // It runs in this process: an exception nobody caught would fail the test run.
    isAlive: () => true,
    async [Symbol.asyncDispose]() {
      await sidecar.stop();
      await tokens.close();
    },
  };
}

async function startNaive(upstream: string): Promise<Proxy> {
  const script = new URL('../support/naive-proxy.ts', import.meta.url).pathname;
  const child: ChildProcess = fork(script, [upstream], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'], execArgv: [] });
  const [port] = (await once(child, 'message')) as [number];
  return {
    port,
    isAlive: () => child.exitCode === null,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** Undefined when the row holds, else why not. */
async function run(row: Row, start: (upstream: string) => Promise<Proxy>): Promise<string | undefined> {
  await using upstream = await startUpstream(row.answer ?? ((request) => ok(request.method === 'HEAD' ? '' : 'fine')));
  await using foreign = await startUpstream(() => ok('stolen'));
  await using proxy = await start(upstream.url);
  using caller = await openCaller(proxy.port);
  const host = `Host: 127.0.0.1:${proxy.port}\r\n`;
  try {
    const held = await row.holds({ upstream, foreign, proxy, caller, host });
    if (!held) return 'misbehaved';
    return (await answers(proxy.port)) ? undefined : 'the process is gone';
  } catch (error) {
    return String(error).slice(0, 200);
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Where even the naive proxy does well. */
const HARMLESS = ['a chunked POST stays one request'];

describe('sidecar and naive proxy', () => {
  const passed = { sidecar: 0, naive: 0 };
  afterAll(() => {
    process.stdout.write(`${ROWS.length} rows, sidecar ${passed.sidecar} pass, naive ${passed.naive} pass\n`);
  });

  it.each(ROWS)('$name', async (row) => {
    const [sidecar, naive] = await Promise.all([run(row, startSidecar), run(row, startNaive)]);
    if (sidecar === undefined) passed.sidecar += 1;
    if (naive === undefined) passed.naive += 1;
    expect(sidecar).toBeUndefined();
    expect([row.name, naive === undefined]).toEqual([row.name, HARMLESS.includes(row.name)]);
  });
});
