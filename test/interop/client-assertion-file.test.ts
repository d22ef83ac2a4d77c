/** A client assertion that something else renews, against a certified OpenID provider, which checks each one. */
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { diagnose } from '../../src/check/check.ts';
import type { Finding } from '../../src/check/finding.ts';
import { createFolder } from '../support/folder.ts';
import { startIdentityProvider } from '../support/identity-provider.ts';
import { answerAfterHead, ok, startRawUpstream } from '../support/raw.ts';
import { startTestSidecar } from '../support/sidecar.ts';

const CLIENT_ID = 'interop-erp';
const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const KEY = pair();

interface Claims {
  /** Seconds from now. */
  readonly livesFor?: number;
  readonly signedBy?: KeyObject;
  readonly audience?: string;
}

/** @param prepare writes what is in the file at the start; default: a good assertion */
async function createWorld(prepare?: (file: string) => void) {
  const provider = await startIdentityProvider({
    client_id: CLIENT_ID,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [{ ...KEY.publicKey.export({ format: 'jwk' }), use: 'sig' }] },
  });
  const folder = createFolder();
  const upstream = await startRawUpstream(answerAfterHead(ok('hello')));
  const link = join(folder.path, 'token');
  const sign = ({ livesFor = 600, signedBy = KEY.privateKey, audience = provider.issuer }: Claims = {}) =>
    new SignJWT({ jti: randomUUID() })
      .setProtectedHeader({ alg: 'ES256' })
      .setIssuer(CLIENT_ID)
      .setSubject(CLIENT_ID)
      .setAudience(audience)
      .setExpirationTime(Math.floor(Date.now() / 1000) + livesFor)
      .sign(signedBy);
  let versions = 0;
  /** As the kubelet does it for a projected volume: a new folder, and one link that is replaced. */
  const write = (content: string) => {
    versions += 1;
    const version = join(folder.path, `..v${versions}`);
    mkdirSync(version);
    writeFileSync(join(version, 'token'), content, { mode: 0o600 });
    symlinkSync(`..v${versions}`, join(folder.path, '..data_tmp'));
    renameSync(join(folder.path, '..data_tmp'), join(folder.path, '..data'));
  };
  symlinkSync(join('..data', 'token'), link);
  const first = await sign();
  if (prepare) prepare(link);
  else write(first);
  const credential = { tokenEndpoint: undefined, issuer: provider.issuer, secrets: undefined, scope: 'api' };
  const assertion = { auth: 'client_assertion_file', assertion: { file: link } };
  const sidecar = await startTestSidecar({
    upstream: upstream.url,
    tokenEndpoint: provider.tokenEndpoint,
    clientId: CLIENT_ID,
    config: { token: { waitTimeout: '900ms' } },
    credential: { ...credential, ...assertion },
  });
  const logs = () => sidecar.rawLogs.join('');
  return {
    folder,
    link,
    first,
    sign,
    write,
    sidecar,
    logs,
    refresh: () => fetch(`${sidecar.adminUrl}/token/refresh`, { method: 'POST' }),
    async call() {
      const answer = await fetch(`${sidecar.url}/api/x`, { signal: AbortSignal.timeout(10_000) });
      const body = await answer.text();
      return { status: answer.status, code: answer.headers.get('x-sidecar-error'), body };
    },
    get: async (path: string) => (await fetch(sidecar.adminUrl + path)).text(),
    async doctor() {
      const findings: Finding[] = [];
      const onFinding = (finding: Finding) => void findings.push(finding);
      const options = { upstream: false, preconditions: async () => [], onFinding };
      const code = await diagnose({ file: sidecar.file, env: {}, cwd: folder.path }, options);
      return {
        code,
        text: findings.map(({ level, subject, message, fix }) => `${level} ${subject}: ${message}; ${fix}`).join('\n'),
      };
    },
    async [Symbol.asyncDispose]() {
      await sidecar.stop();
      await Promise.all([upstream.close(), provider.close()]);
      folder[Symbol.dispose]();
    },
  };
}

