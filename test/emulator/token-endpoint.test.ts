import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { createWorld, DEMO_SECRET, type World } from './harness.ts';

const GRANT = { grant_type: 'client_credentials', client_id: 'demo-erp', client_secret: DEMO_SECRET, scope: 'api' };
const FORM = 'application/x-www-form-urlencoded';

const CLIENTS = [
  DEMO_CLIENT,
  { ...DEMO_CLIENT, clientId: 'off', enabled: false },
  { ...DEMO_CLIENT, clientId: 'code-only', allowedGrantTypes: ['authorization_code'] },
  { ...DEMO_CLIENT, clientId: 'scopeless', allowedScopes: ['openid'] },
  { ...DEMO_CLIENT, clientId: 'brief', tokenLifetimeS: 60 },
  { ...DEMO_CLIENT, clientId: 'full', allowedScopes: ['services.iam', 'api', 'openid', 'offline_access'] },
];

let world: World;
beforeAll(async () => {
  world = await createWorld({ clients: CLIENTS });
});
afterAll(() => world[Symbol.asyncDispose]());

const send = (body: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${world.url}/connect/token`, { method: 'POST', body, headers: { 'content-type': FORM, ...headers } });

const encode = (form: Record<string, string>): string => new URLSearchParams(form).toString();

const without = (...names: string[]): string =>
  encode(Object.fromEntries(Object.entries(GRANT).filter(([name]) => !names.includes(name))));

describe('src/emulator/token-endpoint.ts refusals', () => {
  const rows: [condition: string, error: string, body: string, headers?: Record<string, string>][] = [
    ['the media type is JSON', 'invalid_request', JSON.stringify(GRANT), { 'content-type': 'application/json' }],
    ['the media type is a longer name', 'invalid_request', encode(GRANT), { 'content-type': `${FORM}2` }],
    ['the media type is nonsense', 'invalid_request', encode(GRANT), { 'content-type': 'foo' }],
    ['the form holds a NUL', 'invalid_request', `${without('scope')}&scope=%00`],
    ['the form holds a broken escape', 'invalid_request', `${without('scope')}&scope=%zz`],
    ['the form holds no UTF-8', 'invalid_request', `${without('scope')}&scope=%ff`],
    ['a parameter is repeated', 'invalid_request', `${encode(GRANT)}&scope=api`],
    ['the form is too large', 'invalid_request', `${encode(GRANT)}&x=${'y'.repeat(70_000)}`],
    ['the body is empty', 'invalid_request', ''],
    ['the client id is missing', 'invalid_request', without('client_id')],
    ['the client id has 101 characters', 'invalid_request', encode({ ...GRANT, client_id: 'x'.repeat(101) })],
    ['the secret has 101 characters', 'invalid_request', encode({ ...GRANT, client_secret: 'x'.repeat(101) })],
    [
      'the client id has 100 characters and is unknown',
      'invalid_client',
      encode({ ...GRANT, client_id: 'x'.repeat(100) }),
    ],
    ['the client is disabled', 'invalid_client', encode({ ...GRANT, client_id: 'off' })],
    ['the client id differs in case', 'invalid_client', encode({ ...GRANT, client_id: 'Demo-ERP' })],
    ['the secret is missing', 'invalid_client', without('client_secret')],
    ['the secret is empty', 'invalid_client', encode({ ...GRANT, client_secret: '' })],
    ['the secret is wrong', 'invalid_client', encode({ ...GRANT, client_secret: `${DEMO_SECRET}x` })],
    ['secret and grant are wrong', 'invalid_client', encode({ ...GRANT, client_secret: 'x', grant_type: 'y' })],
    ['the grant type is missing', 'unsupported_grant_type', without('grant_type')],
    ['the grant type is empty', 'unsupported_grant_type', encode({ ...GRANT, grant_type: '' })],
    ['the grant type is too long', 'unsupported_grant_type', encode({ ...GRANT, grant_type: 'x'.repeat(101) })],
    [
      'the grant is too long and a resource is named',
      'unsupported_grant_type',
      encode({ ...GRANT, grant_type: 'x'.repeat(101), resource: 'urn:x' }),
    ],
    ['a resource is named', 'invalid_target', encode({ ...GRANT, resource: 'urn:x' })],
    [
      'a resource is named and the grant is unknown',
      'invalid_target',
      encode({ ...GRANT, resource: 'urn:x', grant_type: 'y' }),
    ],
    ['the grant type is unknown', 'unsupported_grant_type', encode({ ...GRANT, grant_type: 'urn:x:y' })],
    ['the grant is not allowed for the client', 'unauthorized_client', encode({ ...GRANT, client_id: 'code-only' })],
    [
      'the grant is not allowed and the scope unknown',
      'unauthorized_client',
      encode({ ...GRANT, client_id: 'code-only', scope: 'x' }),
    ],
    ['the scope has 301 characters', 'invalid_scope', encode({ ...GRANT, scope: `api${' '.repeat(298)}` })],
    ['the scope is unknown', 'invalid_scope', encode({ ...GRANT, scope: 'x' })],
    ['one scope of two is not allowed', 'invalid_scope', encode({ ...GRANT, scope: 'api services.iam' })],
    [
      'an allowed identity scope is asked',
      'invalid_scope',
      encode({ ...GRANT, client_id: 'full', scope: 'api openid' }),
    ],
    ['offline_access is asked', 'invalid_scope', encode({ ...GRANT, client_id: 'full', scope: 'api offline_access' })],
    [
      'no scope is asked and none can be given',
      'invalid_scope',
      encode({ ...GRANT, client_id: 'scopeless', scope: ' ' }),
    ],
  ];

  it.each(rows)('answers 400 when %s: %s', async (_condition, error, body, headers) => {
    const response = await send(body, headers);
    expect(response.status).toBe(400);
    expect(await response.text()).toBe(JSON.stringify({ error }));
    expect(response.headers.get('content-type')).toBe('application/json; charset=UTF-8');
    expect(response.headers.get('cache-control')).toBe('no-store, no-cache, max-age=0');
    expect(response.headers.get('pragma')).toBe('no-cache');
    expect(response.headers.has('www-authenticate')).toBe(false);
  });

  it.each(['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])('answers 400 to %s instead of 405', async (method) => {
    const response = await fetch(`${world.url}/connect/token`, { method });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error: 'invalid_request' });
  });

  it('answers 400 to PUT even with a perfect form', async () => {
    const response = await fetch(`${world.url}/connect/token`, { method: 'PUT', body: new URLSearchParams(GRANT) });
    expect(response.status).toBe(400);
  });

  it('answers 400 to HEAD without a body', async () => {
    const response = await fetch(`${world.url}/connect/token`, { method: 'HEAD' });
    expect([response.status, await response.text()]).toEqual([400, '']);
  });
});

describe('src/emulator/token-endpoint.ts grants', () => {
  it('answers the four fields in order, with the no-store headers', async () => {
    const response = await world.askToken(GRANT);
    const body = (await response.json()) as Record<string, unknown>;
    expect(response.status).toBe(200);
    expect(Object.keys(body)).toEqual(['access_token', 'expires_in', 'token_type', 'scope']);
    expect(body).toMatchObject({ expires_in: 3600, token_type: 'Bearer', scope: 'api' });
    expect(response.headers.get('content-type')).toBe('application/json; charset=UTF-8');
    expect(response.headers.get('cache-control')).toBe('no-store, no-cache, max-age=0');
    expect(response.headers.get('pragma')).toBe('no-cache');
  });

  it('signs exactly the eight claims, under an at+jwt header', async () => {
    const token = await world.token();
    const claims = decodeJwt(token);
    const issuedAt = world.clock.ms / 1000;
    expect(Object.keys(claims)).toEqual(['iss', 'nbf', 'iat', 'exp', 'aud', 'scope', 'client_id', 'jti']);
    expect(claims).toMatchObject({ iss: world.url, nbf: issuedAt, iat: issuedAt, exp: issuedAt + 3600 });
    expect(claims).toMatchObject({ aud: 'aritma.api', scope: ['api'], client_id: 'demo-erp' });
    expect(claims.jti).toMatch(/^[0-9A-F]{32}$/);
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'RS256', kid: expect.any(String), typ: 'at+jwt' });
  });

  it('lists several audiences as an array, when the scopes belong to several APIs', async () => {
    expect(decodeJwt(await world.token('services.banking api')).aud).toEqual(['aritma.api', 'aritma.banking']);
    expect(decodeJwt(await world.token('services.iam', 'full')).aud).toBe('aritma.iam');
  });

  it('hands out a fresh token each time', async () => {
    expect(decodeJwt(await world.token()).jti).not.toBe(decodeJwt(await world.token()).jti);
  });

  it('removes repeated scopes and sorts the rest', async () => {
    const response = await world.askToken({ ...GRANT, scope: ' services.banking  api services.banking ' });
    expect(await response.json()).toMatchObject({ scope: 'api services.banking' });
  });

  it.each([
    ['omitted', without('scope', 'client_id')],
    ['blank', `${without('scope', 'client_id')}&scope=+`],
  ])('grants all API scopes of the client and no identity scope, when scope is %s', async (_case, body) => {
    const response = await send(`${body}&client_id=full`);
    expect(await response.json()).toMatchObject({ scope: 'api services.iam' });
  });

  it('accepts a scope of 300 characters', async () => {
    expect((await world.askToken({ ...GRANT, scope: `api${' '.repeat(297)}` })).status).toBe(200);
  });

  it('gives a client its own token lifetime', async () => {
    const response = await world.askToken({ ...GRANT, client_id: 'brief' });
    const body = (await response.json()) as { access_token: string; expires_in: number };
    const { exp = 0, iat = 0 } = decodeJwt(body.access_token);
    expect([body.expires_in, exp - iat]).toEqual([60, 60]);
  });

  it.each([`${FORM}; charset=utf-8`, 'Application/X-WWW-Form-URLEncoded', `${FORM} ;charset=x`])(
    'accepts the media type %s',
    async (mediaType) => {
      expect((await send(encode(GRANT), { 'content-type': mediaType })).status).toBe(200);
    },
  );

  it('names the origin of the request as issuer, in lower case', async () => {
    const { port } = new URL(world.url);
    const headers = { host: `Id.EXAMPLE:${port}`, 'content-type': FORM };
    // node:http, because fetch lets nobody choose the Host.
    const request = httpRequest(`${world.url}/connect/token`, { method: 'POST', headers });
    request.end(encode(GRANT));
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const body = Buffer.concat(await response.toArray()).toString();
    const { access_token } = JSON.parse(body) as { access_token: string };
    expect(decodeJwt(access_token).iss).toBe(`http://id.example:${port}`);
  });
});
