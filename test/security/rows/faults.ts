/** Faults of the API, of callers and of routes: A04, A07, A13, A16, A17, rows 33 and 42, P01 to P05, P12 to P15 and P23. */
import { answered, isAnswer, request } from '../../support/attack-kinds.ts';
import { type AttackRow, REACHED } from '../../support/attack-row.ts';
import { valuesOf } from '../../support/messages.ts';
import { ok } from '../../support/raw.ts';

const POST = request('POST /api/x', 'Content-Length: 2\r\n', 'hi');
const GET = request('GET /api/x');

const broken = (method: string, bytes: string, fault: 'end' | 'resetAndDestroy'): AttackRow =>
  answered({
    id: 'P02',
    name: `${method} and a fresh connection that breaks (${fault}): 502, sent once, it may have been executed`,
    bytes,
    script: ({ socket }) => {
      socket[fault]();
      return undefined;
    },
    looks: isAnswer(502, { code: 'UPSTREAM_RESET', executed: true }),
  });

/** A kept connection that dies under the second request. */
const stale = (method: string, bytes: string, [status, sent]: readonly [number, number]): AttackRow => ({
  id: method === 'POST' ? 'R33' : 'P05',
  name: `${method} on a kept connection that is dead: ${status}, sent ${sent} times`,
  leftOut: 'it keeps no connection for certain',
  async play(stage) {
    stage.upstream.script(({ socket }, index) => {
      if (index !== 1) return ok('fine');
      socket.resetAndDestroy();
      return undefined;
    });
    const caller = await stage.send(request('GET /api/warm'));
    await stage.answer(caller);
    caller.send(stage.fill(bytes));
    stage.check('the answer is another', (await stage.answer(caller)).status === status);
    const again = (await stage.barrier()).filter(({ target }) => target === '/x');
    stage.check(`it is sent ${again.length} times`, again.length === sent);
  },
});

const silent = (method: string, bytes: string): AttackRow =>
  answered({
    id: 'P04',
    name: `${method} and an API that is silent: 504, sent once`,
    hasty: true,
    naiveFails: true,
    bytes,
    script: () => undefined,
    looks: isAnswer(504, { code: 'UPSTREAM_TIMEOUT', executed: true }),
  });

/** Cut off within the body: no whole request at the API, and nothing left open there. */
const cutUpload = (id: string, what: string, bytes: string): AttackRow => ({
  id,
  name: `a caller that leaves in the middle of ${what}: no whole request at the API, its connection is closed`,
  async play(stage) {
    const caller = await stage.send(bytes);
    if (bytes.length > 100_000)
      await stage.until('nothing arrives', () => stage.upstream.received.join('').length > 50_000);
    caller.socket.resetAndDestroy();
    await stage.until('the connection to the API stays open', () => stage.upstream.open === 0);
    stage.check(REACHED, (await stage.barrier()).length === 0);
  },
});

const BIG = 'x'.repeat(150_000);

