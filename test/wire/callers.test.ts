/** Callers with keys, certificates and limits, over real sockets. */
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect as connectSecurely, type TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createAuthority, describeWithOpenssl, type Issued, makeCertificates } from '../support/certificates.ts';
import { createFakeClock } from '../support/clock.ts';
import { createFolder, type Folder } from '../support/folder.ts';
import { valuesOf } from '../support/messages.ts';
import { createProxyWorld, type ProxyWorld } from '../support/proxy-world.ts';

const ERP = 'canary-caller-key-of-the-erp';
const ERP_NEXT = 'canary-caller-key-of-the-erp-2';
const REPORTS = 'canary-caller-key-of-reports';

/** A folder with a file for every key. */
function keyFiles(): { folder: Folder; keys: Record<string, { file: string }[]> } {
  const folder = createFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const file = (name: string, key: string) => ({ file: folder.write(name, `${key}\n`) });
  return { folder, keys: { erp: [file('erp', ERP)], reports: [file('reports', REPORTS)] } };
}

async function metricsOf(world: ProxyWorld): Promise<string> {
  return (await fetch(`${world.sidecar.adminUrl}/metrics`)).text();
}

describe('callers with keys', () => {
  it('get through with theirs, which goes no further, and are named in log and metrics', async () => {
    await using world = await createProxyWorld({ config: { callers: { keys: keyFiles().keys } } });
    const basic = Buffer.from(`reports:${REPORTS}`).toString('base64');
    expect((await world.call('GET /api/x HTTP/1.1', `X-Sidecar-Key: ${ERP}\r\n\r\n`)).status).toBe(200);
    expect((await world.call('GET /api/x HTTP/1.1', `Authorization: Basic ${basic}\r\n\r\n`)).status).toBe(200);
    const seen = JSON.stringify(world.upstream.requests);
    for (const hidden of ['canary', basic, 'sidecar-key', 'Basic']) expect(seen).not.toContain(hidden);
    expect(world.sidecar.logs.filter(({ message }) => message === 'request').map(({ caller }) => caller)).toEqual([
      'erp',
      'reports',
    ]);
    const metrics = await metricsOf(world);
    expect(metrics).toContain('caller_requests_total{caller="erp"} 1');
    expect(metrics).toContain('caller_requests_total{caller="reports"} 1');
  });

  it.each([
    ['none', ''],
    ['a wrong one', 'X-Sidecar-Key: canary-wrong-key-of-the-erp\r\n'],
    ['one under a look-alike name', `X_Sidecar_Key: ${ERP}\r\n`],
    ['one that Connection names', `X-Sidecar-Key: wrong\r\nConnection: x-sidecar-key\r\n`],
  ])('are refused with %s, on every path, and nothing goes upstream', async (_what, lines) => {
    await using world = await createProxyWorld({ config: { callers: { keys: keyFiles().keys } } });
    for (const path of ['/api/x', '/unknown']) {
      const answer = await world.call(`GET ${path} HTTP/1.1`, `${lines}\r\n`);
      expect([answer.status, answer.json()['code']]).toEqual([403, 'CALLER_KEY']);
    }
    expect(world.upstream.requests).toEqual([]);
    expect(world.sidecar.rawLogs.join('')).not.toContain('canary-caller');
  });

  it('can change their key without a gap: both at first, then the new one alone', async () => {
    const { folder, keys } = keyFiles();
    const next = folder.write('erp-next', ERP_NEXT);
    await using world = await createProxyWorld({
      config: { callers: { keys: { erp: [...(keys['erp'] ?? []), { file: next }] } } },
    });
    const status = async (key: string) =>
      (await world.call('GET /api/x HTTP/1.1', `X-Sidecar-Key: ${key}\r\n\r\n`)).status;
    expect([await status(ERP), await status(ERP_NEXT)]).toEqual([200, 200]);
    writeFileSync(join(folder.path, 'erp'), 'canary-a-third-key-of-the-erp');
    world.sidecar.reload();
    expect([await status(ERP), await status(ERP_NEXT)]).toEqual([403, 200]);
  });
});

