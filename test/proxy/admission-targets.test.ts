// Which request targets reach an API, and under which path: forms, spellings, prefixes, allow-lists.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SidecarError } from '../../src/core/errors.ts';
import { toProblem } from '../../src/core/problem.ts';
import { createAdmission, type RoutePattern } from '../../src/proxy/admission.ts';
import { readRequestHead } from '../../src/proxy/headers.ts';

const HOST = '127.0.0.1:7080';
const BANKING: RoutePattern = { path: '/banking', basePath: '/api', allow: undefined };
const EVENTS: RoutePattern = { path: '/banking/events', basePath: '', allow: undefined };
const ROOT: RoutePattern = { path: '/', basePath: '/base', allow: undefined };

interface Case {
  readonly method?: string;
  readonly routes?: readonly RoutePattern[];
}

/** `route → path`, or the code of the refusal. */
function verdict(target: string, { method = 'GET', routes = [BANKING] }: Case = {}): string {
  const gate = createAdmission({ routes, hosts: new Set([HOST]), allowForwarded: false, identify: () => 'anyone' });
  try {
    const line = { method, target, httpVersion: '1.1', headerCount: 1, secure: false, certificate: undefined };
    const { route, path } = gate(line, readRequestHead(['Host', HOST]));
    return `${route.path} → ${path}`;
  } catch (error) {
    if (error instanceof SidecarError) return error.code;
    throw error;
  }
}

const withAllow = (...allow: readonly string[]): Case => ({ routes: [{ ...BANKING, allow }] });

describe('src/proxy/admission.ts targets', () => {
  it.each([
    '//evil/x',
    '///evil',
    '/\\evil/x',
    '/\t/evil',
    '@evil',
    '.evil',
    ':80@evil',
    'evil',
    '*',
    '',
    ' /banking/x',
    `${HOST}`,
    `https://${HOST}/banking/x`,
    'http:/evil',
    'http:evil/x',
    'http:///banking/x',
    `http:\\\\${HOST}\\banking`,
    `http://user@${HOST}/banking/x`,
    `http://${HOST}@evil/banking/x`,
    `http://${HOST}\\@evil/`,
    `http://${HOST}//evil`,
    'ws://evil/banking/x',
  ])('answers 400 to %j, which could name another host', (target) => {
    expect(verdict(target, { routes: [ROOT, BANKING] })).toBe('CALLER_REQUEST_INVALID');
  });

  it.each(['http://evil/banking/x', `http://evil:7080/banking`, `http://${HOST}.evil/banking/x`, 'HTTP://evil/'])(
    'answers 421 to %j, the absolute form of another authority',
    (target) => {
      expect(verdict(target, { routes: [ROOT, BANKING] })).toBe('CALLER_HOST');
    },
  );

  it.each([
    [`http://${HOST}/banking/x?y=1`, '/banking → /api/x?y=1'],
    [`HTTP://${HOST}/banking`, '/banking → /api'],
    [`http://${HOST}`, '/ → /base/'],
    [`http://${HOST}?q=http://evil/`, '/ → /base/?q=http://evil/'],
  ])('takes %j for its origin form', (target, expected) => {
    expect(verdict(target, { routes: [ROOT, BANKING] })).toBe(expected);
  });

  it.each([
    '/banking/a#b',
    '/banking/a b',
    '/banking/a\\b',
    '/banking/a\u0001',
    '/banking/a\u007f',
    '/banking/a\r\nX: y',
    '/banking/a\n',
    '/banking/\u00e9',
    '/banking/?q=\u00e9',
    '/banking/?q=a b',
    '/banking/?q=#',
    '/banking/\u2028',
    '/banking/%',
    '/banking/%z',
    '/banking/%zz',
    '/banking/%4',
    '/banking/a%00',
    '/banking/a%0d%0aX:y',
    '/banking/a%0A',
    '/banking//a',
    '/banking/a//',
  ])('answers 400 to %j, which servers read in different ways', (target) => {
    expect(verdict(target)).toBe('CALLER_REQUEST_INVALID');
  });

  it.each([
    '.',
    '..',
    '%2e',
    '%2E%2e',
    '.%2e',
    '%2e.',
    '..%2f',
    '..%2F',
    '..%5c',
    '%2e%2e%5C',
    '..;',
    '..;x',
    '..;x=y',
    '.;x',
    '%2e%2e;x',
    '..%3bx',
    '..%3B',
    'a%2f..',
    'a%5c..%5cb',
  ])('answers 400 to the dot segment %j wherever it stands', (segment) => {
    for (const target of [`/banking/${segment}`, `/banking/${segment}/x`, `/${segment}/banking/x`]) {
      expect([target, verdict(target, { routes: [ROOT, BANKING] })]).toEqual([target, 'CALLER_REQUEST_INVALID']);
    }
  });

  it.each([
    '/...',
    '/....;x',
    '/.hidden',
    '/a..b',
    '/a/..b/c..',
    '/x?a=../..',
    '/x?a=%2e%2e/',
    '/a%2Fb;c=%41?x=%0a&y=//..',
    '/a%5Cb',
    '/%25zz%252e',
    '/!$&\'()*+,;=:@-._~|{}^`<>"[]',
    '/?',
    '/??a?b',
    '',
    '?x=1',
    '/',
  ])('passes what follows the prefix unchanged: %j', (rest) => {
    expect(verdict(`/banking${rest}`)).toBe(`/banking → /api${rest}`);
  });
});

