/** Where messages of callers end: A06, A08, A12, rows 14 to 23, 34 and 38, P10 and P11. */
import { expectOneToken, type Marks, PARSER, passed, refused, request } from '../../support/attack-kinds.ts';
import { type AttackRow, REACHED } from '../../support/attack-row.ts';
import { ok } from '../../support/raw.ts';

const CHUNKED = 'Transfer-Encoding: chunked\r\n';
/** Alone on a connection it would be a request of its own. */
const SMUGGLED = 'DELETE /api/evil HTTP/1.1\r\nHost: evil\r\nContent-Length: 0\r\n\r\n';
/** Refused, and the connection ends, because nobody can tell where the next request begins. */
const ambiguous = (
  id: string,
  what: string,
  fields: string,
  marks: Marks & { body?: string; closes?: boolean } = {},
): AttackRow => {
  const { body = '0\r\n\r\n', closes = true, ...rest } = marks;
  return refused({
    id,
    name: `${what}: refused and closed, the API sees nothing`,
    bytes: request('POST /api/x', fields, `${body}${SMUGGLED}`),
    statuses: [400, 501],
    ...(closes && { closes }),
    ...rest,
  });
};

const badSize = (size: string): AttackRow =>
  refused({
    id: 'R21',
    leftOut: PARSER,
    name: `the chunk size ${JSON.stringify(size).slice(0, 40)}: refused, no whole request at the API`,
    bytes: request('POST /api/x', CHUNKED, `${size}\r\na\r\n0\r\n\r\n`),
    statuses: [400],
    closes: true,
  });

const LENGTHS = [
  '+1',
  '-1',
  '0x1',
  '1,2',
  '1, 1',
  '',
  ' ',
  '1 2',
  '1e1',
  '1.0',
  '9'.repeat(20),
  '18446744073709551617',
];
const CODINGS = [
  'chunked, identity',
  'identity',
  'xchunked',
  'gzip, chunked',
  ',chunked',
  'chunked,',
  'chunked, chunked',
  '"chunked"',
  'chunked;x=y',
  '\x0bchunked',
  'chun ked',
  '',
];
/** Node decodes these as chunks, so that the end is known and the connection may stay. */
const DECODED = ['gzip, chunked', ',chunked'];
const SIZES = ['0x1', '+1', ' 1', '1 ', '-1', '', 'g', 'ffffffffffffffffff', '1\t', '1;\nx', '1_0'];
const TYPES = [
  'application/json ; charset',
  'multipart/form-data; boundary="a\\"b"',
  'application/x-www-form-urlencoded',
  'text/plain;;',
  'a',
  'application/json\t;x',
];
const ODD_BODY = '--a\r\nContent-Disposition: form-data; name="x\r\ny"\r\n\r\n{"a":1,"a":2}\0\xff\r\n--a--';

const expectation = (name: string, bytes: string, statuses: readonly number[], marks: Marks = {}): AttackRow =>
  refused({ id: 'R34', name: `${name}: the final status at once, without 100`, bytes, statuses, ...marks });

const goOn = (id: string, name: string, size: number): AttackRow => ({
  id,
  name,
  async play(stage) {
    const body = 'x'.repeat(size);
    const caller = await stage.send(request('POST /api/x', `Expect: 100-continue\r\nContent-Length: ${size}\r\n`));
    stage.check('no 100', (await stage.answer(caller)).status === 100);
    stage.check('the API is asked before the body is there', stage.upstream.requests.length === 0);
    caller.send(body);
    stage.check('no 200 behind the 100', (await stage.answer(caller)).status === 200);
    const [reached, ...more] = await stage.barrier();
    stage.check('not exactly one request', reached?.body === body && more.length === 0);
    if (reached) expectOneToken(stage, reached);
    stage.strict('the API is told to expect', !/\r\nexpect:/i.test(stage.upstream.received.join('')));
  },
});

