// One request to IAM and every way in which its answer can go wrong, over real sockets.
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { type IamRequest, sendIam } from '../../src/iam/request.ts';
import { body, bytes, cutShort, drip, endless, type Fault, hang, reset, status } from '../support/fault-server.ts';
import { failure, type IamWorldOptions, inTurn, problem, startIam, TOKEN } from '../support/iam-world.ts';
import { startOwnTime } from '../support/own-time.ts';

const READ: IamRequest = { method: 'GET', path: '/v1/clients?searchText=private' };
const CHANGE: IamRequest = { method: 'POST', path: '/v1/policies', body: { action: 'a' } };

async function send(fault: Fault, request: IamRequest = READ, options: IamWorldOptions = {}) {
  await using world = await startIam(fault, options);
  return await sendIam(world.connection, request);
}

async function refused(fault: Fault, request: IamRequest = READ, options: IamWorldOptions = {}) {
  const { code, extras } = await failure(send(fault, request, options));
  return { code, ...extras };
}

describe('iam/request', () => {
  it('sends token, base path and body, and gives back status, headers and JSON', async () => {
    await using world = await startIam(status(201, '{"clientId":"x"}', { Location: '/v1/clients/x' }));
    const answer = await sendIam(world.connection, CHANGE);
    expect(answer).toMatchObject({ status: 201, headers: { location: '/v1/clients/x' }, json: { clientId: 'x' } });
    expect(world.asked()).toEqual(['POST /core/iam/v1/policies']);
    expect(world.tokens()).toEqual([`Bearer ${TOKEN}`]);
    expect(world.server.requests[0]?.body).toBe('{"action":"a"}');
  });

  it('sends the body of a DELETE with its length', async () => {
    await using world = await startIam(status(204));
    await sendIam(world.connection, { method: 'DELETE', path: '/v1/policies', body: { scope: '/' } });
    expect(world.server.requests[0]).toMatchObject({ body: '{"scope":"/"}', framing: 'length' });
  });

  it.each([
    ['an empty 200', status(200)],
    ['a 204', bytes('HTTP/1.1 204 No Content\r\n\r\n')],
    ['a 201 of blanks', status(201, ' \r\n ')],
  ])('takes %s for an answer without content', async (_what, fault) => {
    expect((await send(fault, CHANGE)).json).toBeUndefined();
  });

  it('reads JSON behind a byte order mark', async () => {
    expect((await send(status(200, '\uFEFF{"a":1}'))).json).toEqual({ a: 1 });
  });

  describe('refusals', () => {
    it.each([
      [400, 'IAM_REFUSED'],
      [403, 'IAM_REFUSED'],
      [405, 'IAM_REFUSED'],
      [415, 'IAM_REFUSED'],
      [404, 'IAM_NOT_FOUND'],
      [409, 'IAM_CONFLICT'],
      [408, 'IAM_UNAVAILABLE'],
      [429, 'IAM_UNAVAILABLE'],
      [500, 'IAM_UNAVAILABLE'],
      [503, 'IAM_UNAVAILABLE'],
    ])('makes %i %s, with what was asked but not its query', async (code, expected) => {
      const error = await refused(status(code));
      expect(error).toMatchObject({ code: expected, fields: { operation: 'GET /v1/clients', status: code } });
    });

    it.each([301, 302, 303, 307, 308])('never follows a %i', async (code) => {
      await using elsewhere = await startIam(body({ stolen: true }));
      await using world = await startIam(status(code, '', { Location: elsewhere.server.url }));
      expect((await failure(sendIam(world.connection, CHANGE))).code).toBe('IAM_INVALID');
      expect([world.server.requests.length, elsewhere.server.connections]).toEqual([1, 0]);
    });

    it.each([
      ['HTML', status(200, '<html><title>Sign in</title></html>')],
      ['half of JSON', status(200, '{"items":[')],
      ['more than 4 MiB', status(200, JSON.stringify('x'.repeat(4 * 1024 * 1024)))],
      ['a body without end', endless],
    ])('refuses %s as nonsense', async (_what, fault) => {
      expect((await refused(fault)).code).toBe('IAM_INVALID');
    });

    it('takes a body of exactly 4 MiB', async () => {
      const text = 'x'.repeat(4 * 1024 * 1024 - 2);
      expect((await send(status(200, JSON.stringify(text)))).json).toBe(text);
    });

    it('passes on how long to wait, up to five minutes, and leaves dates alone', async () => {
      const pause = (value: string) => refused(status(429, '', { 'Retry-After': value }));
      expect((await pause('7')).retryAfterS).toBe(7);
      expect((await pause('86400')).retryAfterS).toBe(300);
      expect((await pause('Wed, 21 Oct 2026 07:28:00 GMT')).retryAfterS).toBeUndefined();
      expect((await pause('-1')).retryAfterS).toBeUndefined();
    });
  });

  describe('a token that is refused', () => {
    it('is replaced once and the same request sent again', async () => {
      await using world = await startIam(inTurn(status(401), status(200, '{}')), { tokens: ['first', 'second'] });
      expect((await sendIam(world.connection, CHANGE)).status).toBe(200);
      expect(world.tokens()).toEqual(['Bearer first', 'Bearer second']);
      expect(world.server.requests.map((request) => request.body)).toEqual(['{"action":"a"}', '{"action":"a"}']);
    });

    it('and its successor too: that is the answer, after two requests', async () => {
      await using world = await startIam(status(401), { tokens: ['first', 'second', 'third'] });
      expect(await failure(sendIam(world.connection, READ))).toMatchObject({
        code: 'IAM_REFUSED',
        extras: { fields: { status: 401 } },
      });
      expect(world.tokens()).toEqual(['Bearer first', 'Bearer second']);
    });

    it('and has no successor: nothing is sent again', async () => {
      await using world = await startIam(status(401));
      expect((await failure(sendIam(world.connection, READ))).code).toBe('IAM_REFUSED');
      expect(world.server.requests).toHaveLength(1);
    });
  });

  describe('connections that fail', () => {
    it.each([
      ['a reset', reset, /ECONNRESET|UND_ERR_SOCKET/],
      ['half an answer', cutShort('{"items":['), /UND_ERR|ECONNRESET/],
      ['something that is not HTTP', bytes('SSH-2.0-OpenSSH_9.2\r\n'), /^H(PE_|TTPParserError)/],
    ])('say so after %s, and that a change may have happened', async (_what, fault, errno) => {
      const error = await refused(fault, CHANGE);
      expect(error).toMatchObject({ code: 'IAM_UNAVAILABLE', mayHaveExecuted: true });
      expect(error.fields?.['errno']).toMatch(errno);
      expect((await refused(fault, READ)).mayHaveExecuted).toBe(false);
    });

    it.each([
      ['silence', hang],
      ['one byte every 20 ms', drip],
    ])('end at the deadline after %s', async (_what, fault) => {
      using own = startOwnTime();
      const error = await refused(fault, CHANGE, { deadlineMs: 150 });
      expect(error).toMatchObject({ code: 'IAM_UNAVAILABLE', mayHaveExecuted: true, fields: { errno: 'timeout' } });
      expect(own.ms).toBeLessThan(2000);
    });

    it('know that nothing happened where nobody listens', async () => {
      await using world = await startIam(hang);
      await world.server.close();
      const { code, extras } = await failure(sendIam(world.connection, CHANGE));
      expect({ code, ...extras }).toMatchObject({
        code: 'IAM_UNAVAILABLE',
        mayHaveExecuted: false,
        fields: { errno: 'ECONNREFUSED' },
      });
    });

    it('leave in doubt what a gateway’s 502 or 504 hides, but not a 429', async () => {
      expect((await refused(status(502), CHANGE)).mayHaveExecuted).toBe(true);
      expect((await refused(status(504), CHANGE)).mayHaveExecuted).toBe(true);
      expect((await refused(status(429), CHANGE)).mayHaveExecuted).toBe(false);
    });
  });

  describe('what IAM says of a problem', () => {
    const VALUE = 's3cr3tV@lue! ü&"';
    const secretive: IamRequest = { ...CHANGE, body: { value: VALUE }, secret: new Secret(VALUE) };
    const told = async (fields: Readonly<Record<string, unknown>>) =>
      String((await refused(problem(400, fields), secretive)).fields?.['problem'] ?? '');

    it('is told in one line', async () => {
      const errors = { Expiration: ['must be in the future'], Value: 'too short' };
      expect(await told({ title: 'Bad', detail: 'one\r\ntwo', errors })).toBe(
        'Bad; one two; Expiration: must be in the future; Value: too short',
      );
    });

    it.each([
      ['the value', VALUE],
      ['the value in other case', VALUE.toUpperCase()],
      ['the value percent-encoded', encodeURIComponent(VALUE)],
      ['the value as a form has it', new URLSearchParams({ v: VALUE }).toString()],
      ['the value as JSON', JSON.stringify({ value: VALUE })],
      ['the value in base64', Buffer.from(VALUE).toString('base64')],
      ['the begin of the value', `'${VALUE.slice(0, 8)}…'`],
      ['the end of the value', `'…${VALUE.slice(-9)}'`],
      ['the token', `Bearer ${TOKEN}`],
      ['half of the token', TOKEN.slice(0, 10)],
      ['a JWT of somebody else', 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg'],
    ])('never quotes %s', async (_what, quote) => {
      const error = await refused(
        problem(400, { title: `Refused ${quote}`, detail: quote, errors: { [quote]: [quote, 'must be other'] } }),
        secretive,
      );
      const said = inspect(error, { depth: 9 }) + JSON.stringify(error);
      for (const text of [VALUE, TOKEN, quote, 's3cr3', 'v@lue', 'V@lue', 'opaque-token', 'c2lnbmF0dXJl']) {
        expect(said).not.toContain(text);
      }
      expect(said).toMatch(/Refused .*\[(secret|token)\]/);
    });

    it('is empty where the body is no object, no JSON, or has other fields only', async () => {
      expect(await told({ traceId: '1' })).toBe('');
      expect((await refused(status(400, '<h1>no</h1>'), secretive)).fields).not.toHaveProperty('problem');
      expect((await refused(status(400, '"text"'), secretive)).fields).not.toHaveProperty('problem');
    });

    it('holds nothing that a terminal obeys, and at most 300 characters', async () => {
      expect(await told({ title: 'a\u001b[2Jb\u009b31mc\u202ed\u200be' })).toMatch(/^a \[2Jb 31mc d e$/);
      expect((await told({ title: 'long '.repeat(100_000) })).length).toBe(300);
    });
  });
});
