/** An issuer whose name ends in a slash, as many do: it is that one, character by character (RFC 8414 §3.3). */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { expect, it, onTestFinished } from 'vitest';
import { startTestSidecar } from '../support/sidecar.ts';

/** @returns the origin of a server that states `ORIGIN/` as its issuer and signs its tokens so */
async function startIssuer(): Promise<string> {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const keys = { keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256', kid: 'one' }] };
  const server = createServer(async (req, res) => {
    const origin = `http://${req.headers.host}`;
    const token = new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: 'one' }).setIssuer(`${origin}/`);
    const known: Readonly<Record<string, unknown>> = {
      '/.well-known/openid-configuration': {
        issuer: `${origin}/`,
        token_endpoint: `${origin}/token`,
        jwks_uri: `${origin}/keys`,
      },
      '/keys': keys,
      '/token': {
        access_token: await token.setIssuedAt().setExpirationTime('1h').sign(privateKey),
        token_type: 'Bearer',
        expires_in: 3600,
      },
    };
    res.setHeader('Content-Type', 'application/json').end(JSON.stringify(known[req.url ?? ''] ?? {}));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  onTestFinished(() => void server.close().closeAllConnections());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it.each([
  [
    'is taken, and its tokens are verified, where the configuration has the slash, too',
    '/',
    { message: 'token obtained' },
  ],
  ['is refused where the configuration has no slash', '', { result: 'discovery_mismatch' }],
])('%s', async (_name, end, line) => {
  const issuer = await startIssuer();
  const sidecar = await startTestSidecar({
    ...{ upstream: 'http://127.0.0.1:9', tokenEndpoint: issuer },
    credential: { tokenEndpoint: undefined, issuer: issuer + end, verify: true },
  });
  onTestFinished(async () => void (await sidecar.stop()));
  await expect.poll(() => sidecar.logs).toContainEqual(expect.objectContaining(line));
});