describe('src/proxy/admission.ts routes', () => {
  it.each([
    ['/banking', '/banking → /api'],
    ['/banking/events', '/banking/events → /'],
    ['/banking/events/', '/banking/events → /'],
    ['/banking/events?x', '/banking/events → /?x'],
    ['/banking/events/1', '/banking/events → /1'],
    ['/banking/eventsx', '/banking → /api/eventsx'],
    ['/bankingx', '/ → /base/bankingx'],
    ['/banking%2fx', '/ → /base/banking%2fx'],
    ['/Banking/x', '/ → /base/Banking/x'],
    ['/', '/ → /base/'],
  ])('takes the longest prefix that ends at a segment: %j', (target, expected) => {
    for (const routes of [
      [ROOT, BANKING, EVENTS],
      [EVENTS, BANKING, ROOT],
    ]) {
      expect(verdict(target, { routes })).toBe(expected);
    }
  });

  it.each(['/', '/bankingx', '/banking;x', '/banking%2f', '/bank', '/events'])(
    'answers 404 to %j under no prefix',
    (target) => {
      expect(verdict(target)).toBe('ROUTE_NOT_FOUND');
    },
  );

  it('admits nothing when the allow-list is empty', () => {
    expect(verdict('/banking', withAllow())).toBe('ROUTE_NOT_ALLOWED');
  });

  it.each([
    ['GET /accounts', '/accounts', true],
    ['GET /accounts', '/accounts?x=/y', true],
    ['GET /accounts', '/accounts/', false],
    ['GET /accounts', '/Accounts', false],
    ['GET /accounts', '/accountsx', false],
    ['GET /accounts', '/%61ccounts', false],
    ['POST /accounts', '/accounts', false],
    ['* /accounts', '/accounts', true],
    ['GET /accounts/*', '/accounts/1', true],
    ['GET /accounts/*', '/accounts/', true],
    ['GET /accounts/*', '/accounts', false],
    ['GET /accounts/*', '/accounts/1/2', false],
    ['GET /accounts/*', '/accounts/1%2f2', false],
    ['GET /accounts/*', '/accounts/1%5C2', false],
    ['GET /accounts/*/balance', '/accounts/1/balance', true],
    ['GET /accounts/*/balance', '/accounts/1/2/balance', false],
    ['GET /accounts/**', '/accounts', true],
    ['GET /accounts/**', '/accounts/1/2', true],
    ['GET /accounts/**', '/accountsx', false],
    ['GET /accounts/**', '/accounts/1%2F2', false],
    ['GET /**', '', true],
    ['GET /**', '/x/y', true],
    ['GET /a.b+(c)', '/a.b+(c)', true],
    ['GET /a.b', '/axb', false],
    ['GET /a|b', '/a', false],
    ['GET /', '', true],
  ])('with %j on the list, GET %j is allowed: %j', (entry, rest, allowed) => {
    expect(verdict(`/banking${rest}`, withAllow(entry))).toBe(allowed ? `/banking → /api${rest}` : 'ROUTE_NOT_ALLOWED');
  });
});

/** What a glob means, said by a regular expression. */
function patternOf(glob: string): RegExp {
  const pattern = glob.replace(/\/\*\*$|\*\*|\*|[.+?^${}()|[\]\\]/g, (token) => {
    if (token === '/**') return '(?:/.*)?';
    if (token === '**') return '.*';
    return token === '*' ? '[^/]*' : `\\${token}`;
  });
  return new RegExp(`^${pattern}$`);
}

const isAllowed = (entry: string, path: string) => verdict(`/banking${path}`, withAllow(entry)) !== 'ROUTE_NOT_ALLOWED';

describe('src/proxy/admission.ts a glob', () => {
  const text = (...units: readonly string[]) => fc.array(fc.constantFrom(...units), { maxLength: 12 });

  it('allows what its meaning says, whatever the wildcards and wherever they are', () => {
    fc.assert(
      fc.property(text('/', 'a', 'b', '*', '**', '/**', '.', '-'), text('/', 'a', 'b', '-', '/a'), (pieces, parts) => {
        const [glob, path] = [`/${pieces.join('')}`, `/${parts.join('')}`.replace(/\/+/g, '/')];
        expect([glob, path, isAllowed(`GET ${glob}`, path)]).toEqual([glob, path, patternOf(glob).test(path)]);
      }),
      { numRuns: 6000, seed: 20260102 },
    );
  });

  it.each([
    { glob: '/**/a/**/a/**/x', unit: '/a', slow: 1500 },
    { glob: '/*-*-*-*-x', unit: '-', slow: 160 },
    { glob: '/**a**a**a**x', unit: 'a', slow: 160 },
    { glob: '/**/*a*/**/*a*/**x', unit: '/aa', slow: undefined },
    { glob: '/**aaaaaaaaaaaaaaaaaaaaaaab**', unit: 'a', slow: undefined },
  ])('costs less for a path of 8,000 bytes than a regular expression for one of $slow: $glob', (row) => {
    const time = (work: () => boolean) => {
      const before = process.cpuUsage().user;
      expect(work()).toBe(false);
      return process.cpuUsage().user - before;
    };
    const path = (bytes: number) => `/${row.unit.repeat(bytes / row.unit.length)}`.replace('//', '/');
    isAllowed(`GET ${row.glob}`, path(8000));
    const own = time(() => isAllowed(`GET ${row.glob}`, path(8000)));
    // 250 ms of nobody else being served.
    expect(own).toBeLessThan(250_000);
    if (row.slow) expect(own).toBeLessThan(time(() => patternOf(row.glob).test(path(row.slow))));
  });
});

