/** Header fields of requests: A01, A02, A14, A15, A22, A25, A26 and rows 8 to 14, 25 to 27, 30, 31, 37, 44 and 45. */
import { type Marks, PARSER, type Passage, passed, refused, request } from '../../support/attack-kinds.ts';
import type { AttackRow } from '../../support/attack-row.ts';

/** Of a caller with these fields, what is left of them at the API. */
const left = (
  id: string,
  what: string,
  [fields, kept]: readonly [string, string],
  marks: Marks & Pick<Passage, 'never'> = {},
): AttackRow => passed({ id, name: what, bytes: request('GET /api/x', fields), target: '/x', fields: kept, ...marks });

const malformed = (id: string, what: string, fields: string, marks: Marks = {}): AttackRow =>
  refused({
    id,
    name: `${what}: refused, the API sees nothing`,
    bytes: request('GET /api/x', fields),
    statuses: [400],
    leftOut: PARSER,
    ...marks,
  });

const never = (id: string, fields: string, statuses: readonly number[]): AttackRow =>
  refused({
    id,
    name: `a caller that sends ${JSON.stringify(fields)}: refused, the API sees nothing`,
    bytes: request('POST /api/x', `${fields}Content-Length: 2\r\n`, 'hi'),
    statuses,
    naiveFails: true,
  });

const INJECTED = [
  'Authorization',
  'AUTHORIZATION',
  'via',
  'host',
  'x-request-id',
  'content-length',
  'close, authorization',
];
const HOP =
  'Keep-Alive: 1\r\nProxy-Connection: keep-alive\r\nTE: trailers, gzip\r\nUpgrade: h2c\r\nTrailer: X\r\nHTTP2-Settings: AAA\r\n';
const POSING = [
  'Authorization: Bearer evil\r\n',
  'authorization: Basic eA==\r\nAUTHORIZATION: Bearer evil\r\n',
  'Authorization_: Bearer evil\r\n',
  'Proxy-Authorization: Basic eA==\r\n',
  'Proxy_Authorization: Basic eA==\r\n',
  'X-Sidecar-Key: fake\r\n',
  'X-Sidecar-Error: TOKEN_UNAVAILABLE\r\n',
  'Content_Length: 5\r\nTransfer_Encoding: chunked\r\n',
  'Host_: evil\r\n',
];
const FORWARDED = [
  'Forwarded: for=1.2.3.4\r\n',
  'X-Forwarded-For: 1.2.3.4\r\n',
  'X-Forwarded-Host: evil\r\n',
  'X-Forwarded-Proto: https\r\n',
  'X-Forwarded-Uri: /open\r\n',
  'X_Forwarded_User: admin\r\n',
  'x-forwarded: 1\r\n',
  'Via: 1.1 other\r\n',
];
const BROWSER = [
  'Origin: https://evil.example\r\n',
  'Origin: null\r\n',
  'Sec-Fetch-Site: cross-site\r\n',
  'Sec-Fetch-Site: same-site\r\n',
  'Origin: http://{host}\r\n',
  'Origin:\r\n',
];

