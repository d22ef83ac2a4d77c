/** Request lines: A03, A05, A11, A13, A19, A28 and rows 1 to 9, 28, 29, 38, 39 and 43 to 47 of the normative table. */
import { answered, type Marks, PARSER, type Passage, passed, refused, request } from '../../support/attack-kinds.ts';
import type { AttackRow } from '../../support/attack-row.ts';
import { ok } from '../../support/raw.ts';

const HOST = 'Host: {host}\r\n';

/** Start line and further fields, and what it may be refused with. */
type Start = readonly [start: string, ...statuses: readonly number[]];

const line = (id: string, what: string, [start, ...statuses]: Start, marks: Marks = {}): AttackRow =>
  refused({
    id,
    name: `${what}: refused with ${statuses.join(' or ')}, the API sees nothing`,
    bytes: `${start}\r\n${HOST}\r\n`,
    statuses,
    ...marks,
  });

const host = (id: string, fields: string, statuses: readonly number[], marks: Marks = {}): AttackRow =>
  refused({
    id,
    name: `host lines ${JSON.stringify(fields)}: refused, the API sees nothing`,
    bytes: `GET /api/x HTTP/1.1\r\n${fields}\r\n`,
    statuses,
    ...marks,
  });

const climbs = (path: string): AttackRow =>
  refused({
    id: 'A03',
    name: `the path /based/${path}: refused, it could climb out of the base path`,
    bytes: request(`GET /based/${path}`),
    statuses: [400],
    leftOut: 'it has no base path',
  });

const foreign = (target: string, statuses: readonly number[]): AttackRow =>
  refused({
    id: 'A19',
    name: `the target ${target}: refused, no connection to anywhere`,
    bytes: request(`GET ${target}`),
    statuses,
    naiveFails: true,
  });

const same = (id: string, target: string, at = `/api${target}`, marks: Partial<Passage> = {}): AttackRow =>
  passed({
    id,
    name: `the target ${at}: reaches the API as ${target}, byte for byte`,
    bytes: request(`GET ${at}`),
    target,
    ...marks,
  });

const ESCAPES = [
  '..',
  '../x',
  'a/../../x',
  '%2e%2e/x',
  '%2E%2E/hi',
  '.%2e/x',
  '%2e./x',
  '..%2fx',
  '..%5cx',
  '..;/x',
  '..;a=b/x',
  '%2e%2e;x/y',
  './x',
  '%2e/x',
  'a/..',
  'a%2f..%2f..%2fx',
  '..%5C..%5Cx',
  '..%3bx/y',
];
const HOSTS_400 = [
  '',
  `${HOST}${HOST}`,
  `${HOST}Host: {evil}\r\n`,
  'Host: a b\r\n',
  'Host: a@b\r\n',
  'Host: x@{host}\r\n',
  'Host: x/y\r\n',
  'Host: {host}/evil\r\n',
  'Host: x:99999\r\n',
  'Host:\r\n',
  'Host: {host},{host}\r\n',
  'Host: {host}#\r\n',
  'Host: x:\r\n',
];
const HOSTS_421 = [
  'Host: evil.example\r\n',
  'Host: evil{host}\r\n',
  'Host: {host}.evil\r\n',
  'Host: {host}0\r\n',
  'Host: 0.0.0.0:1\r\n',
  'Host: 127.0.0.1\r\n',
  'Host: {evil}\r\n',
  'Host: [::ffff:127.0.0.1]:1\r\n',
];
const PATHS_400: readonly (readonly [string, string])[] = [
  ['R05', '/api/a#b'],
  ['A28', '/api/x#'],
  ['R05', '/api/a b'],
  ['R05', '/api/a\x01'],
  ['R05', '/api/a\x7f'],
  ['R05', '/api/a\xe9'],
  ['R05', '/api/a\tb'],
  ['R05', '/api/%zz'],
  ['R05', '/api/%'],
  ['R05', '/api/%00'],
  ['A15', '/api/a%0d%0aX:1'],
  ['A15', '/api/a%0A'],
  ['R05', '/api/a\\b'],
  ['R05', '/api//x'],
];