const pipelined = (count: number): AttackRow => ({
  id: count === 100 ? 'P23' : 'R38',
  name: `${count} pipelined requests, every third denied: answers in order, each judged by itself`,
  leftOut: 'it denies nothing',
  async play(stage) {
    stage.upstream.script(({ target }) => ok(target));
    const paths = Array.from({ length: count }, (_, index) => (index % 3 === 2 ? `/listed/${index}` : `/api/${index}`));
    const caller = await stage.send(paths.map((path) => request(`GET ${path}`)).join(''));
    for (const path of paths) {
      const answer = await stage.answer(caller);
      const denied = path.startsWith('/listed');
      stage.check('an answer is out of order', denied ? answer.status === 403 : `/api${answer.body}` === path);
    }
    const targets = (await stage.barrier()).map(({ target }) => `/api${target}`);
    stage.check('the API got others', targets.join() === paths.filter((path) => path.startsWith('/api')).join());
  },
});

export const FRAMING_ROWS: readonly AttackRow[] = [
  ...TYPES.map((type) =>
    passed({
      id: 'A06',
      leftOut: 'even it parses no bodies',
      name: `the content type ${JSON.stringify(type)}: the body is passed on byte for byte`,
      bytes: request('POST /api/x', `Content-Type: ${type}\r\nContent-Length: ${ODD_BODY.length}\r\n`, ODD_BODY),
      method: 'POST',
      target: '/x',
      fields: `Content-Type: ${type}\r\n`,
      body: ODD_BODY,
    }),
  ),
  passed({
    id: 'A12',
    name: 'all 256 bytes as a body: passed on once, byte for byte',
    bytes: request(
      'PUT /api/x',
      'Content-Length: 256\r\n',
      Buffer.from(Array.from({ length: 256 }, (_, at) => at)).toString('latin1'),
    ),
    method: 'PUT',
    target: '/x',
    body: Buffer.from(Array.from({ length: 256 }, (_, at) => at)).toString('latin1'),
  }),
  ambiguous('R14', 'a length and a coding', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', { leftOut: PARSER }),
  ambiguous('R14', 'a coding and a length', 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', { leftOut: PARSER }),
  ambiguous('R14', 'a coding and a length of zero', 'Transfer-Encoding: chunked\r\nContent-Length: 0\r\n', {
    leftOut: PARSER,
  }),
  ...CODINGS.map((coding) =>
    ambiguous(
      /gzip|,/.test(coding) ? 'R16' : 'R15',
      `the coding ${JSON.stringify(coding)}`,
      `Transfer-Encoding: ${coding}\r\n`,
      DECODED.includes(coding) ? { closes: false } : { leftOut: PARSER },
    ),
  ),
  ambiguous('R15', 'a coding on two lines', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', {
    leftOut: PARSER,
  }),
  ambiguous(
    'R15',
    'a coding on two lines, twice chunked',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n',
    { leftOut: PARSER },
  ),
  refused({
    id: 'R17',
    name: 'a coding in HTTP/1.0: refused and closed, the API sees nothing',
    bytes: `POST /api/x HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n${CHUNKED}\r\n0\r\n\r\n${SMUGGLED}`,
    statuses: [400],
    closes: true,
  }),
  ...LENGTHS.map((length) =>
    ambiguous(length === '' ? 'A28' : 'R19', `the length ${JSON.stringify(length)}`, `Content-Length: ${length}\r\n`, {
      body: '',
      leftOut: PARSER,
    }),
  ),
  passed({
    id: 'R20',
    name: 'the length 010: the API gets 10',
    bytes: request('POST /api/x', 'Content-Length: 010\r\n', '0123456789'),
    method: 'POST',
    target: '/x',
    body: '0123456789',
  }),
  ...SIZES.map(badSize),
  refused({
    id: 'R21',
    leftOut: PARSER,
    name: 'a chunk longer than its size: refused, no whole request at the API',
    bytes: request('POST /api/x', CHUNKED, '1\r\nab\r\n0\r\n\r\n'),
    statuses: [400],
    closes: true,
  }),
  refused({
    id: 'R21',
    leftOut: PARSER,
    name: 'chunks with bare LF: refused, no whole request at the API',
    bytes: request('POST /api/x', CHUNKED, '1\na\n0\n\n'),
    statuses: [400],
    closes: true,
  }),
  passed({
    id: 'R22',
    name: 'unknown chunk extensions: ignored, the API gets none',
    bytes: request('POST /api/x', CHUNKED, '1;x=y\r\na\r\n1;q="q"\r\nb\r\n0;z\r\n\r\n'),
    method: 'POST',
    target: '/x',
    body: 'ab',
  }),
  refused({
    id: 'R22',
    name: 'a chunk extension of 64 KiB: refused, no whole request at the API',
    bytes: request('POST /api/x', CHUNKED, `1;x=${'y'.repeat(65_536)}\r\na\r\n0\r\n\r\n`),
    statuses: [400, 413, 431],
    closes: true,
  }),
  ...[2, 200_000].map((size) =>
    passed({
      id: 'R23',
      name: `trailers with Authorization behind ${size} bytes: never merged, never passed on`,
      bytes: request(
        'POST /api/x',
        `${CHUNKED}Trailer: Authorization\r\n`,
        `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n0\r\nAuthorization: Bearer evil\r\nX-T: 1\r\n\r\n`,
      ),
      method: 'POST',
      target: '/x',
      body: 'x'.repeat(size),
      ...(size > 2 ? { framing: 'chunked' as const } : {}),
    }),
  ),
  passed({
    id: 'R23',
    name: 'Trailer without chunks: dropped, the process lives on',
    bytes: request('GET /api/x', 'Trailer: X\r\n'),
    target: '/x',
    naiveFails: true,
  }),
  goOn('P11', 'Expect with a small body: 100 from us, then the body, then the answer', 5),
  goOn('A08', 'Expect with 5 MB: 100 from us, then all of it, then the answer', 5_000_000),
  expectation(
    'Expect on a path without a route',
    request('POST /none', 'Expect: 100-continue\r\nContent-Length: 5\r\n'),
    [404],
    { naiveFails: true },
  ),
  expectation(
    'Expect of a web page',
    request('POST /api/x', 'Origin: https://evil.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n'),
    [403],
    { naiveFails: true },
  ),
  expectation('an unknown expectation', request('POST /api/x', 'Expect: wonders\r\nContent-Length: 0\r\n'), [417]),
  passed({
    id: 'R34',
    name: 'Expect in HTTP/1.0: ignored',
    bytes: 'POST /api/x HTTP/1.0\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi',
    method: 'POST',
    target: '/x',
    body: 'hi',
  }),
  passed({
    id: 'P10',
    name: 'HTTP/1.0 without Host: served as HTTP/1.1 to the API',
    bytes: 'GET /api/x HTTP/1.0\r\n\r\n',
    target: '/x',
  }),
  pipelined(2),
  pipelined(100),
  {
    id: 'A27',
    name: 'bytes behind an upgrade that is answered 200: no tunnel, they are judged as a request',
    async play(stage) {
      stage.upstream.script(() => ok('fine'));
      const caller = await stage.send(
        request('GET /api/x', 'Connection: Upgrade\r\nUpgrade: websocket\r\n', request('GET /evil')),
      );
      stage.check('the first is not served', (await stage.answer(caller)).status === 200);
      if (stage.isSidecar) {
        await stage.until('the second is left without an answer', () => caller.received.includes(' 404 '));
      }
      const reached = await stage.barrier();
      stage.check(
        REACHED,
        reached.every(({ target }) => target === '/x'),
      );
      stage.check('the API is asked to upgrade', !/\r\nupgrade:/i.test(stage.upstream.received.join('')));
    },
  },
  {
    id: 'R39',
    name: 'Connection: close: one answer that says so, then the end; what follows is not served',
    async play(stage) {
      const caller = await stage.send(request('GET /api/x', 'Connection: close\r\n') + request('GET /api/evil'));
      const answer = await stage.answer(caller);
      stage.check('the answer does not say close', answer.header('connection') === 'close');
      stage.check('no orderly end', (await stage.ended(caller)) === 'end');
      stage.check(REACHED, (await stage.barrier()).map(({ target }) => target).join() === '/x');
    },
  },
];
