/** Generators of what a careless or hostile caller writes into a request line and headers. */
import fc from 'fast-check';

const DOTS = [
  '.',
  '..',
  '...',
  '%2e',
  '%2E%2e',
  '.%2e',
  '%2e.',
  '%252e%252e',
  '..;',
  '..;x=1',
  '%2e%2e;',
  '..%3b',
  '%c0%ae%c0%ae',
];
const SEPARATORS = ['/', '/', '/', '//', '///', '\\', '%2f', '%2F', '%5c', '%252f', '\u2215', '\uff0f'];
const NAMES = ['accounts', 'payments', 'api', 'base', 'admin', 'ACCOUNTS', 'a', '~x', ''];
const SIGNS = [
  '@',
  ':',
  '#',
  '?',
  '*',
  ';',
  ';a=b',
  '&',
  '=',
  '%',
  '%zz',
  '%0',
  '%00',
  '%0d%0a',
  "'",
  '"',
  '|',
  '^',
  '{}',
  '[',
  '<',
];
const RAW = ['\0', '\x01', '\t', ' ', '\x7f', '\x0b', '\r', '\xa0', '\xe9', '\u2025', '\u3002', '\u{1f4b8}', '\ud800'];
const UNDER = [
  '/api',
  '/api/',
  '/api/accounts',
  '/api/accounts/',
  '/api/payments/',
  '/API/accounts/',
  '/apix/',
  '',
  '/',
];

export interface Target {
  readonly text: string;
  readonly encoding: 'utf8' | 'latin1';
}

/** @param own authority of the sidecar @param decoys authorities that nothing may ever reach */
export function nastyTargets(own: string, decoys: readonly string[]): fc.Arbitrary<Target> {
  const schemes = [
    'http://',
    'HTTP://',
    'https://',
    '//',
    '/\\',
    '\\\\',
    '/\t/',
    'http:/',
    'http:',
    'ws://',
    '@',
    ':80@',
    '.',
  ];
  const authority = fc.constantFrom(
    own,
    ...decoys,
    `${own}@${decoys[0]}`,
    `${decoys[0]}@${own}`,
    `${own}.`,
    `x:y@${own}`,
  );
  const elsewhere = fc.tuple(fc.constantFrom(...schemes), authority).map((parts) => parts.join(''));
  const part = fc.oneof(
    { arbitrary: fc.constantFrom(...SEPARATORS), weight: 5 },
    { arbitrary: fc.constantFrom(...DOTS), weight: 4 },
    { arbitrary: fc.constantFrom(...NAMES), weight: 4 },
    { arbitrary: fc.constantFrom(...SIGNS), weight: 2 },
    { arbitrary: fc.constantFrom(...RAW), weight: 1 },
    { arbitrary: authority, weight: 1 },
    { arbitrary: fc.string({ maxLength: 4 }), weight: 1 },
  );
  const tail = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(''));
  // Mostly acceptable, so that enough of them reach the API.
  const mild = fc
    .array(fc.constantFrom('/a', '/...', '/.a', '%2e', ';', '@', ':', '%41', '%252e%252e/', '//', '/..', '?', '%2f'), {
      maxLength: 4,
    })
    .map((parts) => parts.join(''));
  const text = fc.oneof(
    { arbitrary: mild.map((rest) => `/api/accounts${rest}`), weight: 3 },
    { arbitrary: mild.map((rest) => `http://${own}/api/payments${rest}`), weight: 1 },
    { arbitrary: fc.tuple(fc.constantFrom(...UNDER), tail).map((parts) => parts.join('')), weight: 6 },
    { arbitrary: fc.tuple(elsewhere, fc.constantFrom(...UNDER), tail).map((parts) => parts.join('')), weight: 2 },
    { arbitrary: tail, weight: 1 },
  );
  return fc.record({ text, encoding: fc.constantFrom('utf8', 'latin1') });
}

const FIELDS = [
  ...['Authorization', 'authorization', 'AUTHORIZATION', 'Authorization_', 'Authorization__', 'authorization '],
  ...['Proxy-Authorization', 'Proxy_Authorization', 'Proxy-Connection', 'Keep-Alive', 'Connection', 'connection'],
  ...['Host', 'host', 'Content-Length', 'Content_Length', 'content-length', 'Transfer-Encoding', 'Transfer_Encoding'],
  ...['TE', 'Trailer', 'Upgrade', 'HTTP2-Settings', 'Expect', 'Max-Forwards', 'Via', 'Forwarded', 'X-Forwarded-For'],
  ...['X_Forwarded_Host', 'Origin', 'Sec-Fetch-Site', 'X-Request-Id', 'X_Request_Id', 'Cookie', 'Content-Type'],
  ...[
    '__proto__',
    'constructor',
    'hasOwnProperty',
    'X-Sidecar-Key',
    'X-Sidecar-Error',
    'X-A',
    'x-a',
    'X\x85',
    'X:',
    '',
  ],
] as const;

const VALUES = [
  ...[
    '',
    ' ',
    'Bearer evil',
    'Basic ZXZpbDp4',
    'close',
    'keep-alive',
    'upgrade',
    'websocket',
    'h2c',
    'chunked',
    ',chunked',
  ],
  ...[
    'gzip, chunked',
    'identity',
    '0',
    '5',
    '010',
    '+1',
    '5, 5',
    '100-continue',
    'trailers',
    'null',
    'cross-site',
    'none',
  ],
  ...[
    'authorization',
    'Authorization, via, x-a',
    'x-request-id, host, content-length',
    'close, authorization,, ',
    '\0',
    '\xe9',
  ],
  ...['a\rb', 'a\tb', 'a\x01', '127.0.0.1', 'evil.example', '"quoted, text"', 'x'.repeat(9000)],
] as const;

export interface Field {
  readonly name: string;
  readonly value: string;
}

/** Header lines in any order and number, often with the same name more than once. */
export function nastyFields(): fc.Arbitrary<Field[]> {
  const name = fc.oneof(
    { arbitrary: fc.constantFrom(...FIELDS), weight: 8 },
    { arbitrary: fc.string({ maxLength: 6 }), weight: 1 },
  );
  const usual = fc.record({
    name,
    value: fc.oneof({ arbitrary: fc.constantFrom(...VALUES), weight: 6 }, { arbitrary: fc.string(), weight: 1 }),
  });
  // By chance alone, too few would use the names that matter.
  const options = fc.subarray([
    'authorization',
    'Authorization',
    'via',
    'x-a',
    'content-type',
    'x-request-id',
    'close',
  ]);
  const connection = fc.record({
    name: fc.constantFrom('Connection', 'connection', 'CONNECTION'),
    value: options.map((list) => list.join(', ')),
  });
  const harmless = fc.record({
    name: fc.constantFrom('X-A', 'x-a', 'X-B', 'Authorization', 'Cookie', 'Content-Type', 'Authorization_'),
    value: fc.constantFrom('1', 'a, b', 'Bearer evil', 'application/json ; charset=x', '\xe9', ''),
  });
  return fc.oneof(
    fc.array(fc.oneof(usual, connection), { maxLength: 5 }),
    fc.array(fc.oneof(harmless, connection), { maxLength: 8 }),
  );
}

/** Bytes cut into pieces at random places. */
export function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...new Set(places)].sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end));
}