export const REQUEST_LINE_ROWS: readonly AttackRow[] = [
  ...ESCAPES.map(climbs),
  ...['/.../x', '/..a', '/a..', '/.hidden', '/x?a=../..', '/x?a=%2e%2e/', '/x?a=/../b'].map((rest) =>
    same('A03', `/base${rest}`, `/based${rest}`, { leftOut: 'it has no base path' }),
  ),
  line('A05', 'a path that leaves its route by ..', ['GET /api/../listed/open HTTP/1.1', 400]),
  ...['//{evil}/x', '/\\{evil}/x', '///{evil}/x', '/\\\\{evil}/x', '//{evil}/api/x'].map((target) =>
    foreign(target, [400]),
  ),
  ...['http://{evil}/x', 'http://{evil}/api/x', 'http://{host}@{evil}/api/x'].map((target) =>
    foreign(target, [400, 421]),
  ),
  ...['http:/{evil}/x', 'http:{evil}', '@{evil}/x', '.{evil}/x', ':80@{evil}/x', '/\t/{evil}'].map((target) =>
    line('A19', `the target ${JSON.stringify(target)}`, [`GET ${target} HTTP/1.1`, 400], { leftOut: PARSER }),
  ),
  ...HOSTS_400.map((fields) => host('R01', fields, [400])),
  ...HOSTS_421.map((fields) =>
    host(fields.includes('evil{') || fields.includes('.evil') ? 'A11' : 'R43', fields, [400, 421], {
      naiveFails: true,
    }),
  ),
  same('R02', '/x', 'http://{host}/api/x'),
  same('R02', '/x?y', 'HTTP://{host}/api/x?y'),
  line('R02', 'the scheme https in an absolute target', ['GET https://{host}/api/x HTTP/1.1', 400, 421]),
  line('R02', 'the scheme ftp in an absolute target', ['GET ftp://{host}/api/x HTTP/1.1', 400, 421]),
  refused({
    id: 'R03',
    name: 'CONNECT: refused and closed, no connection to anywhere',
    bytes: 'CONNECT {evil} HTTP/1.1\r\nHost: {evil}\r\n\r\n',
    statuses: [400, 405],
    closes: true,
  }),
  line('R03', 'an authority as the target of GET', ['GET {evil} HTTP/1.1', 400]),
  line('R04', 'GET *', ['GET * HTTP/1.1', 400]),
  line('R04', 'OPTIONS *', ['OPTIONS * HTTP/1.1', 200, 204, 400]),
  ...PATHS_400.map(([id, target]) =>
    line(
      id,
      `the target ${JSON.stringify(target)}`,
      [`GET ${target} HTTP/1.1`, 400],
      /[^!-~]/.test(target) ? { leftOut: PARSER } : {},
    ),
  ),
  same('R06', '/a%2Fb;c=%41?x=%0a&y=//..'),
  same('R06', "/A%7e~!$&'()*+,;=:@?/?//%2e%2e", "/api/A%7e~!$&'()*+,;=:@?/?//%2e%2e"),
  same('R06', '/?', '/api/?'),
  same('R06', '/', '/api'),
  ...['HTTP/2.0', 'HTTP/0.9', 'http/1.1', 'HTTP/1', 'HTTP/01.1', 'HTTP/1.1x', 'ICE/1.1', 'HTTP/3.0'].map((version) =>
    line(
      'R07',
      `the version ${version}`,
      [`GET /api/x ${version}`, 400, 505],
      version === 'HTTP/2.0' ? {} : { leftOut: PARSER },
    ),
  ),
  line('R07', 'a request line without a version', ['GET /api/x', 400, 505]),
  line('R07', 'HTTP/1.2', ['GET /api/x HTTP/1.2', 400, 505]),
  refused({
    id: 'R08',
    name: 'a line that begins with whitespace behind the request line: refused',
    bytes: `GET /api/x HTTP/1.1\r\n X: a\r\n${HOST}\r\n`,
    statuses: [400],
  }),
  passed({
    id: 'R09',
    name: 'two empty lines before the request: ignored',
    bytes: `\r\n\r\n${request('GET /api/x')}`,
    target: '/x',
  }),
  answered({
    id: 'R28',
    name: 'OPTIONS with Max-Forwards 0: answered here, the API sees nothing',
    bytes: request('OPTIONS /api/x', 'Max-Forwards: 0\r\n'),
    script: () => ok('fine'),
    looks: (stage, answer) => stage.check(`the answer is ${answer.status}`, [200, 204].includes(answer.status)),
    sent: 0,
    naiveFails: true,
  }),
  ...['', 'Max-Forwards: 0\r\n', 'Content-Length: 0\r\n'].map((fields) =>
    refused({
      id: 'R29',
      name: `TRACE with ${JSON.stringify(fields)}: refused, the token is not reflected`,
      bytes: request('TRACE /api/x', fields),
      statuses: [405],
      naiveFails: true,
    }),
  ),
  line('R44', 'a target of 9 KiB', [`GET /api/${'x'.repeat(9000)} HTTP/1.1`, 414], { naiveFails: true }),
  same('P24', `/${'x'.repeat(8000)}`, `/api/${'x'.repeat(8000)}`),
  line('P24', 'a target of one more than the limit', [`GET /api/${'x'.repeat(8192 - 4)} HTTP/1.1`, 414]),
  ...['access_token=fake', 'a=b&access_token=fake', 'ACCESS_TOKEN=fake'].map((query) =>
    line('R47', `the query ${query}`, [`GET /api/x?${query} HTTP/1.1`, 400], {
      leftOut: 'it takes no tokens of callers',
    }),
  ),
  line('A04', 'a path that only begins like a route', ['GET /api1/p HTTP/1.1', 404], { leftOut: 'it has one route' }),
  line(
    'A25',
    'a path outside the allow-list, the real one in X-Original-URL',
    ['GET /listed/secret HTTP/1.1\r\nX-Original-URL: /listed/open/x', 403],
    { leftOut: 'it has no allow-list' },
  ),
  line(
    'A25',
    'a method outside the allow-list, the real one in X-HTTP-Method-Override',
    ['DELETE /listed/open/x HTTP/1.1\r\nX-HTTP-Method-Override: GET', 403],
    { leftOut: 'it has no allow-list' },
  ),
  ...['/listed/open/..%2fsecret', '/listed/open%2f..%2fsecret', '/listed/open/../secret'].map((target) =>
    line('A25', `the target ${target} on an allow-list`, [`GET ${target} HTTP/1.1`, 400, 403], {
      leftOut: 'it has no allow-list',
    }),
  ),
];
