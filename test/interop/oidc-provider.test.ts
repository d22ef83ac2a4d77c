/** The sidecar against a certified OpenID provider: every way to authenticate, by discovery and by fixed endpoint. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { decodeJwt } from 'jose';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RESOURCE, startIdentityProvider } from '../support/identity-provider.ts';
import { answerAfterHead, ok, startRawUpstream } from '../support/raw.ts';
import { startTestSidecar } from '../support/sidecar.ts';

const CLIENT_ID = 'interop-erp';
const SECRET = 'canary %+:/ &=?~ %41 never-printed';

interface Setup {
  /** Client metadata beside the id, as the provider knows it. */
  readonly client: Readonly<Record<string, unknown>>;
  /** Content of the sidecar's secret file. */
  readonly secret: string;
  readonly credential: Readonly<Record<string, unknown>>;
  readonly how?: How;
}

type How = 'issuer' | 'tokenEndpoint';

async function createWorld({ client, secret, credential, how = 'issuer' }: Setup) {
  const provider = await startIdentityProvider({ client_id: CLIENT_ID, ...client });
  const upstream = await startRawUpstream(answerAfterHead(ok('hello')));
  const sidecar = await startTestSidecar({
    upstream: upstream.url,
    tokenEndpoint: provider.tokenEndpoint,
    // Where none is to be had, callers wait for the next try.
    config: { token: { waitTimeout: '900ms' } },
    clientId: CLIENT_ID,
    secret,
    credential: {
      ...(how === 'issuer' && { issuer: provider.issuer, tokenEndpoint: undefined }),
      resource: RESOURCE,
      ...credential,
    },
  });
  onTestFinished(async () => {
    await sidecar.stop();
    await Promise.all([upstream.close(), provider.close()]);
  });
  // On a busy machine a first handshake takes longer than a caller waits here.
  await sidecar.firstTokens().catch(() => undefined);
  return {
    provider,
    upstream,
    sidecar,
    async call() {
      const answer = await fetch(`${sidecar.url}/api/x`, { signal: AbortSignal.timeout(10_000) });
      await answer.arrayBuffer();
      return { status: answer.status, code: answer.headers.get('x-sidecar-error') };
    },
    token: () => /\r\nauthorization: bearer (\S+)\r\n/i.exec(upstream.received.join(''))?.[1] ?? '',
  };
}

const secretClient = (method: string): Setup => ({
  client: { client_secret: SECRET, token_endpoint_auth_method: method },
  secret: SECRET,
  credential: { auth: method },
});

function keyClient({ publicKey, privateKey }: Pair, format: 'pkcs8' | 'sec1' | 'pkcs1' | 'jwk', kid?: string): Setup {
  const jwk = { ...publicKey.export({ format: 'jwk' }), use: 'sig', ...(kid !== undefined && { kid }) };
  const pem = () => privateKey.export({ format: 'pem', type: format === 'jwk' ? 'pkcs8' : format }).toString();
  const written = () => JSON.stringify({ ...privateKey.export({ format: 'jwk' }), ...(kid !== undefined && { kid }) });
  const alg = privateKey.asymmetricKeyType === 'rsa' ? 'RS256' : 'ES256';
  return {
    client: {
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: alg,
      jwks: { keys: [jwk] },
    },
    secret: format === 'jwk' ? written() : pem(),
    credential: { auth: 'private_key_jwt' },
  };
}

interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const METHODS: readonly (readonly [string, Setup])[] = [
  ['client_secret_post', secretClient('client_secret_post')],
  ['client_secret_basic with %, +, :, / and spaces in the secret', secretClient('client_secret_basic')],
  ['private_key_jwt with an RSA key as PKCS#8 PEM', keyClient(RSA, 'pkcs8')],
  ['private_key_jwt with an RSA key as PKCS#1 PEM', keyClient(RSA, 'pkcs1')],
  ['private_key_jwt with an RSA key as JWK', keyClient(RSA, 'jwk', 'rsa-1')],
  ['private_key_jwt with an EC key as PKCS#8 PEM', keyClient(EC, 'pkcs8')],
  ['private_key_jwt with an EC key as SEC 1 PEM', keyClient(EC, 'sec1')],
  ['private_key_jwt with an EC key as JWK', keyClient(EC, 'jwk', 'ec-1')],
];
const WAYS = METHODS.flatMap(([name, setup]) =>
  (['issuer', 'tokenEndpoint'] as const).map((how) => [name, how, setup] as const),
);

describe('oidc-provider', () => {
  it.each(WAYS)('grants a token that reaches the API by %s, found by %s', async (_name, how, setup) => {
    const { provider, sidecar, call, token } = await createWorld({ ...setup, how });
    expect(await call()).toEqual({ status: 200, code: null });
    const expected = { iss: provider.issuer, client_id: CLIENT_ID, aud: RESOURCE, scope: 'api' };
    expect(decodeJwt(token())).toMatchObject(expected);
    expect(sidecar.rawLogs.join('')).not.toMatch(/never-printed|PRIVATE KEY/);
    expect(sidecar.rawLogs.join('')).not.toContain(token());
  });

  it('takes an opaque token as it is when no resource is asked for', async () => {
    const { credential, ...setup } = secretClient('client_secret_post');
    const { call, token } = await createWorld({ ...setup, credential: { ...credential, resource: undefined } });
    expect(await call()).toEqual({ status: 200, code: null });
    expect(token()).toMatch(/^[\w-]{20,}$/);
  });

  it.each(['client_secret_post', 'client_secret_basic'])(
    'refuses a wrong secret by %s, which the caller sees as CREDENTIALS_REJECTED',
    async (method) => {
      const wrong = 'canary-wrong-never-printed';
      const { call, upstream, sidecar } = await createWorld({ ...secretClient(method), secret: wrong });
      expect(await call()).toEqual({ status: 503, code: 'CREDENTIALS_REJECTED' });
      expect(upstream.connections).toBe(0);
      expect(sidecar.logs).toContainEqual(expect.objectContaining({ result: 'invalid_client' }));
      expect(sidecar.rawLogs.join('')).not.toContain('never-printed');
    },
  );

  it('refuses an assertion by a key it does not know, which the caller sees as CREDENTIALS_REJECTED', async () => {
    const { client, credential } = keyClient(RSA, 'pkcs8');
    const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const { call, upstream } = await createWorld({ client, credential, secret: keyClient(stranger, 'pkcs8').secret });
    expect(await call()).toEqual({ status: 503, code: 'CREDENTIALS_REJECTED' });
    expect(upstream.connections).toBe(0);
  });
});

describe('oidc-provider with verify', () => {
  const verified = (more: Readonly<Record<string, unknown>>): Setup => {
    const { credential, ...setup } = secretClient('client_secret_post');
    return { ...setup, credential: { ...credential, verify: true, ...more } };
  };

  it.each([
    ['any audience', {}],
    ['the audience of the API', { audience: RESOURCE }],
  ])('has its JWT access token accepted for %s', async (_what, more) => {
    const { call } = await createWorld(verified(more));
    expect(await call()).toEqual({ status: 200, code: null });
  });

  it.each([
    ['for another audience', { audience: 'https://api.example/other' }],
    ['that is opaque', { resource: undefined }],
  ])('has a token %s refused before the API sees it', async (_what, more) => {
    const { call, upstream, sidecar } = await createWorld(verified(more));
    expect(await call()).toEqual({ status: 503, code: 'TOKEN_UNAVAILABLE' });
    expect(upstream.connections).toBe(0);
    expect(sidecar.logs).toContainEqual(expect.objectContaining({ result: 'not_verified' }));
  });
});
