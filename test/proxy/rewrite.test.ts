/** What a route changes in headers, and how much it leaves alone. */
import { describe, expect, it } from 'vitest';
import { parseBaseUrl } from '../../src/config/parsers.ts';
import { countForward } from '../../src/proxy/headers.ts';
import { createRewrite, type Rewrite, type RewriteOptions } from '../../src/proxy/rewrite.ts';

const HERE = 'http://127.0.0.1:7080';

/** What happens to messages of a route without one. */
const AS_THEY_ARE: Rewrite = { request: (forward) => forward, added: () => [], response: (headers) => headers };

function rewriteOf(options: Partial<RewriteOptions> & { readonly base?: string } = {}) {
  const { base = 'https://bank.example/api', ...rest } = options;
  const rewrite = createRewrite({
    path: '/banking',
    upstream: parseBaseUrl(base),
    rewriteLocation: false,
    cookies: 'pass',
    idempotency: 'off',
    headers: {},
    ...rest,
  });
  return rewrite ?? AS_THEY_ARE;
}

describe('Location under rewriteLocation', () => {
  const lead = (value: string, origin: string | undefined = HERE, base?: string) =>
    rewriteOf({ rewriteLocation: true, ...(base !== undefined && { base }) }).response(['Location', value], origin)[1];

  it.each([
    ['https://bank.example/api/x/1', `${HERE}/banking/x/1`],
    ['https://bank.example/api', `${HERE}/banking`],
    ['https://bank.example/api?q=/api/#f', `${HERE}/banking?q=/api/#f`],
    ['/api/x', '/banking/x'],
    ['/api', '/banking'],
    ['https://bank.example:443/api/x', `${HERE}/banking/x`],
    ['https://bank.example:/api/x', `${HERE}/banking/x`],
    ['HTTPS://BANK.Example/api/x', `${HERE}/banking/x`],
    ['http://bank.example/api/x', `${HERE}/banking/x`],
    ['http://bank.example:80/api/x', `${HERE}/banking/x`],
    ['http://bank.example:443/api/x', `${HERE}/banking/x`],
    ['//bank.example/api/x', `${HERE}/banking/x`],
    ['//bank.example:443/api/x', `${HERE}/banking/x`],
    ['https://bank.example/other/../api/x?a=/../b', `${HERE}/banking/x?a=/../b`],
    ['/api/./x/%2E%2e/y', '/banking/y'],
  ])('leads %s back to %s', (value, expected) => expect(lead(value)).toBe(expected));

  it.each([
    'https://bank.example.evil/api/x',
    'https://bank.example@evil/api/x',
    'https://bank.example:8443/api/x',
    'http://bank.example:8080/api/x',
    'ftp://bank.example/api/x',
    'https:bank.example/api/x',
    'https:/bank.example/api/x',
    'https:///bank.example/api/x',
    'https://bank.example./api/x',
    'https://b%61nk.example/api/x',
    'https://bank.example:444/api/x',
    'https://bank.example:x/api/x',
    'https://bank.example/api/../x',
    'https://bank.example/api/%2e%2E/x',
    'https://bank.example\\@evil/api/x',
    'https://evil\\bank.example/api/x',
    'https://@bank.example/api/x',
    'https://evil.example/api/x',
    'https://bank.example/apix',
    'https://bank.example/other',
    '//evil.example/api/x',
    '//bank.example@evil/api/x',
    '//bank.example:80/api/x',
    '///bank.example/api/x',
    '/\\bank.example/api/x',
    '/other',
    '/apix',
    'x/y',
    '',
  ])('leaves %s alone', (value) => expect(lead(value)).toBe(value));

  it('leaves absolute ones alone when the caller did not say how it came in', () => {
    const { response } = rewriteOf({ rewriteLocation: true });
    expect(response(['Location', 'https://bank.example/api/x'], undefined)[1]).toBe('https://bank.example/api/x');
  });

  it('works without a base path, for Content-Location too, and only when asked', () => {
    expect(lead('https://bank.example/x', HERE, 'https://bank.example')).toBe(`${HERE}/banking/x`);
    const { response } = rewriteOf({ rewriteLocation: true });
    expect(response(['content-location', '/api/x', 'X-Location', '/api/x'], HERE)).toEqual([
      'content-location',
      '/banking/x',
      'X-Location',
      '/api/x',
    ]);
    expect(rewriteOf().response(['Location', '/api/x'], HERE)).toEqual(['Location', '/api/x']);
  });
});

describe('Location of an API with a port of its own, or without TLS', () => {
  it.each([
    ['https://bank.example:8443', 'https://bank.example:8443/x', true],
    ['https://bank.example:8443', 'http://bank.example:8443/x', true],
    ['https://bank.example:8443', 'http://bank.example/x', true],
    ['https://bank.example:8443', 'https://bank.example/x', false],
    ['http://bank.example', 'http://bank.example:80/x', true],
    ['http://bank.example', 'https://bank.example/x', false],
    ['http://127.0.0.1:7100', 'http://127.0.0.1:7100/x', true],
    ['http://127.0.0.1:7100', '//127.0.0.1:7100/x', true],
    ['http://127.0.0.1:7100', 'http://127.0.0.1/x', false],
    ['https://[::1]:8443', 'https://[0:0:0:0:0:0:0:1]:8443/x', true],
  ])('%s: %s, led to this route: %j', (base, value, isOurs) => {
    const { response } = rewriteOf({ rewriteLocation: true, base });
    expect(response(['Location', value], HERE)[1]).toBe(isOurs ? `${HERE}/banking/x` : value);
  });
});

