/** Which headers a route may add, and what an operator reads about the others. */
import { describe, expect, it } from 'vitest';
import { jsonSchema } from '../../src/config/describe.ts';
import { ofRequest } from '../../src/proxy/header-treatments.ts';
import { createFolder, load, problemsOf } from '../support/folder.ts';

const CANARY = 'CANARY-value-4711';
const ENV = { S: 'secret-by-environment' };

function yamlOf(headers: unknown): string {
  const credential = { tokenEndpoint: 'https://id.example/token', clientId: 'x', secrets: [{ env: 'S' }] };
  const routes = [{ path: '/x', upstream: 'https://x.example', allow: ['GET /'], headers }];
  // JSON is valid YAML.
  return JSON.stringify({ credentials: { default: credential }, routes });
}

function headersOf(headers: unknown) {
  using folder = createFolder();
  return load(folder, { yaml: yamlOf(headers), env: ENV }).config.routes[0]?.headers;
}

function refusedAs(headers: unknown): string[] {
  using folder = createFolder();
  return problemsOf(folder, { yaml: yamlOf(headers), env: ENV }).map(({ path, message }) => `${path} ${message}`);
}

describe('config/route-headers', () => {
  it.each([
    'Subscription-Id',
    'Resource-Group-Name',
    'api-version',
    'TenantId',
    'Scopes',
    'ResourceUri',
    'Consent-ID',
    'Channel-Type',
    'Accept',
    'User-Agent',
    'X-CSRF-Token',
    "!#$%&'*+-.^_`|~1a",
  ])('accepts %s, briefly or with override', (name) => {
    expect(headersOf({ [name]: '1 0' })).toEqual({ [name]: { value: '1 0', override: false } });
    expect(headersOf({ [name]: { value: '1', override: true } })).toEqual({ [name]: { value: '1', override: true } });
  });

  it.each([
    ['Authorization', /access token/],
    ['authorization', /access token/],
    ['Cookie', /session/],
    ['Host', /upstream/],
    ['Content-Length', /frames the message/],
    ['CONTENT_LENGTH', /frames the message/],
    ['Transfer-Encoding', /frames the message/],
    ['TE', /frames the message/],
    ['Trailer', /frames the message/],
    ['Connection', /for one connection/],
    ['Keep-Alive', /for one connection/],
    ['Upgrade', /upgrade: true/],
    ['HTTP2-Settings', /for one connection/],
    ['Proxy-Authorization', /for a proxy/],
    ['Proxy-Connection', /for a proxy/],
    ['Sec-WebSocket-Protocol', /WebSocket handshake/],
    ['Sec-Fetch-Site', /browser/],
    ['Expect', /responds to it itself/],
    ['Max-Forwards', /counts the proxies/],
    ['Via', /untrue/],
    ['Forwarded', /untrue/],
    ['X-Forwarded-For', /untrue/],
    ['X-Real-IP', /untrue/],
    ['PSU-IP-Address', /only the ERP knows/],
    ['X-Sidecar-Key', /uses it itself/],
    ['X-Sidecar-Error', /uses it itself/],
    ['X-Request-Id', /adds one/],
    ['Idempotency-Key', /idempotency: inject/],
    ['X-HTTP-Method-Override', /after `allow`/],
    ['X-Method-Override', /after `allow`/],
    ['X-HTTP-Method', /after `allow`/],
    ['X-Original-URL', /after `allow`/],
    ['X-Rewrite-URL', /after `allow`/],
    ['traceparent', /differs for each call/],
    ['tracestate', /differs for each call/],
    ['Content-Type', /only the caller knows/],
    ['Content-Encoding', /only the caller knows/],
    ['Range', /incomplete or empty/],
    ['If-None-Match', /incomplete or empty/],
    ['Bad Name', /not the name of a header/],
    ['Name:', /not the name of a header/],
    ['Ümlaut', /not the name of a header/],
    ['', /not the name of a header/],
    ['x'.repeat(65), /at most 64 characters/],
  ])('refuses the name %j with the reason, and never repeats the value', (name, why) => {
    const [problem = '', ...rest] = refusedAs({ [name]: CANARY });
    expect(rest).toEqual([]);
    expect(problem).toMatch(/^routes\.0\.headers\./);
    expect(problem).toMatch(why);
    expect(problem).not.toContain(CANARY);
  });

  it('refuses every name that the sidecar does not forward from a caller, or reads itself', () => {
    const all = [
      ...['host', 'connection', 'expect', 'content-length', 'transfer-encoding', 'x-request-id', 'authorization'],
      ...['x-sidecar-key', 'upgrade', 'traceparent', 'keep-alive', 'proxy-connection', 'te', 'trailer'],
      ...['http2-settings', 'proxy-authorization', 'proxy-authenticate', 'x-sidecar-error', 'via', 'forwarded'],
      ...['x-http-method-override', 'x-http-method', 'x-method-override', 'x-original-url', 'x-rewrite-url'],
      ...['x-original-uri', 'x-forwarded-host', 'sec-fetch-site', 'sec-fetch-mode'],
    ];
    for (const name of all) {
      const { noteAs, isForwarded } = ofRequest(name);
      expect([name, noteAs !== undefined || !isForwarded]).toEqual([name, true]);
      expect([name, refusedAs({ [name]: '1' }).length]).toEqual([name, 1]);
    }
  });

  it.each([
    ['a number', 1, 'routes.0.headers.A must be text in quotes, or a mapping'],
    ['nothing', null, 'routes.0.headers.A must be text in quotes, or a mapping'],
    ['a list', [CANARY], 'routes.0.headers.A must be text in quotes, or a mapping'],
    ['an empty value', '', 'routes.0.headers.A must be printable ASCII, not empty'],
    ['a line break', `${CANARY}\r\nHost: evil`, 'routes.0.headers.A must be printable ASCII'],
    ['a NUL', `${CANARY}\0`, 'routes.0.headers.A must be printable ASCII'],
    ['a letter beyond ASCII', `${CANARY}ø`, 'routes.0.headers.A must be printable ASCII'],
    ['a space at the end', `${CANARY} `, 'routes.0.headers.A must be printable ASCII, not empty, without a space'],
    ['513 characters', CANARY.padEnd(513, 'x'), 'routes.0.headers.A must be at most 512 characters'],
    ['a mapping without value', { override: true }, 'routes.0.headers.A.value is required'],
    ['an unknown option', { value: CANARY, overide: true }, 'routes.0.headers.A.overide unknown option (did you mean'],
    ['a bad value in a mapping', { value: `${CANARY}\n` }, 'routes.0.headers.A.value must be printable ASCII'],
    ['override as text', { value: CANARY, override: 'yes' }, 'routes.0.headers.A.override must be true or false'],
  ])('refuses %s as value, and does not repeat it', (_what, value, message) => {
    const problems = refusedAs({ A: value });
    expect(problems).toEqual([expect.stringContaining(message)]);
    expect(problems.join()).not.toContain(CANARY);
  });

  it.each([
    'Bearer abcdef',
    'basic dXNlcjpwYXNz',
    'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln',
    'token=eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln',
    '-----BEGIN PRIVATE KEY-----',
  ])('refuses %j, which looks like a token or a key', (value) => {
    expect(refusedAs({ A: value })).toEqual([expect.stringContaining('values are not secrets')]);
  });

  it('warns of names that usually have a secret as value', () => {
    using folder = createFolder();
    const yaml = yamlOf({ 'X-Api-Key': CANARY, 'Subscription-Id': '1', 'X-CSRF-Token': 'fetch' });
    const { warnings } = load(folder, { yaml, env: ENV });
    expect(warnings.filter((warning) => warning.startsWith('headers'))).toEqual([
      'headers of /x: X-Api-Key, X-CSRF-Token usually means a secret, and /status shows every value',
    ]);
  });

  it.each(['Authorization_', 'Host.', 'Content_Length-', 'Transfer-Encoding~', '_Cookie', 'X-Sidecar-Error_'])(
    'refuses %s as the name without the odd characters at its ends, as for callers',
    (name) => {
      expect(refusedAs({ [name]: CANARY })).toEqual([expect.stringContaining('cannot be added by a route')]);
    },
  );

  it.each(['subscription-id', 'SUBSCRIPTION-ID', 'Subscription_Id', 'Subscription-Id_'])(
    'refuses the same name again as %s',
    (other) => {
      expect(refusedAs({ 'Subscription-Id': '1', [other]: '2' })).toEqual([
        expect.stringMatching(new RegExp(`^routes\\.0\\.headers\\.${other} occurs twice`)),
      ]);
    },
  );

  it.each(['constructor', 'hasOwnProperty', 'toString'])('keeps %s, a name that every object knows', (name) => {
    expect(headersOf({ [name]: 'v' })).toEqual({ [name]: { value: 'v', override: false } });
  });

  it('refuses __proto__ instead of leaving it out', () => {
    expect(refusedAs({ ['__proto__']: CANARY })).toEqual([
      'routes.0.headers.__proto__ cannot be used as a name: choose another one',
    ]);
  });

  it('accepts sixteen headers and refuses seventeen', () => {
    const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`H-${at}`, '1']));
    expect(Object.keys(headersOf(many(16)) ?? {})).toHaveLength(16);
    expect(refusedAs(many(17))).toEqual([expect.stringContaining('more than 16 headers')]);
  });

  it('is in the JSON Schema with both ways to write it', () => {
    const schema = JSON.stringify(jsonSchema());
    expect(schema).toContain('Header that the route adds to its requests');
  });
});
