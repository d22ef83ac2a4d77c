// What a token's own claims say when an API finds it invalid, whatever the claims hold.
import { describe, expect, it } from 'vitest';
import { type Refused, whyRefused } from '../../src/check/claims.ts';
import { Secret } from '../../src/core/secret.ts';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const NOW_S = NOW / 1000;
const HOST = 'banking.zdata.io';
const FINE = { iss: 'https://id.aritma.io', aud: 'banking', scope: 'api', exp: NOW_S + 3600 };

function why(claims: unknown, host = HOST, more: Partial<Refused> = {}) {
  const part = (value: unknown) =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const authorization = new Secret(`Bearer ${part({ alg: 'RS256' })}.${part(claims)}.CANARY`);
  const target = { scope: undefined, audience: undefined, resource: undefined };
  const route = { target, issuer: undefined, tenant: undefined, needs: [] };
  return whyRefused({ authorization, status: 401, host, now: NOW, ...route, ...more });
}

describe('check/claims', () => {
  it.each([
    [
      'dev at prod',
      { ...FINE, iss: 'https://id.dev.aritma.io' },
      HOST,
      /comes from \S*id\.dev\.aritma\.io, .*another environment/,
    ],
    ['prod at dev', FINE, 'banking.dev.zdata.io', /another environment than banking\.dev/],
    ['test at dev', { ...FINE, iss: 'https://id-test.aritma.io' }, 'banking.dev.zdata.io', /another environment/],
    ['expired', { ...FINE, exp: NOW_S - 90 }, HOST, /expired 90 s ago/],
    ['not yet valid', { ...FINE, nbf: NOW_S + 600 }, HOST, /becomes valid only in 600 s/],
    ['without audience', { ...FINE, aud: [] }, HOST, /has no audience/],
    [
      'nothing wrong to be seen',
      FINE,
      HOST,
      /issuer https:\/\/id\.aritma\.io, audience banking, scope api and is valid for 3600 s/,
    ],
    ['scopes as a list', { ...FINE, scope: ['a', 'b'] }, HOST, /scope a b/],
    ['no scope', { ...FINE, scope: undefined }, HOST, /scope none/],
    ['dev at dev', { ...FINE, iss: 'https://id.dev.aritma.io' }, 'banking.dev.zdata.io', /has issuer/],
    ['an API by its address', { ...FINE, iss: 'https://id.dev.aritma.io' }, '10.0.0.1', /has issuer/],
    ['an API on this machine', { ...FINE, iss: 'https://id.dev.aritma.io' }, 'localhost', /has issuer/],
    ['an issuer that is no URL', { ...FINE, iss: 'dev' }, HOST, /has issuer dev/],
  ])('explain a refusal: %s', (_what, claims, host, message) => {
    expect(why(claims, host).message).toMatch(message);
  });

  const target = (more: object) => ({ scope: undefined, audience: undefined, resource: undefined, ...more });
  it.each<[string, object, Partial<Refused>, RegExp]>([
    [
      'scope of the route, as text',
      FINE,
      { target: target({ scope: 'api events' }) },
      /^token_scope_missing: .*asks for the scope events.*has: api/,
    ],
    [
      'scope of the route, as a list',
      { ...FINE, scope: undefined, scp: ['api'] },
      { target: target({ scope: 'api x' }) },
      /^token_scope_missing: .*the scope x,/,
    ],
    [
      'scope of the route, where the token names none at all',
      { ...FINE, scope: undefined },
      { target: target({ scope: 'api' }) },
      /^undefined: /,
    ],
    [
      'scope that the API names',
      FINE,
      { needs: ['pay'], status: 403 },
      /^token_scope_missing: the API needs the scope pay/,
    ],
    ['scope that it has', FINE, { needs: ['api'], status: 403 }, /^undefined: /],
    [
      'audience of the route',
      FINE,
      { target: target({ audience: 'events' }) },
      /^token_audience_differs: .*for banking, not .* events/,
    ],
    ['issuer of the configuration', FINE, { issuer: 'https://other.example' }, /^token_issuer_differs: .*other/],
    ['tenant, claim tid', { ...FINE, tid: 'a' }, { tenant: 'b' }, /^token_tenant_differs: .*tenant a, .*TenantId b/],
    ['tenant, claim TenantId', { ...FINE, TenantId: 'a' }, { tenant: 'b', status: 403 }, /^token_tenant_differs: /],
    ['tenant that is the same', { ...FINE, tenant_id: 'b' }, { tenant: 'b' }, /^undefined: /],
    ['time, at 401', { ...FINE, exp: NOW_S - 5 }, {}, /^token_expired: /],
    ['time, but not at 403, where the API has read it', { ...FINE, exp: NOW_S - 5 }, { status: 403 }, /^undefined: /],
  ])('are compared with the route: %s', (_what, claims, more, said) => {
    const { cause, message } = why(claims, HOST, more);
    expect(`${cause}: ${message}`).toMatch(said);
  });

  it('says that a token is opaque', () => {
    expect(why('no JSON').message).toMatch(/not a JWT but opaque/);
  });

  it.each([
    ['{"iss":{},"aud":{"a":1},"exp":1e999,"iat":"x","nbf":[],"scope":7}'],
    ['{"iss":["x"],"aud":[1,null],"exp":"","nbf":-1e999,"scope":{"a":[]}}'],
    ['{"aud":"\\u001b[2J\\u202e","iss":"\\u0000","exp":99999999999999999999,"scope":null}'],
    ['{}'],
    ['[]'],
    ['null'],
    ['7'],
    ['no JSON'],
    [`{"aud":${JSON.stringify(Array(20_000).fill('x'))}}`],
  ])('are only ever input: %.60s', (claims) => {
    const { message, fix } = why(claims);
    expect(message.length + fix.length).toBeLessThan(900);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal would obey
    expect(message).not.toMatch(/[\u0000-\u001f\u202e]|NaN|Infinity|CANARY/);
  });
});
