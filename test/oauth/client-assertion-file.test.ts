/** `auth: client_assertion_file`: what the options allow, and what is known of the file between token requests. */
import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigSchema } from '../../src/config/schema.ts';
import { readAssertion } from '../../src/oauth/assertion-file.ts';
import { clientSecretsOf } from '../../src/oauth/client-secrets.ts';
import { COMPLETE_ENV, createFolder, type Folder, problemsOf } from '../support/folder.ts';
import { until } from '../support/until.ts';

const NOW = Date.UTC(2026, 0, 1);

function jwt(expiresInS: number | undefined, extra: object = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const exp = expiresInS === undefined ? {} : { exp: NOW / 1000 + expiresInS };
  return `${part({ alg: 'ES256' })}.${part({ ...exp, ...extra })}.c2lnbmF0dXJl`;
}

const SERVER = { tokenEndpoint: 'https://id.example/token', clientId: 'my-erp' };

function createWorld(folder: Folder) {
  const settings = { ...SERVER, auth: 'client_assertion_file', assertion: { file: 'token' } };
  const config = ConfigSchema.parse({
    credentials: { default: settings },
    routes: [{ path: '/api', upstream: 'https://api.example' }],
  });
  let now = NOW;
  const [secret] = clientSecretsOf(
    config.credentials['default'] as NonNullable<(typeof config.credentials)[string]>,
    [],
    {
      resolve: (file) => `${folder.path}/${file}`,
      now: () => now,
    },
  );
  if (!secret) throw new Error('there is nothing to authenticate with');
  return {
    secret,
    pass(seconds: number) {
      now += seconds * 1000;
    },
    async authenticate() {
      const form = new URLSearchParams();
      const failed = await secret.authenticate({ form, headers: {}, audience: '' });
      return { form, result: failed?.result };
    },
  };
}

describe('src/oauth/client-secrets.ts', () => {
  it('sends the assertion with its type and the client id (RFC 7523 §2.2), without the newline of the file', async () => {
    using folder = createFolder();
    folder.write('token', `\uFEFF${jwt(60)}\r\n`);
    const { form } = await createWorld(folder).authenticate();
    expect(Object.fromEntries(form)).toEqual({
      client_id: 'my-erp',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: jwt(60),
    });
  });

  it('reads the file at each request, and knows a renewed one by its fingerprint', async () => {
    using folder = createFolder();
    const world = createWorld(folder);
    const prints = [world.secret.fingerprint];
    for (const life of [60, 120]) {
      folder.write('token', jwt(life));
      expect((await world.authenticate()).form.get('client_assertion')).toBe(jwt(life));
      prints.push(world.secret.fingerprint);
    }
    expect(new Set(prints).size).toBe(3);
    // Members of a fleet compare what looks like the fingerprint of a secret: each may have an assertion of its own.
    for (const print of prints) expect(print).not.toMatch(/^[0-9a-f]{8}$/);
  });

  it.each([
    ['in a second', 1, undefined],
    ['now', 0, 'assertion_expired'],
    ['a second ago', -1, 'assertion_expired'],
    ['never, which the server has to judge', undefined, undefined],
  ])('that expires %s gives %s', async (_when, inS, result) => {
    using folder = createFolder();
    folder.write('token', jwt(inS));
    const tried = await createWorld(folder).authenticate();
    expect([tried.result, tried.form.has('client_assertion')]).toEqual([result, result === undefined]);
  });

  it.each([
    ['text', '"abc"', 'assertion_not_jwt'],
    ['a number as text', '"99999999999"', 'assertion_not_jwt'],
    ['null', 'null', 'assertion_not_jwt'],
    ['a mapping', '{}', 'assertion_not_jwt'],
    ['before all time', '-1e300', 'assertion_expired'],
    ['after all time', '1e308', undefined],
    ['later than a Date can be', '9e15', undefined],
    ['a fraction of a second away', String(NOW / 1000 + 0.5), undefined],
  ])('with %s as expiry gives a result, and a look at it between requests never throws', async (_what, exp, result) => {
    using folder = createFolder();
    const part = (text: string) => Buffer.from(text).toString('base64url');
    folder.write('token', `${part('{"alg":"none"}')}.${part(`{"exp":${exp},"iss":5,"sub":{},"aud":[1,null]}`)}.c2ln`);
    const world = createWorld(folder);
    expect((await world.authenticate()).result).toBe(result);
    const expiry = world.secret.expiresAt?.();
    expect(expiry === undefined || new Date(expiry).toISOString()).toBeTruthy();
    const read = await readAssertion(`${folder.path}/token`, NOW);
    if ('assertion' in read)
      expect(read.assertion).toMatchObject({ issuer: undefined, subject: undefined, audience: [] });
  });

  it('learns the expiry of a renewed file without a request, looks at most every ten seconds, and keeps it when the file goes', async () => {
    using folder = createFolder();
    const world = createWorld(folder);
    const expiry = () => (world.secret.expiresAt?.() ?? 0) - NOW;
    folder.write('token', jwt(60));
    await world.authenticate();
    folder.write('token', jwt(600));
    world.pass(9);
    expect(expiry()).toBe(60_000);
    world.pass(1);
    await until('the new expiry is known', () => expiry() === 600_000);
    rmSync(`${folder.path}/token`);
    world.pass(20);
    expect(expiry()).toBe(600_000);
  });
});

describe('the options of client_assertion_file', () => {
  const OWN = { auth: 'client_assertion_file', assertion: { file: 'token' } };
  const problems = (folder: Folder, credential: object) => {
    const { ARITMA_CLIENT_SECRET: _none, ...env } = COMPLETE_ENV;
    const yaml = JSON.stringify({ credentials: { default: credential } });
    return problemsOf(folder, { yaml, env }).map(({ path, message }) => `${path} ${message}`);
  };
  it.each([
    ['no file', { auth: 'client_assertion_file' }, 'assertion is required with auth: client_assertion_file'],
    [
      'a file for another way',
      { assertion: { file: 'a' }, secrets: [{ env: 'A' }] },
      'assertion needs auth: client_assertion_file',
    ],
    [
      'secrets beside it',
      { ...OWN, secrets: [{ env: 'A' }] },
      'secrets must not be there with auth: client_assertion_file',
    ],
    ['a rotation', { ...OWN, rotation: { journal: 'j' } }, 'rotation is only for client secrets'],
    ['an audience', { ...OWN, assertionAudience: 'x' }, 'assertionAudience needs auth: private_key_jwt'],
    [
      'a key id',
      { ...OWN, assertion: { file: 'token', kid: 'a' } },
      'assertion.kid unknown option; allowed here: file',
    ],
    ['an empty name', { ...OWN, assertion: { file: '' } }, 'assertion.file must be at least 1 characters long'],
  ])('refuse %s, and say what to do', (_what, credential, says) => {
    using folder = createFolder();
    expect(problems(folder, credential).join('\n')).toContain(`credentials.default.${says}`);
  });

  it('leave secrets required for every other way, also beside another mistake', () => {
    using folder = createFolder();
    expect(problems(folder, { scope: 5 })).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^credentials\.default\.secrets is required$/),
        expect.stringMatching(/^credentials\.default\.scope /),
      ]),
    );
  });
});
