// Who may call and with what kind of message: Host, browsers, forwarded requests, framing, limits, routes.
import { describe, expect, it } from 'vitest';
import { SidecarError } from '../../src/core/errors.ts';
import { type Admitted, createAdmission, type RoutePattern } from '../../src/proxy/admission.ts';
import { readRequestHead } from '../../src/proxy/headers.ts';

const HOST = '127.0.0.1:7080';
const HOSTS = new Set([HOST, 'localhost:7080', '[::1]:7080', 'sidecar:7080']);
const ROUTES: readonly RoutePattern[] = [{ path: '/banking', basePath: '/api', allow: undefined }];

interface Case {
  readonly method?: string;
  readonly target?: string;
  readonly version?: string;
  /** Flat names and values. */
  readonly headers?: readonly string[];
  readonly headerCount?: number;
  readonly allowForwarded?: boolean;
  readonly routes?: readonly RoutePattern[];
}

function admit(options: Case): Admitted<RoutePattern> {
  const { method = 'GET', target = '/banking/x', version = '1.1', headers = ['Host', HOST] } = options;
  const { allowForwarded = false, routes = ROUTES, headerCount = headers.length / 2 } = options;
  const gate = createAdmission({ routes, hosts: HOSTS, allowForwarded, identify: () => 'anyone' });
  return gate(
    { method, target, httpVersion: version, headerCount, secure: false, certificate: undefined },
    readRequestHead(headers),
  );
}

/** The path for the upstream, or the code of the refusal. */
function verdict(options: Case): string {
  try {
    return admit(options).path;
  } catch (error) {
    if (error instanceof SidecarError) return error.code;
    throw error;
  }
}

const withHeaders = (...more: readonly string[]): Case => ({ headers: ['Host', HOST, ...more] });

describe('src/proxy/admission.ts hosts', () => {
  it.each([HOST, 'localhost:7080', 'LocalHost:7080', '[::1]:7080', 'SIDECAR:7080'])('admits Host %j', (host) => {
    expect(verdict({ headers: ['Host', host] })).toBe('/api/x');
  });

  it.each([
    'evil.example',
    'evil.example:7080',
    '127.0.0.1',
    '127.0.0.1:7081',
    '127.0.0.1:07080',
    '127.0.0.2:7080',
    '0.0.0.0:7080',
    'evil127.0.0.1:7080',
    '127.0.0.1.evil:7080',
    'localhost.:7080',
    'localhost.evil:7080',
    '[::ffff:7f00:1]:7080',
    '2130706433:7080',
  ])('answers 421 to the foreign Host %j', (host) => {
    expect(verdict({ headers: ['Host', host] })).toBe('CALLER_HOST');
  });

  it.each([
    '',
    ' ',
    'a b',
    'a@b',
    `user@${HOST}`,
    'x/y',
    '127.0.0.1:7080/x',
    'x:99999',
    'x:-1',
    '127.0.0.1:7080.evil',
    '127.0.0.1:7080, evil',
    '127.0.0.1:7080#',
    '127.0.0.1:7080\\',
    '::1:7080',
    '[::1:7080',
    '127.0.0.1:7080\u00e9',
    '127.0.0.1\u3002evil',
  ])('answers 400 to the Host %j, which is none', (host) => {
    expect(verdict({ headers: ['Host', host] })).toBe('CALLER_REQUEST_INVALID');
  });

  it('answers 400 to a missing Host in HTTP/1.1', () => {
    expect(verdict({ headers: [] })).toBe('CALLER_REQUEST_INVALID');
  });

  it.each([
    ['the same', [HOST, HOST]],
    ['ours first', [HOST, 'evil.example']],
    ['ours last', ['evil.example', HOST]],
  ])('answers 400 to two Host lines, %s', (_case, [first = '', second = '']) => {
    expect(verdict({ headers: ['Host', first, 'hOST', second] })).toBe('CALLER_REQUEST_INVALID');
    expect(verdict({ headers: ['Host', first, 'hOST', second], version: '1.0' })).toBe('CALLER_REQUEST_INVALID');
  });

  it('admits HTTP/1.0 without Host but judges one that is there', () => {
    expect(verdict({ version: '1.0', headers: [] })).toBe('/api/x');
    expect(verdict({ version: '1.0' })).toBe('/api/x');
    expect(verdict({ version: '1.0', headers: ['Host', 'evil.example'] })).toBe('CALLER_HOST');
  });

  it('does not take a look-alike of Host for a Host', () => {
    expect(verdict({ headers: ['Host_', HOST] })).toBe('CALLER_REQUEST_INVALID');
    expect(verdict({ headers: ['Host', HOST, 'HOST_', 'evil.example'] })).toBe('/api/x');
  });
});

