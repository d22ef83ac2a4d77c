/** Answers of the API: A16, A20, A21, rows 10 to 12, 18, 19, 24, 25, 32, 35, 36, 40 to 42 and 49, P06 to P09, P18 to P20 and P31 to P33. */
import { gzipSync } from 'node:zlib';
import { answered, expectOneToken, isAnswer, PARSER, request, spoiled } from '../../support/attack-kinds.ts';
import type { AttackRow } from '../../support/attack-row.ts';
import { valuesOf } from '../../support/messages.ts';
import { ok } from '../../support/raw.ts';

const HEAD = 'HTTP/1.1 200 OK\r\n';
const HI = 'Content-Length: 2\r\n\r\nhi';
const INVALID = 'WWW-Authenticate: Bearer error="invalid_token"\r\n';

const kept = (
  id: string,
  name: string,
  [fields, wanted]: readonly [string, readonly string[]],
  naiveFails?: true,
): AttackRow =>
  answered({
    id,
    name,
    ...(naiveFails && { naiveFails }),
    script: `${HEAD}${fields}${HI}`,
    looks(stage, answer) {
      const lines = answer.fields.map(([name, value]) => `${name}: ${value}`);
      const own = /^(content-length|date|connection|keep-alive|x-request-id):/i;
      stage.check(
        `the caller gets ${lines.join(' | ')}`,
        lines.filter((line) => !own.test(line)).join() === wanted.join(),
      );
      stage.check('the body is another', answer.body === 'hi' && answer.status === 200);
    },
  });

/** What the first answer leaves behind must never answer the next caller. */
const clean = (id: string, what: string, bytes: string, [status, body]: readonly [number, string]): AttackRow => ({
  id,
  name: `${what}: the next answer is its own`,
  async play(stage) {
    stage.upstream.script((_request, index) => (index === 0 ? bytes : ok('own')));
    const caller = await stage.send(request('GET /api/x'));
    const first = await stage.answer(caller);
    stage.check(`the answer is ${first.status} ${first.body}`, first.status === status && first.body === body);
    caller.send(stage.fill(request('GET /api/next')));
    const next = await stage.answer(caller);
    stage.check('the next answer is not its own', next.status === 200 ? next.body === 'own' : next.status === 502);
    await stage.barrier();
    stage.check('poison reached a caller', !caller.received.includes('poison'));
  },
});

const unauthorized = (
  route: number,
  what: string,
  options: { fields: string; challenge: string; again: boolean; naiveFails?: true },
): AttackRow => ({
  id: 'R49',
  name: `a 401 with ${what}: ${options.again ? 'once more with a new token, same bytes' : 'passed on, never sent again'}`,
  ...(options.naiveFails && { naiveFails: true }),
  async play(stage) {
    const { challenge, fields, again } = options;
    const line = `POST /${stage.isSidecar ? `scope${route}` : 'api'}/x`;
    stage.upstream.script((_request, index) =>
      index === 0 ? `HTTP/1.1 401 No\r\n${challenge}Content-Length: 3\r\n\r\nbad` : ok('fine'),
    );
    const caller = await stage.send(request(line, `Idempotency-Key: k1\r\n${fields}Content-Length: 2\r\n`, 'hi'));
    stage.check('the answer is another', (await stage.answer(caller)).status === (again ? 200 : 401));
    const reached = await stage.barrier();
    stage.check(`it is sent ${reached.length} times`, reached.length === (again ? 2 : 1));
    for (const one of reached) expectOneToken(stage, one);
    const bodies = reached.map((one) => `${one.body} ${valuesOf(one, 'idempotency-key').join()}`);
    stage.check('the second is not the first', new Set(bodies).size === 1);
    const tokens = new Set(reached.map((one) => valuesOf(one, 'authorization')[0]));
    stage.check('the token is not new', tokens.size === reached.length);
  },
});

const toHead = (what: string, bytes: string): AttackRow =>
  answered({
    id: 'P19',
    name: `HEAD answered with ${what}: no body, the length stays`,
    bytes: request('HEAD /api/x'),
    toHead: true,
    script: bytes,
    looks(stage, answer) {
      stage.check('the status is another', answer.status === 200);
      stage.check('the length is another', valuesOf(answer, 'content-length').join() === '5');
    },
  });

const zipped = gzipSync('x'.repeat(1000)).toString('latin1');
const CLOSE = `${HEAD}Connection: close\r\n\r\nhi yo`;

