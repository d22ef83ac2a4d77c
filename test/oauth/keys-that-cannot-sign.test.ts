/** Private keys that can be read but not used: refused with the configuration, or an answer like any other failure. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type LoadedConfig, loadConfig } from '../../src/config/load.ts';
import { systemClock } from '../../src/core/clock.ts';
import { SidecarError } from '../../src/core/errors.ts';
import { createIdentity } from '../../src/oauth/credentials.ts';
import { startTokenServer, type TokenServer } from '../support/token-server.ts';

const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const SHORT_RSA = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
const P256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const TARGET = { scope: 'api', audience: undefined, resource: undefined };

let tokens: TokenServer;
beforeAll(async () => {
  tokens = await startTokenServer();
});
afterAll(() => tokens.close());

const pem = (key: KeyObject) => String(key.export({ type: 'pkcs8', format: 'pem' }));
const jwk = (key: KeyObject, fields: object) => JSON.stringify({ ...key.export({ format: 'jwk' }), ...fields });

/** The configuration with that key, or undefined when it is refused. */
function load(key: string, alg: string | undefined): LoadedConfig | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'aritma-key-'));
  const [file, keyFile] = [join(folder, 'config.yaml'), join(folder, 'key')];
  writeFileSync(keyFile, key, { mode: 0o600 });
  const secrets = [{ file: keyFile, ...(alg !== undefined && { alg }) }];
  const settings = { tokenEndpoint: tokens.url, clientId: 'erp', auth: 'private_key_jwt', scope: 'api', secrets };
  const routes = [{ path: '/api', upstream: 'http://127.0.0.1:9' }];
  writeFileSync(file, JSON.stringify({ credentials: { default: settings }, routes }));
  try {
    return loadConfig({ file, env: {}, cwd: folder });
  } catch (error) {
    if (error instanceof SidecarError) return undefined;
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function outcome(key: string, alg?: string): Promise<string> {
  const loaded = load(key, alg);
  if (!loaded) return 'refused';
  const identity = createIdentity({ loaded, clock: systemClock, onRequest: () => undefined });
  try {
    return (await identity.credential('default').fetchToken(TARGET)).kind;
  } finally {
    await identity.end('destroy');
  }
}

describe('a private key', () => {
  it.each([
    ['an RSA key', pem(RSA), undefined],
    ['an RSA key for PS256', pem(RSA), 'PS256'],
    ['a P-256 key', pem(P256), undefined],
    ['a JWK that states its algorithm', jwk(P256, { alg: 'ES256' }), undefined],
  ])('gets a token: %s', async (_what, key, alg) => {
    expect(await outcome(key, alg)).toBe('token');
  });

  // The configuration is taken, then signing throws out of fetchToken, which says that it never does. A token source does
  // not catch it: in a running sidecar that is an unhandled rejection, which ends the process, on a reload as well.
  it.each([
    ['an RSA key of 1024 bits', pem(SHORT_RSA), undefined],
    ['an RSA key for ES256', pem(RSA), 'ES256'],
    ['a P-256 key for RS256', pem(P256), 'RS256'],
    ['a P-256 key for ES384', pem(P256), 'ES384'],
    ['a JWK that states the algorithm of another kind of key', jwk(RSA, { alg: 'ES256' }), undefined],
    ['a JWK that states an algorithm for encryption', jwk(RSA, { alg: 'RSA-OAEP' }), undefined],
    ['a JWK that states an algorithm for shared secrets', jwk(RSA, { alg: 'HS256' }), undefined],
    ['a JWK that states none', jwk(RSA, { alg: 'none' }), undefined],
  ])('is refused or fails like any other request, but does not throw: %s', async (_what, key, alg) => {
    expect(['refused', 'unavailable', 'malformed', 'rejected']).toContain(await outcome(key, alg));
  });
});
