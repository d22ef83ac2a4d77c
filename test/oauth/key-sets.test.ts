/** An issuer that replaces its keys in every way servers do, and one whose key set is slow, broken or gone. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { Pool } from 'undici';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Secret } from '../../src/core/secret.ts';
import { createVerifier } from '../../src/oauth/token-verifier.ts';
import { createFakeClock } from '../support/clock.ts';
import { createDeadline } from '../support/deadline.ts';

const ISSUER = 'https://id.example';
const REFUSED = { kind: 'malformed', result: 'not_verified' };
const UNAVAILABLE = { kind: 'unavailable', result: 'jwks' };

interface Pair {
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}
let pairs: readonly Pair[];

beforeAll(async () => {
  pairs = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const { privateKey, publicKey } = await generateKeyPair('ES256');
      return { privateKey, jwk: await exportJWK(publicKey) };
    }),
  );
});

const pair = (index: number): Pair => pairs[index] as Pair;
const published = (index: number, kid?: string): JWK => ({ ...pair(index).jwk, ...(kid !== undefined && { kid }) });

async function tokenBy(index: number, kid?: string): Promise<Secret> {
  const token = await new SignJWT({ iss: ISSUER, exp: Math.floor(Date.now() / 1000) + 3600 })
    .setProtectedHeader({ alg: 'ES256', ...(kid !== undefined && { kid }) })
    .sign(pair(index).privateKey);
  return new Secret(`Bearer ${token}`);
}

async function setUp(keys: readonly unknown[]) {
  const clock = createFakeClock();
  const deadline = createDeadline();
  const issuer = { keys, body: undefined as string | undefined, silent: false, fetches: 0, onFetch: () => undefined };
  const server = createServer((_req, res) => {
    issuer.fetches += 1;
    issuer.onFetch();
    if (!issuer.silent) res.end(issuer.body ?? JSON.stringify({ keys: issuer.keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const uri = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
  const dispatcher = new Pool(new URL(uri).origin);
  onTestFinished(async () => {
    deadline[Symbol.dispose]();
    await dispatcher.destroy();
    server.closeAllConnections();
    server.close();
  });
  const verify = createVerifier({
    ...{ issuer: ISSUER, audience: undefined, deadlineMs: deadline.ms, clock },
    jwksUri: async () => uri,
    dispatcherFor: () => dispatcher,
  });
  return { clock, deadline, issuer, verify };
}

describe('src/oauth/token-verifier.ts: a key that is new', () => {
  it.each<[string, string | undefined, string | undefined]>([
    ['under another kid', 'old', 'new'],
    ['under the same kid', 'same', 'same'],
    ['without any kid', undefined, undefined],
    ['whose kid only the token has', undefined, 'new'],
    ['whose kid only the key set has', 'same', undefined],
  ])('%s is taken at once, with one more fetch', async (_what, before, after) => {
    const { issuer, verify } = await setUp([published(0, before)]);
    expect(await verify(await tokenBy(0, before))).toBeUndefined();
    issuer.keys = [published(1, after === undefined ? before : before === undefined ? undefined : after)];
    expect(await verify(await tokenBy(1, after))).toBeUndefined();
    expect(await verify(await tokenBy(1, after))).toBeUndefined();
    expect(issuer.fetches).toBe(2);
  });

  it('is taken again and again within a minute, and the keys that were removed are not', async () => {
    const { issuer, verify } = await setUp([published(0, 'a')]);
    for (const [index, before] of [
      [0, 2],
      [1, 0],
      [2, 1],
    ] as const) {
      issuer.keys = [published(index, 'a')];
      expect(await verify(await tokenBy(index, 'a'))).toBeUndefined();
      if (index > 0) expect(await verify(await tokenBy(before, 'a'))).toEqual(REFUSED);
    }
  });

  it('is found among several that fit, one of which cannot be read, whether the token names a kid or not', async () => {
    const broken = { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' };
    for (const kid of [undefined, 'k']) {
      const { issuer, verify } = await setUp([
        broken,
        null,
        7,
        published(0, kid),
        published(1, kid),
        published(2, kid),
      ]);
      for (const index of [2, 0, 1]) expect(await verify(await tokenBy(index, kid))).toBeUndefined();
      expect(issuer.fetches).toBe(1);
    }
  });
});

describe('src/oauth/token-verifier.ts: keys that cannot be had', () => {
  it('fetches because of tokens that never verify at a bounded rate', async () => {
    const { clock, issuer, verify } = await setUp([published(0, 'a')]);
    const forged = await tokenBy(1, 'a');
    for (let second = 0; second < 120; second += 1) {
      expect(await verify(forged)).toEqual(REFUSED);
      await clock.advance(1000);
    }
    expect(issuer.fetches).toBeGreaterThan(4);
    expect(issuer.fetches).toBeLessThanOrEqual(1 + 4 + 120 / 15);
    expect(await verify(await tokenBy(0, 'a'))).toBeUndefined();
  });

  it('are asked for once for each token when the kept ones are old and none of them fits', async () => {
    const { clock, issuer, verify } = await setUp([published(0, 'a')]);
    expect(await verify(await tokenBy(0, 'a'))).toBeUndefined();
    await clock.advance(600_000);
    issuer.body = '<html>';
    expect(await verify(await tokenBy(1, 'b'))).toEqual(UNAVAILABLE);
    expect(issuer.fetches).toBe(2);
  });

  it.each(['{"keys":', '[]', '{"keys":{}}', '{"keys":[]}', '', '<html>', 'x'.repeat(300_000)])(
    'goes on with the keys it has while the server sends %j',
    async (body) => {
      const { clock, issuer, verify } = await setUp([published(0, 'a')]);
      const good = await tokenBy(0, 'a');
      expect(await verify(good)).toBeUndefined();
      issuer.body = body.slice(0, 300_000);
      if (body !== '{"keys":[]}') {
        await clock.advance(600_000);
        expect(await verify(good)).toBeUndefined();
      }
      expect((await verify(await tokenBy(1, 'b')))?.kind).toBe(body === '{"keys":[]}' ? 'malformed' : 'unavailable');
      issuer.body = undefined;
      issuer.keys = [published(1, 'b')];
      expect(await verify(await tokenBy(1, 'b'))).toBeUndefined();
    },
  );

  it('waits for one fetch and no more when the server hangs, and keeps what it has', async () => {
    const { deadline, issuer, verify } = await setUp([published(0, 'a')]);
    expect(await verify(await tokenBy(0, 'a'))).toBeUndefined();
    issuer.silent = true;
    const asked = verify(await tokenBy(1, 'b'));
    await expect.poll(() => issuer.fetches).toBe(2);
    deadline.pass();
    expect(await asked).toEqual(UNAVAILABLE);
    expect(issuer.fetches).toBe(2);
    expect(await verify(await tokenBy(0, 'a'))).toBeUndefined();
  });
});