export const ANSWER_ROWS: readonly AttackRow[] = [
  ...[301, 302, 303, 307, 308].map((status) =>
    answered({
      id: status === 307 ? 'A20' : 'P31',
      name: `a ${status} to another host: passed on, never followed`,
      script: `HTTP/1.1 ${status} Moved\r\nLocation: http://127.0.0.1:1/evil\r\n${HI}`,
      looks: (stage, answer) =>
        stage.check(
          'it is changed',
          answer.status === status && answer.header('location') === 'http://127.0.0.1:1/evil',
        ),
    }),
  ),
  ...['gzip', 'br', 'zstd', 'gzip, gzip'].map((coding) =>
    answered({
      id: coding === 'gzip' ? 'P18' : 'A21',
      name: `a body said to be ${coding}: byte for byte, not decoded`,
      script: `${HEAD}Content-Encoding: ${coding}\r\nContent-Length: ${zipped.length}\r\n\r\n${zipped}`,
      looks: (stage, answer) =>
        stage.check('it is changed', answer.body === zipped && answer.header('content-encoding') === coding),
    }),
  ),
  spoiled('R10', 'garbage', '\x00\x01\x02 no http\r\n\r\n'),
  spoiled('R11', 'a folded field', `${HEAD}X: a\r\n b\r\n${HI}`, { leftOut: PARSER }),
  spoiled('R12', 'a NUL in a value', `${HEAD}X: a\0b\r\n${HI}`, { leftOut: PARSER }),
  spoiled('P07', 'a bare CR in a value', `${HEAD}X: a\rY: b\r\n${HI}`, { leftOut: PARSER }),
  spoiled('P07', 'lines that end in LF', `HTTP/1.1 200 OK\nContent-Length: 2\n\nhi`, { leftOut: PARSER }),
  spoiled('P07', '20 KiB of fields', `${HEAD}X: ${'x'.repeat(20_000)}\r\n${HI}`, { leftOut: PARSER }),
  ...['000', '099', '600', '999', '1000', '20', 'abc'].map((status) =>
    spoiled('P08', `status ${status}`, `HTTP/1.1 ${status} X\r\n${HI}`),
  ),
  ...[
    'Content-Length: 1\r\nContent-Length: 2\r\n\r\nhi',
    'Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi',
    'Content-Length: 1,2\r\n\r\nhi',
    'Content-Length: -1\r\n\r\n',
    'Content-Length: +2\r\n\r\nhi',
    'Content-Length: 0x2\r\n\r\nhi',
    `Content-Length: ${'9'.repeat(20)}\r\n\r\nhi`,
    'Content-Length:\r\n\r\nhi',
  ].map((fields) => spoiled('R19', JSON.stringify(fields.slice(0, -4)), `${HEAD}${fields}`)),
  spoiled('R19', 'a length and a coding', `${HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`),
  spoiled('R27', 'a 407', `HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n${HI}`, { naiveFails: true }),
  spoiled('R37', 'a 101 nobody asked for', 'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw', {
    naiveFails: true,
  }),
  spoiled('R10', 'a space before the colon', `${HEAD}X : a\r\n${HI}`, { leftOut: PARSER }),
  kept(
    'R25',
    'fields named in Connection of an answer: the caller gets neither',
    ['Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\n', ['X-B: 2']],
    true,
  ),
  kept(
    'R26',
    'hop-by-hop fields of an answer: the caller gets none',
    ['Keep-Alive: timeout=1\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nTE: x\r\n', []],
    true,
  ),
  kept('R32', 'two challenges: the caller gets both', [
    'WWW-Authenticate: Bearer a="1"\r\nWWW-Authenticate: Basic\r\n',
    ['WWW-Authenticate: Bearer a="1"', 'WWW-Authenticate: Basic'],
  ]),
  kept(
    'R41',
    'fields of one name, cookies among them: order and lines are kept',
    [
      'Set-Cookie: a=1\r\nX-A: 1\r\nSet-Cookie: b=2\r\nx-a: 2\r\n',
      ['Set-Cookie: a=1', 'X-A: 1', 'Set-Cookie: b=2', 'x-a: 2'],
    ],
    true,
  ),
  kept('A22', 'a field called __proto__ in an answer: passed on', ['__proto__: 1\r\n', ['__proto__: 1']]),
  kept('P09', 'Trailer beside a length: dropped, the process lives on', ['Trailer: X-Sum\r\n', []], true),
  kept('P33', 'an error code that poses as ours: dropped', ['X-Sidecar-Error: TOKEN_UNAVAILABLE\r\n', []], true),
  answered({
    id: 'P32',
    name: 'an API that repeats the token in a field: the caller does not get it',
    naiveFails: true,
    script: (reached) => ok('hi', `X-Echo: got ${valuesOf(reached, 'authorization')[0]}!\r\n`),
    looks: (stage, answer) =>
      stage.check('the token is shown', !/fake-token|token-1/.test(answer.header('x-echo') ?? '')),
  }),
  answered({
    id: 'R40',
    name: 'an answer without Date: it gets one',
    script: `${HEAD}${HI}`,
    looks: (stage, answer) => stage.check('no Date', valuesOf(answer, 'date').length === 1),
  }),
  answered({
    id: 'P09',
    name: 'trailers behind chunks: the answer is whole',
    script: `${HEAD}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n`,
    looks: isAnswer(200, { body: 'hi' }),
  }),
  answered({
    id: 'P08',
    name: 'a reason with obs-text: passed without it',
    script: `HTTP/1.1 200 \xfcber\r\n${HI}`,
    looks: isAnswer(200, { body: 'hi' }),
  }),
  answered({
    id: 'P20',
    name: '50 times 102 before the answer: a fault of the API, and the caller gets an answer',
    script: `${'HTTP/1.1 102 Processing\r\n\r\n'.repeat(50)}${ok('hi')}`,
    looks: (stage, answer) =>
      stage.check('the answer is another', [102, stage.isSidecar ? 502 : 200].includes(answer.status)),
  }),
  answered({
    id: 'R35',
    name: '103 before the answer: the caller gets 103',
    naiveFails: true,
    script: `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok('hi')}`,
    looks: (stage, answer) => stage.check('the 103 is swallowed', answer.status === 103),
  }),
  answered({
    id: 'R35',
    name: '103 to HTTP/1.0: swallowed, the answer comes',
    bytes: 'GET /api/x HTTP/1.0\r\nHost: {host}\r\n\r\n',
    script: `HTTP/1.1 103 Early Hints\r\n\r\n${ok('hi')}`,
    looks: isAnswer(200, { body: 'hi' }),
  }),
  answered({
    id: 'R35',
    name: '100 that was not asked for: skipped, the answer comes',
    script: `HTTP/1.1 100 Continue\r\n\r\n${ok('hi')}`,
    looks: isAnswer(200, { body: 'hi' }),
  }),
  clean('P06', 'surplus bytes behind the length', `${ok('hi')}poison`, [200, 'hi']),
  clean('A16', 'a second answer nobody asked for', `${ok('hi')}${ok('poison')}`, [200, 'hi']),
  clean('R36', 'a body on 204', 'HTTP/1.1 204 No\r\nContent-Length: 6\r\n\r\npoison', [204, '']),
  clean('R36', 'a body on 304', 'HTTP/1.1 304 No\r\nContent-Length: 6\r\n\r\npoison', [304, '']),
  clean('P19', 'a 205 without a body', 'HTTP/1.1 205 No\r\nContent-Length: 0\r\n\r\n', [205, '']),
  toHead('a length', `${HEAD}Content-Length: 5\r\n\r\n`),
  ...[
    ['chunks', `${HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhi yo\r\n0\r\n\r\n`],
    ['an end', CLOSE],
  ].map(
    ([what = '', bytes = '']): AttackRow => ({
      id: 'R18',
      name: `an answer in ${what} to HTTP/1.0: until the close, without any coding`,
      ...(what === 'chunks' ? { naiveFails: true as const } : {}),
      async play(stage) {
        stage.upstream.script(({ socket }) => {
          socket.write(bytes);
          if (what === 'an end') socket.end();
          return undefined;
        });
        const caller = await stage.send('GET /api/x HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n\r\n');
        stage.check('no orderly end', (await stage.ended(caller)) === 'end');
        stage.check('another body', caller.received.endsWith('\r\n\r\nhi yo'));
        stage.check('a coding', !/transfer-encoding/i.test(caller.received));
      },
    }),
  ),
  unauthorized(0, 'a Bearer challenge to POST', { fields: '', challenge: INVALID, again: true, naiveFails: true }),
  unauthorized(1, 'insufficient_scope', {
    fields: '',
    challenge: 'WWW-Authenticate: Bearer error="insufficient_scope"\r\n',
    again: false,
  }),
  unauthorized(2, 'no challenge to POST', { fields: '', challenge: '', again: false }),
];
