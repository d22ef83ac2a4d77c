import { Pool } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Instant } from '../../src/core/clock.ts';
import { Secret } from '../../src/core/secret.ts';
import { CLIENT_AUTH } from '../../src/oauth/client-auth.ts';
import { createCredential } from '../../src/oauth/credential.ts';
import { createSecretFailover } from '../../src/oauth/secret-failover.ts';
import { createFakeClock } from '../support/clock.ts';
import { PATIENCE_MS } from '../support/own-time.ts';
import { grant, json, startTokenServer } from '../support/token-server.ts';

const TARGET = { scope: 'api', audience: undefined, resource: undefined };

/** A credential with two secrets at a server that accepts those in `accepted`. */
async function setUp(values = ['first-secret', 'second-secret'], replacedValue?: string) {
  const server = await startTokenServer();
  const accepted = new Set(values);
  server.answerWith((res, call, count) => {
    const known = accepted.has(call.form.get('client_secret') ?? '');
    (known ? grant(`token-${count}`) : json(400, { error: 'invalid_client' }))(res, call, count);
  });
  const url = new URL(server.url);
  const dispatcher = new Pool(url.origin);
  const results: string[] = [];
  const clock = createFakeClock();
  const proof = (value: string, index: number) => ({
    name: String(index + 1),
    fingerprint: `fingerprint-${value}`,
    authenticate: CLIENT_AUTH.client_secret_post({ clientId: 'my-erp', secret: new Secret(value) }),
  });
  const credential = createCredential({
    name: 'default',
    clientSecrets: values.map(proof),
    replaced: replacedValue === undefined ? undefined : proof(replacedValue, 0),
    locate: async () => ({ dispatcher, path: url.pathname, audience: server.url }),
    deadlineMs: PATIENCE_MS,
    clock,
    onRequest: (result) => results.push(result),
  });
  onTestFinished(async () => {
    await dispatcher.destroy();
    await server.close();
  });
  const inUse = () =>
    credential
      .secretsInUse()
      .filter((secret) => secret.inUse)
      .map(({ name }) => name);
  return { server, accepted, credential, results, inUse, clock };
}