describe('callers with a token of their own', () => {
  it('see it replaced by ours, and counted', async () => {
    await using world = await createProxyWorld();
    expect((await world.call('GET /api/x HTTP/1.1', 'Authorization: Bearer canary-own-token\r\n\r\n')).status).toBe(
      200,
    );
    expect(world.upstream.requests.flatMap((one) => valuesOf(one, 'authorization'))).toEqual(['Bearer token-1']);
    expect(await metricsOf(world)).toContain('caller_authorization_dropped_total 1');
  });
});

describe('callers with limits of their own', () => {
  const POST = 'POST /api/x HTTP/1.1';

  /** A world where each caller has these limits beside its key; and what it gets for a request. */
  async function limitedWorld(limits: Record<'erp' | 'reports', object | undefined>, common: object = {}) {
    const { keys } = keyFiles();
    const entries = (['erp', 'reports'] as const).map((name) => {
      const own = limits[name];
      return [name, own ? { secrets: keys[name], limits: own } : keys[name]];
    });
    const clock = createFakeClock();
    const callers = { keys: Object.fromEntries(entries), limits: common };
    const world = await createProxyWorld({ clock, config: { callers } });
    onTestFinished(() => world[Symbol.asyncDispose]());
    const call = async (key: string, line = POST, more = '') => {
      const answer = await world.call(line, `X-Sidecar-Key: ${key}\r\n${more}Content-Length: 0\r\n\r\n`);
      return answer.status === 429 ? [answer.json()['code'], answer.header('retry-after')] : answer.status;
    };
    return { world, clock, call };
  }

  const REFUSED = ['CALLER_LIMIT', '60'];

  it('may do so many payments a minute, and all else besides', async () => {
    const limits = { methods: { POST: { requestsPerMinute: 2 } } };
    const { call, clock, world } = await limitedWorld({ erp: limits, reports: undefined });
    expect([await call(ERP), await call(ERP), await call(ERP)]).toEqual([200, 200, REFUSED]);
    expect([await call(ERP, 'GET /api/x HTTP/1.1'), await call(REPORTS)]).toEqual([200, 200]);
    world.sidecar.reload();
    expect(await call(ERP)).toEqual(REFUSED);
    await clock.advance(60_000);
    expect(await call(ERP)).toBe(200);
  });

  it.each([
    ['GET /api/x HTTP/1.1', 'X-HTTP-Method-Override: post\r\n'],
    ['PUT /api/x HTTP/1.1', 'X-Method-Override: POST\r\n'],
    ['GET /api/x?_method=POST HTTP/1.1', ''],
  ])('have %s with %j counted as what it names, too', async (line, more) => {
    const limits = { methods: { POST: { requestsPerMinute: 1 } } };
    const { call } = await limitedWorld({ erp: limits, reports: undefined });
    expect([await call(ERP, line, more), await call(ERP, line, more), await call(ERP)]).toEqual([
      200,
      REFUSED,
      REFUSED,
    ]);
  });

  it('have what they have none for as it is for every caller', async () => {
    const erp = { requestsPerMinute: 3 };
    const { call } = await limitedWorld(
      { erp, reports: undefined },
      { requestsPerMinute: 1, methods: { PUT: { requestsPerMinute: 1 } } },
    );
    expect([await call(ERP), await call(ERP)]).toEqual([200, 200]);
    expect([await call(REPORTS), await call(REPORTS)]).toEqual([200, REFUSED]);
    const put = 'PUT /api/x HTTP/1.1';
    expect([await call(ERP, put), await call(ERP, put)]).toEqual([200, REFUSED]);
  });

  it('are named in no label but their own, however many are refused', async () => {
    const { call, world } = await limitedWorld({
      erp: { methods: { POST: { requestsPerMinute: 1 } } },
      reports: undefined,
    });
    for (let round = 0; round < 5; round += 1) await call(ERP);
    const metrics = await metricsOf(world);
    expect(metrics).toContain('errors_total{code="CALLER_LIMIT"} 4');
    expect(metrics).not.toContain('/ POST');
  });
});