describe('src/proxy/admission.ts callers', () => {
  it.each([
    ['Origin', 'https://evil.example'],
    ['Origin', 'null'],
    ['origin', `http://${HOST}`],
    ['Sec-Fetch-Site', 'cross-site'],
    ['sec-fetch-site', 'same-site'],
    ['Sec_Fetch_Site', 'cross-site'],
    ['Sec-Fetch-Site', ''],
  ])('refuses the web page that sends %s: %s', (name, value) => {
    expect(verdict(withHeaders(name, value))).toBe('CALLER_ORIGIN');
  });

  it.each(['none', 'same-origin'])('admits a navigation with Sec-Fetch-Site: %s', (site) => {
    expect(verdict(withHeaders('Sec-Fetch-Site', site))).toBe('/api/x');
  });

  it.each(['cors', 'no-cors', 'same-origin', 'websocket', ''])(
    'refuses what a page of our own origin loads: %s',
    (mode) => {
      expect(verdict(withHeaders('Sec-Fetch-Site', 'same-origin', 'Sec-Fetch-Mode', mode))).toBe('CALLER_ORIGIN');
      expect(verdict(withHeaders('sec-fetch-mode', mode, 'sec-fetch-site', 'same-origin'))).toBe('CALLER_ORIGIN');
      const site = ['Sec-Fetch-Site', 'none', 'Sec-Fetch-Site', 'same-origin'];
      expect(verdict(withHeaders(...site, 'Sec-Fetch-Mode', mode))).toBe('CALLER_ORIGIN');
    },
  );

  it('admits a navigation by a link on such a page, and programs that have a mode of their own', () => {
    expect(verdict(withHeaders('Sec-Fetch-Site', 'same-origin', 'Sec-Fetch-Mode', 'navigate'))).toBe('/api/x');
    expect(verdict(withHeaders('Sec-Fetch-Mode', 'cors'))).toBe('/api/x');
  });

  it.each([
    'https://evil.example/page',
    'http://evil.example',
    'HTTP://127.0.0.1/',
    `http://user@${HOST}/`,
    `http://${HOST}.evil/`,
    'http://',
  ])('refuses what may change something and comes from the page %s', (referer) => {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'])
      expect(verdict({ method, ...withHeaders('Referer', referer) }), method).toBe('CALLER_ORIGIN');
    expect(verdict({ method: 'POST', ...withHeaders('Referer', `http://${HOST}/`, 'referer', referer) })).toBe(
      'CALLER_ORIGIN',
    );
    for (const method of ['GET', 'HEAD', 'OPTIONS'])
      expect(verdict({ method, ...withHeaders('Referer', referer) }), method).toBe('/api/x');
  });

  it.each([`http://${HOST}/banking/x`, 'http://LOCALHOST:7080', 'my-erp', 'urn:erp:job:1', '/banking', ''])(
    'admits a program that names %j as where it comes from',
    (referer) => {
      expect(verdict({ method: 'POST', ...withHeaders('Referer', referer) })).toBe('/api/x');
    },
  );

  it('refuses a cross-site line that hides behind a harmless one', () => {
    const lines = ['Sec-Fetch-Site', 'none', 'Sec-Fetch-Site', 'cross-site'];
    expect(verdict(withHeaders(...lines))).toBe('CALLER_ORIGIN');
  });

  it.each(['1.1 aritma-sidecar', '1.0 edge, 1.1 Aritma-Sidecar', '1.1 aritma-sidecar (comment)'])(
    'refuses a circle, also where other proxies are allowed: Via %s',
    (via) => {
      for (const allowForwarded of [true, false]) {
        expect(verdict({ headers: ['Host', HOST, 'Via', via], allowForwarded })).toBe('CALLER_LOOP');
      }
    },
  );

  it.each(['Forwarded', 'X-Forwarded-For', 'x-forwarded-host', 'X-Forwarded-Uri', 'X_Forwarded_User', 'Via', 'VIA'])(
    'refuses %s unless forwarded requests are allowed',
    (name) => {
      expect(verdict(withHeaders(name, 'x'))).toBe('CALLER_FORWARDED');
      expect(verdict({ ...withHeaders(name, 'x'), allowForwarded: true })).toBe('/api/x');
    },
  );
});