describe('src/oauth/credential.ts', () => {
  it('uses the first secret while the server accepts it', async () => {
    const { credential, results, inUse, server } = await setUp();
    expect((await credential.fetchToken(TARGET)).kind).toBe('token');
    expect(results).toEqual(['ok']);
    expect(inUse()).toEqual(['1']);
    expect(server.calls[0]?.form.get('client_id')).toBe('my-erp');
  });

  it('falls over to the second on invalid_client, within the same fetch, and stays with it', async () => {
    const { credential, accepted, results, inUse } = await setUp();
    accepted.delete('first-secret');
    expect((await credential.fetchToken(TARGET)).kind).toBe('token');
    expect(inUse()).toEqual(['2']);
    await credential.fetchToken(TARGET);
    expect(results).toEqual(['invalid_client', 'ok', 'ok']);
  });

  it('counts the age of a token from its own request, not from the one before it with a secret that was slowly refused', async () => {
    const { credential, server, clock } = await setUp();
    const begun = clock.now();
    server.answerWith((res, call, count) => {
      clock.sleep(4000);
      (count === 1 ? json(400, { error: 'invalid_client' }) : grant('token'))(res, call, count);
    });
    // Absent: since before everything.
    const { since = begun } = (await credential.fetchToken(TARGET)) as { since?: Instant };
    expect(since.wallMs - begun.wallMs).toBe(4000);
  });

  it('comes back to the first when the second is refused', async () => {
    const { credential, accepted, inUse } = await setUp();
    accepted.delete('first-secret');
    await credential.fetchToken(TARGET);
    accepted.add('first-secret').delete('second-secret');
    expect((await credential.fetchToken(TARGET)).kind).toBe('token');
    expect(inUse()).toEqual(['1']);
  });

  it('goes back to the first when that works again, asking for it every ten minutes at most', async () => {
    const { credential, accepted, results, inUse, clock } = await setUp();
    accepted.delete('first-secret');
    await credential.fetchToken(TARGET);
    accepted.add('first-secret');
    await clock.advance(599_000);
    await credential.fetchToken(TARGET);
    expect(inUse()).toEqual(['2']);
    await clock.advance(1000);
    await credential.fetchToken(TARGET);
    expect(inUse()).toEqual(['1']);
    expect(results).toEqual(['invalid_client', 'ok', 'ok', 'ok']);
  });

  it('tries every secret once and then reports the rejection', async () => {
    const { credential, accepted, results, inUse } = await setUp();
    accepted.clear();
    expect(await credential.fetchToken(TARGET)).toEqual({ kind: 'rejected', result: 'invalid_client' });
    expect(results).toEqual(['invalid_client', 'invalid_client']);
    expect(inUse()).toEqual([]);
  });

  it('falls back to the secret that was replaced while no new one is accepted, and forgets it when one is', async () => {
    const { credential, accepted, results, inUse, clock } = await setUp(['new-secret'], 'old-secret');
    accepted.delete('new-secret');
    accepted.add('old-secret');
    await credential.fetchToken(TARGET);
    expect(results).toEqual(['invalid_client', 'ok']);
    expect(inUse()).toEqual(['replaced']);
    expect(credential.accepted()?.name).toBe('replaced');
    accepted.add('new-secret');
    await clock.advance(600_000);
    await credential.fetchToken(TARGET);
    expect(inUse()).toEqual(['1']);
    accepted.delete('new-secret');
    expect(await credential.fetchToken(TARGET)).toEqual({ kind: 'rejected', result: 'invalid_client' });
    expect(results).toEqual(['invalid_client', 'ok', 'ok', 'invalid_client']);
    expect(credential.secretsInUse()).toHaveLength(1);
  });

  it('does not say that a secret that was replaced is in use before the server has refused the new one', async () => {
    const { credential, accepted, inUse } = await setUp(['new-secret'], 'old-secret');
    // Of a fleet, another member may have got the token, and this one asks only hours later.
    expect(inUse()).toEqual([]);
    expect(credential.accepted()?.name).toBe('replaced');
    accepted.clear();
    await credential.fetchToken(TARGET);
    expect(inUse()).toEqual([]);
  });

  it('does not touch the secret that was replaced when the new one is accepted', async () => {
    const { credential, server, inUse } = await setUp(['new-secret'], 'old-secret');
    await credential.fetchToken(TARGET);
    expect(server.calls.map(({ form }) => form.get('client_secret'))).toEqual(['new-secret']);
    expect(inUse()).toEqual(['1']);
  });

  it.each(['invalid_scope', 'unauthorized_client'])('does not try another secret on %s', async (error) => {
    const { credential, server, results } = await setUp();
    server.answerWith(json(400, { error }));
    expect(await credential.fetchToken(TARGET)).toEqual({ kind: 'rejected', result: error });
    expect(results).toEqual([error]);
  });

  it('does not try another secret when the server has trouble', async () => {
    const { credential, server, results } = await setUp();
    server.answerWith(json(503, {}));
    expect((await credential.fetchToken(TARGET)).kind).toBe('unavailable');
    expect(results).toEqual(['http_503']);
  });

  it('sends scope, audience and resource when set and leaves them out when not', async () => {
    const { credential, server } = await setUp();
    await credential.fetchToken({ scope: 'a b', audience: 'aud', resource: 'urn:r' });
    await credential.fetchToken({ scope: undefined, audience: undefined, resource: undefined });
    const sent = server.calls.map(({ form }) => ['scope', 'audience', 'resource'].map((name) => form.get(name)));
    expect(sent).toEqual([
      ['a b', 'aud', 'urn:r'],
      [null, null, null],
    ]);
  });

  it('knows the secret that worked before a reload until the server refuses it, for a reload that comes after', async () => {
    const authenticate = CLIENT_AUTH.client_secret_post({ clientId: 'my-erp', secret: new Secret('first-secret') });
    const only = { name: '1', fingerprint: 'fingerprint-first-secret', authenticate };
    const failover = createSecretFailover({ clientSecrets: [only], inherited: only, clock: createFakeClock() });
    expect(failover.accepted()).toBe(only);
    failover.refuse(only);
    expect(failover.accepted()).toBeUndefined();
  });

  it.each([
    { kind: 'unavailable', result: 'jwks' },
    { kind: 'malformed', result: 'not_verified' },
  ] as const)(
    'looks for the issuer’s endpoints again when its token is $result: it may have moved its keys',
    async (refusal) => {
      const server = await startTokenServer();
      server.answerWith(grant('token'));
      const dispatcher = new Pool(new URL(server.url).origin);
      onTestFinished(async () => {
        await dispatcher.destroy();
        await server.close();
      });
      let isMoved = true;
      const authenticate = CLIENT_AUTH.client_secret_post({ clientId: 'my-erp', secret: new Secret('first-secret') });
      const credential = createCredential({
        ...{ name: 'default', deadlineMs: PATIENCE_MS, clock: createFakeClock() },
        clientSecrets: [{ name: '1', fingerprint: 'fingerprint', authenticate }],
        locate: async () => ({ dispatcher, path: new URL(server.url).pathname, audience: server.url }),
        verify: async () => (isMoved ? refusal : undefined),
        onUnusable() {
          isMoved = false;
        },
      });
      expect((await credential.fetchToken(TARGET)).kind).toBe(refusal.kind);
      expect((await credential.fetchToken(TARGET)).kind).toBe('token');
    },
  );
});