describe('Link under rewriteLocation', () => {
  const link = (value: string) => rewriteOf({ rewriteLocation: true }).response(['Link', value], HERE)[1];

  it.each([
    ['<https://bank.example/api/x?page=2>; rel="next"', `<${HERE}/banking/x?page=2>; rel="next"`],
    ['</api/x>', '</banking/x>'],
    [
      '<https://bank.example:443/api/x?a=1,2>; rel=next, </api/y>;rel=prev , <//bank.example/api/z>',
      `<${HERE}/banking/x?a=1,2>; rel=next, </banking/y>;rel=prev , <${HERE}/banking/z>`,
    ],
    [
      '</api/x>; title="a, <https://bank.example/api/no>; \\"", </api/y>',
      '</banking/x>; title="a, <https://bank.example/api/no>; \\"", </banking/y>',
    ],
    [', ,</api/x>', ', ,</banking/x>'],
    ['</api/x>; anchor="/api/y"', '</banking/x>; anchor="/api/y"'],
    ['<https://evil.example/api/x>, </api/y>', '<https://evil.example/api/x>, </banking/y>'],
  ])('makes of %s: %s', (value, expected) => expect(link(value)).toBe(expected));

  it.each([
    '<x>; rel=next',
    '<?page=2>',
    '<>',
    '',
    'https://bank.example/api/x',
    '</api/x',
    'a, </api/x>',
    '"</api/x>',
    '<https://bank.example/apix>',
  ])('leaves %s alone', (value) => expect(link(value)).toBe(value));

  it('leaves what follows a string without end alone', () => {
    expect(link('</api/x>; title="a, </api/y>')).toBe('</banking/x>; title="a, </api/y>');
  });

  it('reads any line in time that grows with its length', () => {
    for (const piece of ['<', '>', '<>', '"', '<>"', ',', ' ', '<a>;b="', '<a>,', '\\"'])
      expect(link(piece.repeat(100_000))).toHaveLength(piece.length * 100_000);
  });
});

it('changes no header whose name objects have of their own', () => {
  const lines = ['constructor', 'a', '__proto__', 'b', 'toString', 'c', 'hasOwnProperty', 'd'];
  expect(rewriteOf({ rewriteLocation: true, cookies: 'rewrite' }).response(lines, HERE)).toEqual(lines);
});

describe('cookies', () => {
  const cookie = (value: string) => rewriteOf({ cookies: 'rewrite' }).response(['Set-Cookie', value], HERE)[1];

  it.each([
    ['a=b; Domain=bank.example; Path=/api; HttpOnly', 'a=b; Path=/banking; HttpOnly'],
    ['a=b; domain=.example;Secure', 'a=b;Secure'],
    ['a=b; Path=/api/x', 'a=b; Path=/banking/x'],
    ['a=b; Path=/api/', 'a=b; Path=/banking'],
    ['a=b; Domain=other.example; Path=/apix', 'a=b; Domain=other.example; Path=/apix'],
    ['a=b; Path=/', 'a=b; Path=/'],
    ['a="; Path=/x"', 'a="; Path=/x"'],
    ['a=domain=bank.example', 'a=domain=bank.example'],
  ])('are rewritten from %s to %s', (value, expected) => expect(cookie(value)).toBe(expected));

  it('stay separate lines, or are dropped both ways, or pass', () => {
    const lines = ['Set-Cookie', 'a=1', 'X', 'y', 'set-cookie', 'b=2'];
    expect(rewriteOf({ cookies: 'rewrite' }).response(lines, HERE)).toEqual(lines);
    expect(rewriteOf().response(lines, HERE)).toEqual(lines);
    const dropping = rewriteOf({ cookies: 'drop' });
    expect(dropping.response(lines, HERE)).toEqual(['X', 'y']);
    expect(dropping.request(['Cookie', 'a=1', 'X', 'cookie'])).toEqual(['X', 'cookie']);
  });
});

describe('Idempotency-Key', () => {
  const added = (method: string, forward: readonly string[] = [], idempotency: 'off' | 'inject' = 'inject') =>
    rewriteOf({ idempotency }).added(method, forward);

  it('is a fresh UUID for every POST without one', () => {
    const [name, first] = added('POST', ['X', 'idempotency-key']);
    expect([name, first]).toEqual(['Idempotency-Key', expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f-]{27}$/)]);
    expect(added('POST')[1]).not.toBe(first);
  });

  it.each([
    ['GET', []],
    ['PUT', []],
    ['POST', ['idempotency-key', 'mine']],
    ['POST', ['Idempotency-Key_', 'mine']],
    ['POST', ['Idempotency.Key', 'mine']],
    ['POST', ['Idempotency_Key', 'mine']],
  ])('is not added to a %s with %j', (method, forward) => expect(added(method, forward)).toEqual([]));

  it('is not added where nobody asked for it', () => expect(added('POST', [], 'off')).toEqual([]));
});

describe('Max-Forwards', () => {
  it.each([
    ['OPTIONS', ['Max-Forwards', '0'], 'ends here'],
    ['OPTIONS', ['X', 'y', 'max-forwards', '10'], ['X', 'y', 'max-forwards', '9']],
    ['OPTIONS', ['Max-Forwards', '-1'], ['Max-Forwards', '-1']],
    ['OPTIONS', ['Max-Forwards', 'x'], ['Max-Forwards', 'x']],
    ['OPTIONS', ['X', 'max-forwards'], ['X', 'max-forwards']],
    ['GET', ['Max-Forwards', '0'], ['Max-Forwards', '0']],
  ] as const)('of %s %j gives %j', (method, forward, expected) => {
    expect(countForward(method, forward)).toEqual(expected);
  });
});

it('is not there for a route that changes nothing', () => {
  expect(rewriteOf()).toBe(AS_THEY_ARE);
  expect(rewriteOf({ idempotency: 'inject' })).not.toBe(AS_THEY_ARE);
});