describe('callers with limits', () => {
  it('get 429 with Retry-After beyond their requests a minute, each for itself, also after a reload', async () => {
    const clock = createFakeClock();
    const { keys } = keyFiles();
    await using world = await createProxyWorld({
      clock,
      config: { callers: { keys, limits: { requestsPerMinute: 2 } } },
    });
    const call = (key: string) =>
      world.call('POST /api/x HTTP/1.1', `X-Sidecar-Key: ${key}\r\nContent-Length: 0\r\n\r\n`);
    for (const _ of [1, 2]) expect((await call(ERP)).status).toBe(200);
    world.sidecar.reload();
    const refused = await call(ERP);
    expect([refused.status, refused.json()['code']]).toEqual([429, 'CALLER_LIMIT']);
    expect(refused.header('retry-after')).toBe('60');
    expect((await call(REPORTS)).status).toBe(200);
    expect(world.upstream.requests).toHaveLength(3);
  });

  it('get 429 beyond the requests at a time of a route, until one of them is answered', async () => {
    let answer: (() => unknown) | undefined;
    await using world = await createProxyWorld({
      answer({ socket }, index) {
        if (index > 0) return 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
        answer = () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
        return undefined;
      },
    });
    const config = JSON.parse(readFileSync(world.sidecar.file, 'utf8'));
    config.routes[0].limits = { inFlight: 1 };
    writeFileSync(world.sidecar.file, JSON.stringify(config));
    world.sidecar.reload();
    const first = world.call('GET /api/slow HTTP/1.1');
    await world.upstream.untilRequests(1);
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(429);
    answer?.();
    expect((await first).status).toBe(200);
    expect((await world.call('GET /api/x HTTP/1.1')).status).toBe(200);
  });
});

const certificates = makeCertificates((authority, folder) => {
  const issue = (name: string) => authority.issue(name, 'IP:127.0.0.1');
  const stranger = createAuthority(folder, 'other-ca').issue('stranger', 'IP:127.0.0.1');
  return { server: issue('sidecar'), client: issue('erp-host-1'), stranger };
});

interface Shown {
  readonly client?: Issued;
  readonly lines?: Record<string, string>;
}

/** The status, the serial number the server showed; or the error's code. */
function callSecurely(world: ProxyWorld, { client, lines = {} }: Shown = {}): Promise<string> {
  const { authority } = certificates();
  return new Promise((resolve) => {
    const options = {
      port: world.sidecar.port,
      host: '127.0.0.1',
      path: '/api/x',
      agent: false as const,
      headers: lines,
    };
    const proof = { ca: authority.ca, ...(client && { cert: client.cert, key: client.key }) };
    const req = request({ ...options, ...proof }, (res) => {
      const { subject } = (res.socket as TLSSocket).getPeerCertificate();
      res.resume().on('end', () => resolve(`${res.statusCode} from ${subject.CN}`));
    });
    req.on('error', () => resolve('no answer')).end();
  });
}