describe('auth: client_assertion_file with oidc-provider', () => {
  it('grants a token for the assertion in the file, and for a renewed one, which nobody announces', async () => {
    await using world = await createWorld();
    expect((await world.call()).status).toBe(200);
    // An assertion is good for one request: the provider refuses a `jti` that it has seen.
    expect((await world.refresh()).ok).toBe(false);
    const second = await world.sign();
    world.write(second);
    expect((await world.refresh()).ok).toBe(true);
    expect((await world.call()).status).toBe(200);
    for (const jwt of [world.first, second]) expect(world.logs()).not.toContain(jwt.split('.')[2]);
  });

  it('sends no expired assertion, says so to callers and operators, and goes on with a renewed one', async () => {
    await using world = await createWorld((file) => writeFileSync(join(file, '..', 'unused'), ''));
    world.write(await world.sign({ livesFor: -120 }));
    expect((await world.refresh()).ok).toBe(false);
    const { status, code, body } = await world.call();
    expect([status, code]).toEqual([503, 'TOKEN_UNAVAILABLE']);
    expect(body).toMatch(/expired at .* s ago \(assertion_expired\)/i);
    expect(world.logs()).toMatch(/"cause":"token_assertion_expired"/);
    expect(await world.get('/metrics')).toMatch(
      /token_requests_total\{credential="default",result="assertion_expired"\} \d/,
    );
    expect((await world.doctor()).text).toMatch(/error token default.*expired at/);
    world.write(await world.sign());
    expect((await world.refresh()).ok).toBe(true);
    expect((await world.call()).status).toBe(200);
  });

  it.each([
    [
      'is missing',
      (file: string) => rmSync(file),
      /is a symbolic link to a missing file \(ENOENT\)|cannot be read \(ENOENT\)/,
    ],
    ['is empty', (file: string) => replace(file, ''), /assertion\.file is empty/],
    ['is no JWT', (file: string) => replace(file, 'canary-no-jwt'), /does not hold a signed JWT/],
    ['is a JWT with parts that are no JSON', (file: string) => replace(file, 'canary.canary.canary'), /a signed JWT/],
    ['is too large', (file: string) => replace(file, 'x'.repeat(70_000)), /larger than 64 KiB/],
    ['is a folder', (file: string) => replaceByFolder(file), /cannot be read \(EISDIR\)/],
  ])('does not stop the start when the file %s, and tells callers why', async (_how, prepare, says) => {
    await using world = await createWorld(prepare);
    const { status, code, body } = await world.call();
    expect([status, code]).toEqual([503, 'TOKEN_UNAVAILABLE']);
    expect(body).toMatch(says);
    expect(world.logs() + body).not.toContain('canary');
    expect((await world.doctor()).text).toMatch(says);
  });

  it('is refused with an assertion by a key the provider does not know, which the caller sees as CREDENTIALS_REJECTED', async () => {
    await using world = await createWorld();
    world.write(await world.sign({ signedBy: pair().privateKey }));
    await world.refresh();
    expect((await world.call()).code).toBe('CREDENTIALS_REJECTED');
    world.write(await world.sign({ signedBy: pair().privateKey, audience: 'https://other.example' }));
    const { text } = await world.doctor();
    expect(text).toMatch(
      /ok assertion default: the JWT is issued by "interop-erp" for "interop-erp", audience "https:\/\/other\.example"; expires in \d+ s; its audience is not the URL/,
    );
    expect(text).toMatch(
      /error token default.*let the client at the identity server trust issuer, subject and audience/,
    );
  });

  it('has its expiry on status and as a metric, also of one that was renewed since', async () => {
    await using world = await createWorld();
    expect((await world.call()).status).toBe(200);
    const gauge = async () =>
      Number(
        /client_assertion_expiry_timestamp_seconds\{credential="default"\} (\S+)/.exec(
          await world.get('/metrics'),
        )?.[1],
      );
    const inS = (await gauge()) - Date.now() / 1000;
    expect(inS).toBeGreaterThan(500);
    expect(inS).toBeLessThanOrEqual(600);
    const status = JSON.parse(await world.get('/status')) as { credentials: Record<string, unknown>[] };
    expect(status.credentials[0]).toMatchObject({
      assertionExpiresAt: new Date((await gauge()) * 1000).toISOString(),
      secrets: [{ name: 'assertion', inUse: true, fingerprint: expect.stringMatching(/^JWT [0-9a-f]{8}$/) }],
    });
  });
});

function replace(file: string, content: string): void {
  rmSync(file);
  writeFileSync(file, content, { mode: 0o600 });
}

function replaceByFolder(file: string): void {
  rmSync(file);
  mkdirSync(file);
}