export const FIELD_ROWS: readonly AttackRow[] = [
  left(
    'A01',
    'a caller that names authorization, via and x-api-key in Connection: the API still gets our token',
    ['Connection: authorization, via, x-api-key\r\nX-Api-Key: fake\r\nAuthorization: Bearer evil\r\n', ''],
    { naiveFails: true },
  ),
  ...INJECTED.map((option) =>
    left('A01', `Connection: ${option}: the API still gets what we put in`, [
      `Connection: ${option}\r\nX-Kept: 1\r\n`,
      'X-Kept: 1\r\n',
    ]),
  ),
  left('A02', 'a field named in Connection: the API has neither', [
    'Connection: x-a\r\nX-A: 1\r\nX-B: 2\r\n',
    'X-B: 2\r\n',
  ]),
  left('A02', 'fields named on two Connection lines, with odd spaces: the API has none of them', [
    'Connection: ,, x-a ,\r\nCoNNection:\tX-C\r\nX-A: 1\r\nX-B: 2\r\nx-c: 3\r\nX-A: 4\r\n',
    'X-B: 2\r\n',
  ]),
  refused({
    id: 'A14',
    name: 'Content-Length in two spellings with two values: refused, the API sees nothing',
    bytes: request('POST /api/x', 'Content-Length: 2\r\ncontent-length: 3\r\n', 'hi'),
    statuses: [400],
    closes: true,
  }),
  refused({
    id: 'A14',
    name: 'Content-Length twice with one value: refused, the API sees nothing',
    bytes: request('POST /api/x', 'Content-Length: 2\r\ncontent-length: 2\r\n', 'hi'),
    statuses: [400],
    closes: true,
  }),
  left('A22', 'fields called __proto__ and constructor: they reach the API as any other', [
    '__proto__: 1\r\nconstructor: 2\r\n__PROTO__: 3\r\n',
    '__proto__: 1\r\nconstructor: 2\r\n__PROTO__: 3\r\n',
  ]),
  ...POSING.map((fields) =>
    left(
      fields.includes('_') ? 'A25' : 'R31',
      `a caller that poses with ${JSON.stringify(fields)}: the API gets none of it and one token`,
      [fields, ''],
      { never: /evil|Basic|fake$|UNAVAILABLE|_/ },
    ),
  ),
  ...FORWARDED.map((fields) =>
    never(fields.includes('_') ? 'A25' : fields.startsWith('X') ? 'A26' : 'R45', fields, [403]),
  ),
  ...BROWSER.map((fields) => never('R43', fields, [403])),
  left('R43', 'Sec-Fetch-Site none, a person’s own navigation: passes', [
    'Sec-Fetch-Site: none\r\n',
    'Sec-Fetch-Site: none\r\n',
  ]),
  malformed('R08', 'a bare CR in a value', 'X: a\rY: b\r\n'),
  malformed('R08', 'a bare CR instead of a line end', 'X: a\rAuthorization: Bearer evil\r\n'),
  malformed('R10', 'a space before the colon', 'X : a\r\n'),
  malformed('R10', 'a tab before the colon', 'X\t: a\r\n'),
  malformed('A25', 'Authorization with a space before the colon', 'Authorization : Bearer evil\r\n'),
  malformed('R11', 'a folded field', 'X: a\r\n b\r\n'),
  malformed('R11', 'a folded Authorization', 'X: a\r\n\tAuthorization: Bearer evil\r\n'),
  malformed('R12', 'a NUL in a value', 'X: a\0b\r\n'),
  malformed('A15', 'a control character in a value', 'X: a\x01b\r\n'),
  malformed('R13', 'a byte from 0x80 in a name', 'X\x85: 1\r\n'),
  malformed('A28', 'an empty name', ': v\r\n'),
  malformed('R13', 'a line without a colon', 'Xa\r\n'),
  malformed('R13', 'a bracket in a name', 'X(a): 1\r\n'),
  left('R26', 'all hop-by-hop fields: the API gets none of them', [
    `Connection: keep-alive, te, upgrade\r\n${HOP}`,
    '',
  ]),
  left('R26', 'hop-by-hop fields that Connection does not name: the API gets none of them', [HOP, ''], {
    naiveFails: true,
  }),
  left('R37', 'an offer of h2c: stripped, not spoken', [
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n',
    '',
  ]),
  left('R30', 'a plain request: the API gets a Via without the name of this machine', ['', '']),
  left('R41', 'fields of one name: they keep their order and spelling', [
    'X-a: 1\r\nx-A: 2\r\nX-b: 3\r\nX-A: 0\r\n',
    'X-a: 1\r\nx-A: 2\r\nX-b: 3\r\nX-A: 0\r\n',
  ]),
  left('R41', 'two Cookie lines: two reach the API', [
    'Cookie: a=1\r\nCookie: b=2\r\n',
    'Cookie: a=1\r\nCookie: b=2\r\n',
  ]),
  left('P24', '97 fields of a caller: they pass', ['X: 1\r\n'.repeat(97), 'X: 1\r\n'.repeat(97)]),
  ...[100, 101, 1000, 2005].map((count) =>
    refused({
      id: 'P24',
      name: `${count} fields before a length: refused, nothing is smuggled`,
      bytes: request(
        'GET /api/x',
        `${'a:\r\n'.repeat(count)}Content-Length: 35\r\n`,
        'GET /api/evil HTTP/1.1\r\nHost: x\r\n\r\n',
      ),
      statuses: [431],
      ...(count > 101 ? { closes: true, leftOut: PARSER } : { naiveFails: true }),
    }),
  ),
  ...[17_000, 70_000].map((size) =>
    refused({
      id: 'R44',
      name: `a field of ${size} bytes: refused, the API sees nothing`,
      bytes: request('GET /api/x', `X: ${'x'.repeat(size)}\r\n`),
      statuses: [431],
    }),
  ),
  ...['GET', 'POST'].flatMap((method) =>
    ['websocket', 'h2c'].map((protocol) =>
      refused({
        id: 'A10',
        name: `${method} with Upgrade: ${protocol} for another host: refused, upgrades pass the same gate`,
        bytes: `${method} /api/x HTTP/1.1\r\nHost: evil\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`,
        statuses: [421],
        naiveFails: true,
      }),
    ),
  ),
  ...[
    ['http://{evil}/x', 421],
    ['/based/../x', 400],
    ['//{evil}/x', 400],
    ['/none', 404],
    ['/listed/x', 403],
  ].map(([target, status]) =>
    refused({
      id: 'A10',
      name: `an upgrade to ${target}: refused, upgrades pass the same gate`,
      bytes: request(`GET ${target}`, 'Connection: Upgrade\r\nUpgrade: websocket\r\n'),
      statuses: [Number(status)],
      leftOut: 'its routes are others',
    }),
  ),
];