describe('src/proxy/admission.ts messages', () => {
  it.each(['TRACE', 'CONNECT'])('refuses %s', (method) => {
    expect(verdict({ method })).toBe('CALLER_METHOD_REFUSED');
  });

  it.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'QUERY'])('admits %s', (method) => {
    expect(verdict({ method })).toBe('/api/x');
  });

  it.each(['0.9', '1.2', '2.0', '3.0', ''])('answers 400 to HTTP version %j', (version) => {
    expect(verdict({ version })).toBe('CALLER_REQUEST_INVALID');
  });

  it('admits 100 headers and refuses 101', () => {
    expect(verdict({ headerCount: 100 })).toBe('/api/x');
    expect(verdict({ headerCount: 101 })).toBe('CALLER_HEADERS_TOO_LARGE');
  });

  it('admits a target of 8192 characters and refuses 8193', () => {
    const target = `/banking/${'x'.repeat(8192 - '/banking/'.length)}`;
    expect(verdict({ target })).toBe(target.replace('/banking', '/api'));
    expect(verdict({ target: `${target}x` })).toBe('CALLER_TARGET_TOO_LONG');
  });

  it.each(['chunked', 'Chunked', ' chunked '])('admits Transfer-Encoding: %j', (coding) => {
    expect(verdict(withHeaders('Transfer-Encoding', coding))).toBe('/api/x');
  });

  it.each([
    'identity',
    'gzip',
    'xchunked',
    'gzip, chunked',
    ',chunked',
    'chunked,',
    'chunked, identity',
    'chunked, chunked',
    'chunked;q=1',
    '"chunked"',
    'chunked\u000b',
    '',
  ])('answers 400 to Transfer-Encoding: %j', (coding) => {
    expect(verdict(withHeaders('Transfer-Encoding', coding))).toBe('CALLER_REQUEST_INVALID');
  });

  it.each([
    ['twice', ['Transfer-Encoding', 'chunked', 'transfer-encoding', 'chunked']],
    ['before a length', ['Transfer-Encoding', 'chunked', 'Content-Length', '5']],
    ['behind a length', ['Content-Length', '5', 'Transfer-Encoding', 'chunked']],
  ])('answers 400 to Transfer-Encoding %s', (_case, lines) => {
    expect(verdict(withHeaders(...lines))).toBe('CALLER_REQUEST_INVALID');
  });

  it('answers 400 to Transfer-Encoding in HTTP/1.0', () => {
    expect(verdict({ ...withHeaders('Transfer-Encoding', 'chunked'), version: '1.0' })).toBe('CALLER_REQUEST_INVALID');
  });

  it.each(['100-continue', '100-Continue'])('admits Expect: %s', (value) => {
    expect(verdict(withHeaders('Expect', value))).toBe('/api/x');
  });

  it.each(['', '200-ok', '100-continue, x', '100-continue-please'])('answers 417 to Expect: %j', (value) => {
    expect(verdict(withHeaders('Expect', value))).toBe('CALLER_EXPECTATION');
  });

  it('ignores what an HTTP/1.0 caller expects, as RFC 9110 §10.1.1 says', () => {
    expect(verdict({ ...withHeaders('Expect', '100-continue'), version: '1.0' })).toBe('/api/x');
    expect(verdict({ ...withHeaders('Expect', 'wonders'), version: '1.0' })).toBe('/api/x');
  });
});
