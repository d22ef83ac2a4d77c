/** Tokens of the local Aritma against its published keys, found by discovery. */
import { Pool } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { Secret } from '../../src/core/secret.ts';
import { startEmulator } from '../../src/emulator/server.ts';
import { DEMO_CLIENT } from '../../src/emulator/store.ts';
import { createDiscovery } from '../../src/oauth/discovery.ts';
import { createVerifier } from '../../src/oauth/token-verifier.ts';
import { PATIENCE_MS } from '../support/own-time.ts';
import { startTestSidecar } from '../support/sidecar.ts';

const DEADLINE_MS = PATIENCE_MS;

async function setUp(audience: string | undefined, issuer?: string) {
  const emulator = await startEmulator({ port: 0 });
  const dispatcher = new Pool(emulator.url);
  onTestFinished(async () => {
    await dispatcher.destroy();
    await emulator.close();
  });
  const discovery = createDiscovery({
    issuer: emulator.url,
    basePath: '',
    dispatcher,
    deadlineMs: DEADLINE_MS,
    isAcceptable: () => true,
  });
  const verify = createVerifier({
    issuer: issuer ?? emulator.url,
    audience,
    async jwksUri() {
      const outcome = await discovery.find();
      return 'found' in outcome ? outcome.found.jwksUri : undefined;
    },
    dispatcherFor: () => dispatcher,
    deadlineMs: DEADLINE_MS,
    clock: systemClock,
  });
  const token = async () => {
    const form = { grant_type: 'client_credentials', client_id: DEMO_CLIENT.clientId, scope: 'api' };
    const body = new URLSearchParams({ ...form, client_secret: DEMO_CLIENT.secrets[0]?.value ?? '' });
    const answer = await fetch(`${emulator.url}/connect/token`, { method: 'POST', body });
    return ((await answer.json()) as { access_token: string }).access_token;
  };
  return { emulator, verify, token };
}

describe('src/oauth/token-verifier.ts', () => {
  it('accepts the issuer’s own token, for any audience or the expected one', async () => {
    for (const audience of [undefined, 'aritma.api']) {
      const { verify, token } = await setUp(audience);
      expect(await verify(new Secret(`Bearer ${await token()}`))).toBeUndefined();
    }
  });

  it.each([
    ['another audience', 'somebody-else', undefined],
    ['another issuer', undefined, 'https://id.example'],
  ])('refuses a token for %s', async (_what, audience, issuer) => {
    const { verify, token } = await setUp(audience, issuer);
    expect(await verify(new Secret(`Bearer ${await token()}`))).toEqual({ kind: 'malformed', result: 'not_verified' });
  });

  it('refuses a token whose signature was changed, and text that is no JWT', async () => {
    const { verify, token } = await setUp(undefined);
    const [head, payload] = (await token()).split('.');
    for (const text of [`${head}.${payload}.${'A'.repeat(342)}`, 'opaque']) {
      expect(await verify(new Secret(`Bearer ${text}`))).toEqual({ kind: 'malformed', result: 'not_verified' });
    }
  });

  it('says that the keys cannot be fetched when the issuer is away', async () => {
    const { emulator, verify, token } = await setUp(undefined);
    const secret = new Secret(`Bearer ${await token()}`);
    await emulator.close();
    expect(await verify(secret)).toEqual({ kind: 'unavailable', result: 'jwks' });
  });

  it('works in a whole sidecar that finds everything by issuer', async () => {
    const { emulator } = await setUp(undefined);
    const sidecar = await startTestSidecar({
      upstream: `${emulator.url}/banking/api`,
      tokenEndpoint: emulator.url,
      secret: DEMO_CLIENT.secrets[0]?.value ?? '',
      credential: { clientId: DEMO_CLIENT.clientId, issuer: emulator.url, tokenEndpoint: undefined, verify: true },
    });
    onTestFinished(async () => void (await sidecar.stop()));
    expect((await fetch(`${sidecar.url}/api/accounts`)).status).toBe(200);
  });
});
