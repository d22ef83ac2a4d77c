import { generateKeyPairSync } from 'node:crypto';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { CLIENT_AUTH, type ClientIdentity } from '../../src/oauth/client-auth.ts';

/** Characters that form encoding, base64 and the `:` between the parts all treat in their own way. */
const identity = { clientId: 'a:b', secret: new Secret('p%+ /ü@!&=') };

type Method = keyof typeof CLIENT_AUTH;

const TOKEN_ENDPOINT = 'https://id.example/connect/token';

async function apply(method: Method, proof: ClientIdentity = identity) {
  const form = new URLSearchParams({ grant_type: 'client_credentials' });
  const headers: Record<string, string> = {};
  await CLIENT_AUTH[method](proof)({ form, headers, audience: TOKEN_ENDPOINT });
  return { form, headers };
}

describe('src/oauth/client-auth.ts', () => {
  it('client_secret_post puts id and secret into the form, and nothing into the headers', async () => {
    const { form, headers } = await apply('client_secret_post');
    const read = new URLSearchParams(form.toString());
    expect([read.get('client_id'), read.get('client_secret')]).toEqual(['a:b', 'p%+ /ü@!&=']);
    expect(headers).toEqual({});
  });

  it('client_secret_basic form-encodes both parts before base64, and puts nothing into the form', async () => {
    const { form, headers } = await apply('client_secret_basic');
    const pair = Buffer.from(String(headers['authorization']).replace(/^Basic /, ''), 'base64').toString('ascii');
    const [id = '', secret = '', ...rest] = pair.split(':');
    expect(rest).toEqual([]);
    expect([id, secret].map((part) => new URLSearchParams(`x=${part}`).get('x'))).toEqual(['a:b', 'p%+ /ü@!&=']);
    expect([...form.keys()]).toEqual(['grant_type']);
  });

  it.each([
    ['RSA', 'RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['P-256', 'ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['P-384', 'ES384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ])('private_key_jwt signs a fresh assertion with a %s key, as PEM and as JWK', async (_type, alg, pair) => {
    const pem = String(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const jwk = JSON.stringify({ ...pair.privateKey.export({ format: 'jwk' }), kid: 'key-1' });
    const ids: unknown[] = [];
    for (const text of [pem, jwk, pem]) {
      const { form, headers } = await apply('private_key_jwt', { clientId: 'my-erp', secret: new Secret(text) });
      expect(headers).toEqual({});
      expect(form.get('client_secret')).toBeNull();
      expect(form.get('client_assertion_type')).toBe('urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
      const { payload, protectedHeader } = await jwtVerify(form.get('client_assertion') ?? '', pair.publicKey, {
        issuer: 'my-erp',
        subject: 'my-erp',
        audience: TOKEN_ENDPOINT,
        requiredClaims: ['exp', 'iat', 'jti'],
        maxTokenAge: '60s',
      });
      expect(protectedHeader).toEqual(text === jwk ? { alg, kid: 'key-1' } : { alg });
      ids.push(payload.jti);
    }
    expect(new Set(ids).size).toBe(3);
  });

  it('private_key_jwt takes kid and algorithm of the configuration over those of the key', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const secret = new Secret(JSON.stringify({ ...privateKey.export({ format: 'jwk' }), kid: 'own', alg: 'RS512' }));
    const { form } = await apply('private_key_jwt', { clientId: 'my-erp', secret, kid: 'configured', alg: 'PS256' });
    const header = decodeProtectedHeader(form.get('client_assertion') ?? '');
    expect(header).toEqual({ alg: 'PS256', kid: 'configured' });
  });
});
