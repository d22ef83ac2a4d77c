import fc from 'fast-check';
import { Pool } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { sendTokenRequest } from '../../src/oauth/token-endpoint.ts';
import { interpretTokenResponse, type TokenResponse } from '../../src/oauth/token-response.ts';
import { PATIENCE_MS } from '../support/own-time.ts';
import { startRawUpstream } from '../support/raw.ts';
import { grant, json, startTokenServer, type TokenAnswerer } from '../support/token-server.ts';

const NOW = Date.UTC(2026, 0, 1);
const TOKEN = { access_token: 'abc.DEF-_~+/==', token_type: 'Bearer', expires_in: 3600 };

function judge(status: number, body: unknown, headers: Record<string, string> = {}): TokenResponse {
  return interpretTokenResponse({ status, headers, body: typeof body === 'string' ? body : JSON.stringify(body) }, NOW);
}

function jwt(claims: Record<string, unknown>): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'none' })}.${part(claims)}.x`;
}

const lifetime = (fields: Record<string, unknown>) => {
  const answer = judge(200, { ...TOKEN, ...fields });
  return answer.kind === 'token' ? answer.lifetimeS : answer.result;
};

describe('src/oauth/token-endpoint.ts: judging', () => {
  it('takes a token response and keeps the token out of sight', () => {
    const answer = judge(200, { ...TOKEN, scope: 'api', unknown_member: 1 });
    expect(answer).toMatchObject({ kind: 'token', lifetimeS: 3600, assumedLifetime: false });
    expect(answer.kind === 'token' && answer.authorization.reveal()).toBe('Bearer abc.DEF-_~+/==');
    expect(JSON.stringify(answer)).not.toContain('abc');
  });

  it.each(['bearer', 'BEARER', 'Bearer'])('takes token_type %s and always says Bearer', (token_type) => {
    const answer = judge(200, { ...TOKEN, token_type });
    expect(answer.kind === 'token' && answer.authorization.reveal()).toMatch(/^Bearer /);
  });

  it.each([['mac'], ['DPoP'], [undefined], [1], ['']])('refuses token_type %s', (token_type) => {
    expect(judge(200, { ...TOKEN, token_type })).toEqual({ kind: 'malformed', result: 'bad_token_type' });
  });

  it.each([
    ['empty', ''],
    ['with a line break', 'a\r\nX: y'],
    ['with NUL', 'a\0'],
    ['with a space', 'a b'],
    ['with a comma', 'a,b'],
    ['that is not ASCII', 'é'],
    ['of 100 KB', 'a'.repeat(100_000)],
    ['that is a number', 7],
    ['that is missing', undefined],
  ])('refuses a token %s', (_what, access_token) => {
    expect(judge(200, { ...TOKEN, access_token })).toEqual({ kind: 'malformed', result: 'bad_token' });
  });

  it.each([
    [3600, 3600],
    ['3600', 3600],
    [3600.9, 3600],
    ['12.7', 12],
    [1e99, 86_400],
    [5, 5],
    [0, 'bad_expires_in'],
    [0.5, 'bad_expires_in'],
    [-1, 'bad_expires_in'],
    ['abc', 'bad_expires_in'],
    ['-5', 'bad_expires_in'],
    [null, 'bad_expires_in'],
    [[3600], 'bad_expires_in'],
    [true, 'bad_expires_in'],
  ])('reads expires_in %j as %s', (expires_in, expected) => {
    expect(lifetime({ expires_in })).toBe(expected);
  });

  it('takes the lifetime a JWT states where expires_in is missing, and the shorter of the two where both are there', () => {
    const iat = NOW / 1000 - 7200;
    expect(lifetime({ access_token: jwt({ iat, exp: iat + 900 }), expires_in: undefined })).toBe(900);
    expect(lifetime({ access_token: jwt({ iat, exp: iat + 900 }) })).toBe(900);
    expect(lifetime({ access_token: jwt({ iat, exp: iat + 7200 }) })).toBe(3600);
    expect(lifetime({ access_token: jwt({ exp: NOW / 1000 + 60 }), expires_in: undefined })).toBe(60);
    expect(lifetime({ access_token: jwt({ iat, exp: iat - 1 }) })).toBe('bad_expires_in');
  });

  it('assumes 300 s for an opaque token without expires_in, and says so', () => {
    expect(judge(200, { ...TOKEN, expires_in: undefined })).toMatchObject({ lifetimeS: 300, assumedLifetime: true });
  });

  it.each(['invalid_client', 'unauthorized_client', 'invalid_scope', 'unsupported_grant_type', 'invalid_request'])(
    'calls %s a rejection with status 400, 401 and even 200',
    (error) => {
      for (const status of [200, 400, 401])
        expect(judge(status, { error })).toEqual({ kind: 'rejected', result: error });
    },
  );

  it('calls an unknown error code unavailable and keeps its text out of the result', () => {
    expect(judge(400, { error: 'server_error' })).toMatchObject({ kind: 'unavailable', result: 'oauth_other' });
    expect(JSON.stringify(judge(400, { error: 'x'.repeat(999) }))).not.toContain('xx');
  });

  it.each([500, 502, 503, 504, 599, 429, 408])('calls status %i unavailable whatever the body says', (status) => {
    expect(judge(status, { error: 'invalid_client' }).kind).toBe('unavailable');
  });

  it.each([
    ['seconds', '7', 7],
    ['a date', new Date(NOW + 9000).toUTCString(), 9],
    ['more than five minutes', '99999', 300],
    ['a past date', new Date(NOW - 9000).toUTCString(), undefined],
    ['a negative number', '-5', undefined],
    ['garbage', 'soon', undefined],
  ])('reads Retry-After given as %s', (_what, value, retryAfterS) => {
    expect(judge(503, '', { 'retry-after': value })).toMatchObject({ kind: 'unavailable', retryAfterS });
  });

  it.each([
    ['HTML', '<html>'],
    ['a truncated object', '{"access_token":"a'],
    ['an array', '[]'],
    ['null', 'null'],
    ['a string', '"x"'],
    ['nothing', ''],
  ])('calls %s nonsense', (_what, body) => {
    expect(judge(200, body)).toEqual({ kind: 'malformed', result: 'not_json' });
  });

  it('reads JSON behind a byte order mark', () => {
    expect(judge(200, `\uFEFF${JSON.stringify(TOKEN)}`).kind).toBe('token');
  });

  it.each([301, 302, 307, 308])('calls redirect %i nonsense', (status) => {
    expect(judge(status, TOKEN)).toEqual({ kind: 'malformed', result: 'redirect' });
  });

  it('gives one of four outcomes and never a token with a bad syntax, whatever the bytes', () => {
    const bodies = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .record({ access_token: fc.string(), token_type: fc.constantFrom('Bearer', 'x'), expires_in: fc.anything() })
        .map((body) => JSON.stringify(body)),
    );
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 999 }), bodies, (status, body) => {
        const answer = judge(status, body);
        expect(['token', 'rejected', 'unavailable', 'malformed']).toContain(answer.kind);
        if (answer.kind !== 'token') return;
        expect(answer.authorization.reveal()).toMatch(/^Bearer [A-Za-z0-9\-._~+/]+=*$/);
        expect(answer.lifetimeS).toBeGreaterThanOrEqual(1);
        expect(answer.lifetimeS).toBeLessThanOrEqual(86_400);
      }),
    );
  });
});

async function send(answerer: TokenAnswerer, deadlineMs = PATIENCE_MS) {
  const server = await startTokenServer();
  server.answerWith(answerer);
  const url = new URL(server.url);
  const dispatcher = new Pool(url.origin);
  onTestFinished(async () => {
    await dispatcher.destroy();
    await server.close();
  });
  const form = new URLSearchParams({ grant_type: 'client_credentials', scope: 'api' });
  const answer = await sendTokenRequest({ dispatcher, path: url.pathname, form, headers: {}, deadlineMs });
  return { answer, calls: server.calls };
}

describe('src/oauth/token-endpoint.ts: sending', () => {
  it('posts the form once and asks for plain JSON', async () => {
    const { answer, calls } = await send(grant('t'));
    expect(answer.kind).toBe('token');
    expect(calls).toHaveLength(1);
    expect(calls[0]?.method).toBe('POST');
    expect(calls[0]?.headers).toMatchObject({
      accept: 'application/json',
      'accept-encoding': 'identity',
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect([...(calls[0]?.form ?? [])]).toEqual([
      ['grant_type', 'client_credentials'],
      ['scope', 'api'],
    ]);
  });

  it('gives up at the total deadline when the body drips', async () => {
    const { answer } = await send((res) => {
      res.writeHead(200, { 'Content-Type': 'application/json' });
      const timer = setInterval(() => res.write(' '), 20);
      res.on('close', () => clearInterval(timer));
    }, 200);
    expect(answer).toEqual({ kind: 'unavailable', result: 'timeout' });
  });

  it('gives up at the total deadline when nothing comes at all', async () => {
    const { answer } = await send(() => undefined, 100);
    expect(answer).toEqual({ kind: 'unavailable', result: 'timeout' });
  });

  it('stops reading an endless body at 64 KiB', async () => {
    let sent = 0;
    const { answer } = await send((res) => {
      res.writeHead(200);
      const more = () => {
        while (!res.destroyed) {
          sent += 16_384;
          if (!res.write(Buffer.alloc(16_384, 0x20))) break;
        }
      };
      res.on('drain', more);
      more();
    });
    expect(answer).toEqual({ kind: 'malformed', result: 'body_too_large' });
    expect(sent).toBeLessThan(16 * 1024 * 1024);
  });

  it('does not follow a redirect: the secret goes nowhere else', async () => {
    const second = await startTokenServer();
    onTestFinished(second.close);
    const { answer } = await send(json(307, {}, { Location: second.url }));
    expect(answer).toEqual({ kind: 'malformed', result: 'redirect' });
    expect(second.calls).toHaveLength(0);
  });

  it('names a refused connection, a broken one and an answer that is not HTTP', async () => {
    const outcomes: string[] = [];
    for (const behaviour of ['refuse', 'reset', 'garbage']) {
      const server = await startRawUpstream((socket) => {
        if (behaviour === 'reset') socket.destroy();
        else socket.write('SSH-2.0-OpenSSH_9.2\r\n\r\n');
      });
      if (behaviour === 'refuse') await server.close();
      const dispatcher = new Pool(server.url);
      const form = new URLSearchParams({ grant_type: 'client_credentials' });
      const answer = await sendTokenRequest({ dispatcher, path: '/', form, headers: {}, deadlineMs: PATIENCE_MS });
      outcomes.push(answer.kind === 'unavailable' ? answer.result : answer.kind);
      await dispatcher.destroy();
      await server.close();
    }
    expect(outcomes).toEqual(['refused', 'network', 'not_http']);
  });
});