export const FAULT_ROWS: readonly AttackRow[] = [
  ...(['end', 'resetAndDestroy'] as const).flatMap((fault) => [
    broken('GET', GET, fault),
    broken('POST', POST, fault),
    broken('DELETE', request('DELETE /api/x'), fault),
  ]),
  stale('GET', GET, [200, 2]),
  stale('OPTIONS', GET.replace('GET', 'OPTIONS'), [200, 2]),
  stale('POST', POST, [502, 1]),
  stale('DELETE', request('DELETE /api/x'), [502, 1]),
  silent('GET', GET),
  silent('POST', POST),
  {
    id: 'P04',
    name: 'an API that falls silent within its answer: an abort',
    hasty: true,
    naiveFails: true,
    async play(stage) {
      stage.upstream.script(() => 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
      const caller = await stage.send(GET);
      await stage.ended(caller);
      stage.check('it did not begin', caller.received.endsWith('half'));
      await stage.until('the connection to the API stays open', () => stage.upstream.open === 0);
    },
  },
  cutUpload('P13', 'a small body', request('POST /api/x', 'Content-Length: 10\r\n', 'half')),
  cutUpload('P13', 'a large body', request('POST /api/x', 'Content-Length: 200000\r\n', BIG)),
  cutUpload(
    'A07',
    'large chunks',
    request('POST /api/x', 'Transfer-Encoding: chunked\r\n', `${BIG.length.toString(16)}\r\n${BIG}\r\n5\r\nha`),
  ),
  {
    id: 'P14',
    name: 'a caller that leaves in the middle of a download: the connection to the API is closed',
    naiveFails: true,
    async play(stage) {
      stage.upstream.script(() => 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
      const caller = await stage.send(GET);
      await stage.until('it did not begin', () => caller.received.endsWith('half'));
      caller.socket.destroy();
      await stage.until('the connection to the API stays open', () => stage.upstream.open === 0);
    },
  },
  ...['1.0', '1.1'].map(
    (version): AttackRow => ({
      id: 'P15',
      name: `a caller that half-closes behind its request (HTTP/${version}): it counts as gone, as documented`,
      leftOut: 'it documents nothing',
      async play(stage) {
        stage.upstream.script(() => undefined);
        const caller = await stage.send(`GET /api/x HTTP/${version}\r\nHost: {host}\r\n\r\n`);
        await stage.until('nothing arrives', () => stage.upstream.requests.length === 1);
        caller.socket.end();
        await stage.ended(caller);
        await stage.until('the connection to the API stays open', () => stage.upstream.open === 0);
        stage.check('it gets an answer', caller.received === '');
      },
    }),
  ),
  ...['413 Too Large', '401 No'].map(
    (status): AttackRow => ({
      id: 'P12',
      name: `an early ${status} within an upload of 30 MB: the caller gets it, no whole request at the API`,
      async play(stage) {
        let told = false;
        stage.upstream.onBytes((socket, received) => {
          if (told || received.length < 100_000) return;
          told = true;
          // It reads no further, so that the upload cannot just be complete by then.
          socket.pause();
          socket.write(`HTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nno`);
        });
        const caller = await stage.send(request('POST /api/x', 'Content-Length: 30000000\r\n'));
        caller.send(Buffer.alloc(30_000_000));
        stage.check('the answer is another', (await stage.answer(caller)).status === Number(status.slice(0, 3)));
        stage.strict(REACHED, (await stage.barrier()).length === 0);
      },
    }),
  ),
  {
    id: 'A16',
    name: 'an answer that comes while the connection is idle: it never answers the next caller',
    async play(stage) {
      const first = await stage.send(GET);
      await stage.answer(first);
      stage.upstream.requests[0]?.socket.write(ok('poison'));
      const next = await stage.answer(await stage.send(request('GET /api/y')));
      stage.check('poison reached a caller', next.body !== 'poison');
    },
  },
  ...['h2c', 'websocket'].map(
    (protocol): AttackRow => ({
      id: 'R37',
      name: `a request behind the answer to an offer of ${protocol}: served on the same connection`,
      async play(stage) {
        const caller = await stage.send(request('GET /api/x', `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`));
        await stage.answer(caller);
        caller.send(stage.fill(request('GET /api/y')));
        await stage.until('the second is left without an answer', () => caller.received.split('fine').length === 3);
      },
    }),
  ),
  ...['A04', 'A17'].map(
    (id): AttackRow => ({
      id,
      name: `two routes ${id === 'A04' ? 'used in turn' : 'with tokens of their own'}: each API sees only its own`,
      callsOther: true,
      leftOut: 'it has one route',
      async play(stage) {
        for (const path of ['/api/1', '/other/2', '/api/3', '/other/4']) {
          const answer = await stage.answer(await stage.send(request(`GET ${path}`)));
          stage.check('it is not served', answer.status === 200);
        }
        const { requests } = stage.subject.foreign;
        stage.check('the other API saw others', requests.map(({ target }) => target).join() === '/2,/4');
        stage.check('the API saw others', (await stage.barrier()).map(({ target }) => target).join() === '/1,/3');
        const tokens = (list: typeof requests) => new Set(list.map((one) => valuesOf(one, 'authorization').join()));
        const [own, others] = [tokens(stage.upstream.requests), tokens(requests)];
        stage.check(
          'tokens are mixed up',
          own.size === 1 && others.size === 1 && [...own].every((token) => !others.has(token)),
        );
      },
    }),
  ),
  {
    id: 'P01',
    name: 'nobody listens at the API: 502, nothing was executed',
    leftOut: 'its API is the one that listens',
    async play(stage) {
      const answer = await stage.answer(await stage.send(request('POST /dead/x', 'Content-Length: 2\r\n', 'hi')));
      await isAnswer(502, { code: 'UPSTREAM_UNREACHABLE', executed: false })(stage, answer);
      stage.check(REACHED, (await stage.barrier()).length === 0);
    },
  },
  ...[
    'POST /%ff%fe',
    'GET /api/%c3%28',
    'GET /api/{}|^`"<>',
    'PROPFIND /api/x',
    'GET /api/%F0%9F%98%80?%',
    'M-SEARCH /api/x',
  ].map(
    (line): AttackRow => ({
      id: 'A13',
      name: `the request line ${line}: some answer, and the process lives on`,
      async play(stage) {
        const answer = await stage.answer(await stage.send(request(line)));
        stage.check(`the answer is ${answer.status}`, answer.status < 500);
      },
    }),
  ),
];
