/** Who an assertion of private_key_jwt is for: as configured, else the issuer, else the token endpoint. */
import { generateKeyPairSync } from 'node:crypto';
import { decodeJwt } from 'jose';
import { expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { SidecarError } from '../../src/core/errors.ts';
import { startTestSidecar } from '../support/sidecar.ts';
import { startTokenServer } from '../support/token-server.ts';

const PEM = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' });

async function audienceOf(credential: Readonly<Record<string, unknown>>): Promise<{ aud: unknown; endpoint: string }> {
  const tokens = await startTokenServer();
  const sidecar = await startTestSidecar({
    ...{ upstream: 'http://127.0.0.1:9', tokenEndpoint: tokens.url, secret: String(PEM) },
    credential: { auth: 'private_key_jwt', ...credential },
  });
  onTestFinished(async () => {
    await sidecar.stop();
    await tokens.close();
  });
  await expect.poll(() => tokens.calls.length).toBeGreaterThan(0);
  return { aud: decodeJwt(tokens.calls[0]?.form.get('client_assertion') ?? '').aud, endpoint: tokens.url };
}

it('is the token endpoint where nothing else is said', async () => {
  const { aud, endpoint } = await audienceOf({});
  expect(aud).toBe(endpoint);
});

it('is what assertionAudience says, character by character', async () => {
  const { aud } = await audienceOf({ assertionAudience: 'https://id.example/' });
  expect(aud).toBe('https://id.example/');
});

it.each([
  [
    'of a client that has no assertion',
    { auth: 'client_secret_post', assertionAudience: 'https://id.example' },
    /needs auth: private_key_jwt/,
  ],
  ['that is empty', { auth: 'private_key_jwt', assertionAudience: '' }, /assertionAudience/],
  ['with a line break', { auth: 'private_key_jwt', assertionAudience: 'a\nb' }, /assertionAudience/],
])('is refused %s', (_what, credential, message) => {
  const document = {
    credentials: {
      default: { tokenEndpoint: 'https://id.example/token', clientId: 'erp', secrets: [{ env: 'KEY' }], ...credential },
    },
    routes: [{ path: '/api', upstream: 'https://api.example' }],
  };
  const problems = () => {
    try {
      loadConfig({ document, env: { KEY: String(PEM) } });
      return 'none';
    } catch (error) {
      return (error as SidecarError).extras.problems?.map(({ path, message: text }) => `${path} ${text}`).join('\n');
    }
  };
  expect(problems()).toMatch(message);
});
