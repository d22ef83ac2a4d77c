/** The sidecar against `oauth2-mock-server`, which signs JWTs and publishes discovery and keys at paths of its own. */
import { decodeJwt } from 'jose';
import { Events, OAuth2Server } from 'oauth2-mock-server';
import { describe, expect, it, onTestFinished } from 'vitest';
import { answerAfterHead, ok, startRawUpstream } from '../support/raw.ts';
import { startTestSidecar } from '../support/sidecar.ts';

const AUDIENCE = 'https://api.example/banking';

interface Options {
  readonly credential?: Readonly<Record<string, unknown>>;
  readonly byIssuer?: boolean;
  readonly trailingSlash?: boolean;
}

async function createWorld({ credential = {}, byIssuer = true, trailingSlash = false }: Options = {}) {
  const server = new OAuth2Server(undefined, undefined, { shouldIssuerUrlBeSuffixedWithATralingSlash: trailingSlash });
  await server.issuer.keys.generate('RS256');
  await server.start(0, '127.0.0.1');
  const url = `http://127.0.0.1:${server.address().port}`;
  server.issuer.url = url;
  server.service.on(Events.BeforeTokenSigning, (token: { payload: Record<string, unknown> }) => {
    token.payload['aud'] = AUDIENCE;
  });
  const upstream = await startRawUpstream(answerAfterHead(ok('hello')));
  const sidecar = await startTestSidecar({
    upstream: upstream.url,
    tokenEndpoint: `${url}/token`,
    // Where none is to be had, callers wait for the next try.
    config: { token: { waitTimeout: '900ms' } },
    credential: { ...(byIssuer && { issuer: url, tokenEndpoint: undefined }), ...credential },
  });
  onTestFinished(async () => {
    await sidecar.stop();
    await Promise.all([upstream.close(), server.stop()]);
  });
  // On a busy machine a first handshake takes longer than a caller waits here.
  await sidecar.firstTokens().catch(() => undefined);
  return {
    url,
    server,
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

describe('oauth2-mock-server', () => {
  it.each([
    ['discovery', true],
    ['a fixed token endpoint', false],
  ])('grants a token that reaches the API, found by %s', async (_how, byIssuer) => {
    const { url, call, token } = await createWorld({ byIssuer });
    expect(await call()).toEqual({ status: 200, code: null });
    expect(decodeJwt(token())).toMatchObject({ iss: url, aud: AUDIENCE, scope: 'api' });
  });

  it.each(['client_secret_post', 'client_secret_basic'])('is asked once for many calls by %s', async (auth) => {
    const { server, call } = await createWorld({ credential: { auth } });
    let later = 0;
    expect(await call()).toEqual({ status: 200, code: null });
    server.service.on(Events.BeforeTokenSigning, () => {
      later += 1;
    });
    const answers = await Promise.all(Array.from({ length: 20 }, call));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(later).toBe(0);
  });

  it('has its token verified against its keys, for the audience it states', async () => {
    const { call } = await createWorld({ credential: { verify: true, audience: AUDIENCE } });
    expect(await call()).toEqual({ status: 200, code: null });
  });

  it('has a token for another audience refused before the API sees it', async () => {
    const { call, upstream, sidecar } = await createWorld({ credential: { verify: true, audience: 'other' } });
    expect(await call()).toEqual({ status: 503, code: 'TOKEN_UNAVAILABLE' });
    expect(upstream.connections).toBe(0);
    expect(sidecar.logs).toContainEqual(expect.objectContaining({ result: 'not_verified' }));
  });

  it('is refused when it states its issuer with a trailing slash that was not configured', async () => {
    const { call, sidecar } = await createWorld({ trailingSlash: true });
    expect(await call()).toEqual({ status: 503, code: 'TOKEN_UNAVAILABLE' });
    expect(sidecar.logs).toContainEqual(expect.objectContaining({ result: 'discovery_mismatch' }));
  });
});