const DOCUMENTED = ['CALLER_REQUEST_INVALID', 'CALLER_TARGET_TOO_LONG', 'CALLER_HOST', 'ROUTE_NOT_FOUND'];
const PIECES = '/ // \\ . .. ... %2e %2E %2f %5c %00 %0d %25 % ; ;x ? # @ : evil banking api http:// * \t é &'.split(
  ' ',
);

const anyTarget = fc
  .oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.constantFrom(...PIECES, ' ', '\0', '\n', HOST), { maxLength: 12 }).map((pieces) => pieces.join('')),
  )
  .chain((rest) => fc.constantFrom('', '/', '/banking', '/banking/', `http://${HOST}`).map((start) => start + rest));

describe('src/proxy/admission.ts any target', () => {
  it('is refused with a documented code or stays under the base path of its route', () => {
    fc.assert(
      fc.property(anyTarget, (target) => {
        const outcome = verdict(target);
        if (DOCUMENTED.includes(outcome)) return;
        const path = outcome.slice('/banking → '.length);
        expect(path).toMatch(/^\/api(?:[/?]|$)[\x21-\x7e]*$/);
        const [plain = ''] = path.split('?', 1);
        expect(plain).not.toMatch(/\/\/|\\|#/);
        // Whoever parses it as a URL, decoded or not, finds the same host and stays below the base path.
        for (const reading of [plain, decodeOnce(plain).replace(/;[^/]*/g, '')]) {
          const url = new URL(`http://upstream.test${reading}`);
          expect([url.host, `${url.pathname}/`.startsWith('/api/')]).toEqual(['upstream.test', true]);
        }
      }),
      { numRuns: 3000, seed: 20260101 },
    );
  });
});

function decodeOnce(path: string): string {
  return path.replace(/%([0-9a-f]{2})/gi, (_match, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

describe('a path that belongs to no route', () => {
  const routes: RoutePattern[] = [BANKING, EVENTS, { path: '/events', basePath: '', allow: undefined }];

  function told(target: string): unknown {
    const gate = createAdmission({ routes, hosts: new Set([HOST]), allowForwarded: false, identify: () => 'anyone' });
    const line = { method: 'GET', target, httpVersion: '1.1', headerCount: 1, secure: false, certificate: undefined };
    try {
      return gate(line, readRequestHead(['Host', HOST]));
    } catch (error) {
      if (error instanceof SidecarError) return JSON.parse(toProblem(error, 'id').body);
      throw error;
    }
  }

  it.each([
    ['/bankng', '/banking'],
    ['/Banking/accounts/1?x=y', '/banking'],
    ['/baking/evnets/1', '/banking/events'],
    ['/event', '/events'],
  ])('%s is told the nearest prefix, %s', (target, near) => {
    const detail = `The path starts with none of the configured route prefixes. The nearest prefix is ${near}: correct the path in the calling program.`;
    expect(told(target)).toMatchObject({ code: 'ROUTE_NOT_FOUND', cause: 'route_mistyped', detail });
  });

  it.each(['/accounts', '/', `/${'x'.repeat(8000)}`])('%s is told where the prefixes are listed', (target) => {
    const detail = expect.stringMatching(
      /^The path starts with none .* `\/status` on the admin port lists the prefixes\.$/,
    );
    expect(told(target)).toMatchObject({ code: 'ROUTE_NOT_FOUND', cause: 'route_unknown', detail });
    expect(JSON.stringify(told(target))).not.toContain('accounts');
  });
});

it('escapes a refused authority for the log, and cuts it', () => {
  const gate = createAdmission({ routes: [ROOT], hosts: new Set([HOST]), allowForwarded: false, identify: undefined });
  const refusedHost = (target: string): unknown => {
    const line = { method: 'GET', target, httpVersion: '1.1', headerCount: 1, secure: false, certificate: undefined };
    try {
      return gate(line, readRequestHead(['Host', HOST]));
    } catch (error) {
      return error instanceof SidecarError ? error.extras.fields?.['refusedHost'] : error;
    }
  };
  expect(refusedHost('http://e\u001b[31mv\u202eil/x')).toBe('e\\u001b[31mv\\u202eil');
  expect(refusedHost(`http://${'\u202e'.repeat(80)}/x`)).toHaveLength(80);
});
