// What a token's own claims say when an API finds it invalid, whatever the claims hold.
import { describe, expect, it } from 'vitest';
import { whyInvalid } from '../../src/check/claims.ts';
import { Secret } from '../../src/core/secret.ts';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const NOW_S = NOW / 1000;
const HOST = 'banking.zdata.io';
const FINE = { iss: 'https://id.aritma.io', aud: 'banking', scope: 'api', exp: NOW_S + 3600 };

function why(claims: unknown, host = HOST) {
  const part = (value: unknown) =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  return whyInvalid(new Secret(`Bearer ${part({ alg: 'RS256' })}.${part(claims)}.CANARY`), host, NOW);
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