describeWithOpenssl('callers over TLS', () => {
  /** In files of the test's own. */
  function writeServerCertificate() {
    const { folder, server } = certificates();
    const cert = folder.write('listener.pem', server.cert);
    const key = folder.write('listener.key', server.key);
    return { cert, key };
  }

  async function startWorld(more: Record<string, unknown> = {}) {
    const { cert, key } = writeServerCertificate();
    const world = await createProxyWorld({ config: { callers: { tls: { cert, key, ...more } } } });
    onTestFinished(() => world[Symbol.asyncDispose]());
    return { world, cert, key };
  }

  it('are served, and those that speak plain HTTP are not', async () => {
    const { world } = await startWorld();
    expect(await callSecurely(world)).toBe('200 from sidecar');
    using plain = await world.open();
    plain.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await plain.ended();
    expect(world.upstream.requests).toHaveLength(1);
    await expect
      .poll(() => world.sidecar.logs.filter(({ cause }) => cause === 'plain_on_tls_port'))
      .toEqual([expect.objectContaining({ level: 'warn', fix: 'use https://' })]);
  });

  it('that connect and say nothing are ended in silence; with a byte they get 408', async () => {
    const { cert, key } = writeServerCertificate();
    const timeouts = { callerHeaders: '1s' };
    await using world = await createProxyWorld({ config: { callers: { tls: { cert, key } }, timeouts } });
    const { ca } = certificates().authority;
    const seen = ['', 'G'].map(async (bytes) => {
      const socket = connectSecurely({ port: world.sidecar.port, host: '127.0.0.1', ca });
      socket.write(bytes);
      return (await text(socket)).split('\r\n')[0];
    });
    expect(await Promise.all(seen)).toEqual(['', 'HTTP/1.1 408 CALLER_TIMEOUT']);
  });

  it('see a new certificate after it is replaced, on new connections, without a restart', async () => {
    const { world, cert, key } = await startWorld();
    const next = certificates().authority.issue('sidecar-renewed', 'IP:127.0.0.1');
    writeFileSync(cert, next.cert);
    writeFileSync(key, next.key);
    world.sidecar.reload();
    expect(await callSecurely(world)).toBe('200 from sidecar-renewed');
  });

  it('need a certificate of the given CA where there is one, and are named by it', async () => {
    const { authority, client, stranger } = certificates();
    const { world } = await startWorld({ ca: authority.caFile });
    expect(await callSecurely(world)).toBe('no answer');
    expect(await callSecurely(world, { client: stranger })).toBe('no answer');
    expect(world.upstream.requests).toEqual([]);
    expect(await callSecurely(world, { client })).toBe('200 from sidecar');
    expect(await metricsOf(world)).toContain('caller_requests_total{caller="certificate"} 1');
    expect(world.sidecar.logs.find(({ message }) => message === 'request')).toMatchObject({ caller: 'erp-host-1' });
  });

  it('are refused like all others when a web page sent them', async () => {
    const { world } = await startWorld();
    expect(await callSecurely(world, { lines: { Origin: 'https://evil.example' } })).toBe('403 from sidecar');
  });
});

describe('requests behind one another on a connection that is reset', () => {
  it('give back their places, so that the next caller has one', async () => {
    const config = { callers: { limits: { inFlight: 4 } } };
    await using world = await createProxyWorld({ config, answer: () => undefined });
    for (let round = 0; round < 3; round += 1) {
      using caller = await world.open();
      caller.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`.repeat(4));
      await world.upstream.untilRequests(round + 1);
      caller[Symbol.dispose]();
      await expect.poll(world.inFlight).toBe(0);
    }
    using next = await world.open();
    next.send(`GET /api/x HTTP/1.1\r\n${world.host}\r\n`);
    await world.upstream.untilRequests(4);
    const refused = (await (await fetch(`${world.sidecar.adminUrl}/metrics`)).text()).match(
      /errors_total\{code="CALLER_LIMIT"\} (\d+)/,
    );
    expect(refused?.[1]).toBe('0');
  });
});

describe('bytes behind an offer to upgrade that has a body', () => {
  it('are no requests: none reaches the API, and the first is answered alone', async () => {
    const held: (() => void)[] = [];
    await using world = await createProxyWorld({
      answer({ socket }) {
        held.push(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
        return undefined;
      },
    });
    using caller = await world.open();
    caller.send(
      `GET /api/x HTTP/1.1\r\n${world.host}\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n`,
    );
    // Node loses what comes in one piece with the head.
    await expect.poll(world.inFlight).toBe(1);
    caller.send('xyz');
    await world.upstream.untilRequests(1);
    caller.send(['/api/b', '/api/c', '/api/d'].map((path) => `GET ${path} HTTP/1.1\r\n${world.host}\r\n`).join(''));
    // Read by the time that another caller has been served, if it is ever read.
    await using other = await createProxyWorld();
    expect((await other.call('GET /api/x HTTP/1.1')).status).toBe(200);
    for (const respond of held) respond();
    expect((await caller.answer()).status).toBe(200);
    await expect.poll(() => caller.ending).toBeDefined();
    await expect.poll(world.inFlight).toBe(0);
    expect(world.upstream.requests).toHaveLength(1);
    const lines = world.sidecar.logs.filter(({ message }) => message === 'request');
    expect(lines.map(({ path, status }) => [path, status])).toEqual([['/api/x', 200]]);
  });
});
