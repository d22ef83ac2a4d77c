// The doctor as people start it: what a healthy set-up looks like, what runs already, and what takes for ever.
import { generateKeyPairSync } from 'node:crypto';
import { chownSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type Addresses, addressesOf, start } from '../support/cli.ts';
import { freePort } from '../support/free-port.ts';
import { createPatient, http, jwt, misjudged, SECRET, startMute } from '../support/patient.ts';
import { grant, json } from '../support/token-server.ts';

const OTHER = 'CANARY-another-secret-0815';

describe('check as a program', () => {
  it('has nothing but good to say of a healthy set-up', async () => {
    await using patient = await createPatient();
    patient.answer((...args) => grant(jwt({}))(...args));
    patient.credential['secrets'] = [{ file: patient.folder.write('secret', SECRET) }];
    const told = await patient.run('--json');
    expect(told.code).toBe(0);
    expect(told.findings.map(({ level }) => level)).not.toContain('warning');
    expect(told.findings.at(-1)).toEqual({
      level: 'ok',
      subject: expect.stringMatching(/^upstream \/banking → http/),
      message: 'reached (HTTP 204)',
    });
    expect(told.output).not.toMatch(/CANARY|eyJ/);
    expect(patient.identity.calls).toHaveLength(1);
  });

  it('tells in fields what to do, with a code and a finer cause', async () => {
    await using patient = await createPatient();
    patient.answer(json(400, { error: 'invalid_client', error_description: 'CANARY' }));
    const told = await patient.run('--json');
    const setup = { exit: 5, code: 'CREDENTIALS_REJECTED', cause: 'token_invalid_client' };
    expect(misjudged({ ...setup, message: /does not accept/, fix: /Aritma IAM/ }, told)).toEqual([]);
    expect(Object.keys(told.findings.find(({ level }) => level === 'error') ?? {})).toEqual([
      ...['level', 'subject', 'code', 'cause', 'message', 'fix'],
    ]);
  });

  it('names every cause in one run, the most fundamental one by its exit code', async () => {
    await using patient = await createPatient();
    patient.config.credentials['other'] = { ...patient.credential, tokenEndpoint: 'http://127.0.0.1:9/token' };
    patient.config.routes.push({
      ...patient.route,
      path: '/events',
      credential: 'other',
      upstream: 'http://127.0.0.1:9',
    });
    patient.api(http('401 Unauthorized\r\nWWW-Authenticate: Bearer'));
    patient.config.admin = 'unix:/nonexistent/s';
    const told = await patient.run();
    expect(told.code).toBe(2);
    expect(told.findings.flatMap(({ level, code, cause }) => (level === 'error' ? [`${code} ${cause}`] : []))).toEqual([
      'SIDECAR_LISTEN_FAILED listener_folder_missing',
      'TOKEN_UNAVAILABLE connect_refused',
      'UPSTREAM_REFUSED_TOKEN upstream_401',
      'UPSTREAM_UNREACHABLE connect_refused',
    ]);
  });

  it('shows each secret once, and tells which one works and which one does not', async () => {
    await using patient = await createPatient();
    patient.env['OTHER'] = OTHER;
    patient.credential['secrets'] = [{ env: 'OTHER' }, { env: 'S' }];
    patient.config.routes.push({ ...patient.route, path: '/events', scope: 'api events' });
    patient.answer((res, call, count) => {
      const wrong = call.form.get('client_secret') === OTHER;
      (wrong ? json(400, { error: 'invalid_client' }) : grant('CANARY-t', { scope: 'api events' }))(res, call, count);
    });
    const told = await patient.run('--json');
    const setup = { exit: 0, level: 'warning', code: 'CREDENTIALS_REJECTED' } as const;
    const message =
      /secret 1 \(fingerprint [0-9a-f]{8}\) is refused .* although secret 2 \(fingerprint [0-9a-f]{8}\) works/;
    expect(misjudged({ ...setup, cause: 'secret_refused', message, fix: /calls fail/ }, told)).toEqual([]);
    const asked = patient.identity.calls.map(({ form }) => [form.get('client_secret') === OTHER, form.get('scope')]);
    expect(asked).toEqual([
      [true, 'api'],
      [false, 'api'],
      [false, 'api events'],
    ]);
  });

  it('shows nothing of a private key, whether the server takes what it signed or not', async () => {
    await using patient = await createPatient();
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    Object.assign(patient.credential, {
      auth: 'private_key_jwt',
      secrets: [{ file: patient.folder.write('key', pem) }],
    });
    const good = await patient.run('--json');
    patient.answer(json(400, { error: 'invalid_client' }));
    const bad = await patient.run('--json');
    expect([good.code, bad.code]).toEqual([0, 5]);
    expect(pem.split('\n').filter((line) => line !== '' && (good.output + bad.output).includes(line))).toEqual([]);
  });

  it('recognizes a sidecar that runs already, on both of its addresses', async () => {
    await using patient = await createPatient();
    patient.config.admin = `unix:${patient.folder.path}/admin.sock`;
    patient.config.listen = `127.0.0.1:${await freePort()}`;
    const file = patient.folder.write('serve.yaml', JSON.stringify(patient.config));
    await using sidecar = start(['--config', file], { env: patient.env });
    const { url }: Addresses = await addressesOf(sidecar);
    expect(url).toContain(patient.config.listen);
    const { code, findings } = await patient.check();
    const told = findings.filter(({ subject }) => /^(listen|admin)/.test(String(subject)));
    expect({ code, told }).toEqual({
      code: 0,
      told: [
        {
          level: 'ok',
          subject: `listen ${patient.config.listen}`,
          message: expect.stringMatching(/^in use by a running sidecar: version/),
        },
        expect.objectContaining({ level: 'ok', message: expect.stringMatching(/version \d.*, up \d+ s, /) }),
      ],
    });
  });

  it('takes less than half a minute when proxy, token endpoint, API and listeners all hang', async () => {
    await using patient = await createPatient();
    const mute = patient.keep(await startMute());
    await patient.proxied('silent');
    patient.config.listen = `127.0.0.1:${mute.port}`;
    patient.credential['tokenEndpoint'] = `http://127.0.0.1:${mute.port}/token`;
    patient.config.credentials['proxied'] = { ...patient.credential, tokenEndpoint: 'https://id.test/token' };
    patient.config.credentials['tls'] = { ...patient.credential, tokenEndpoint: `https://127.0.0.1:${mute.port}/t` };
    patient.config.credentials['good'] = { ...patient.credential, tokenEndpoint: patient.identity.url };
    const upstream = `http://127.0.0.1:${mute.port}`;
    patient.config.routes.push(
      { ...patient.route, path: '/a', credential: 'proxied', upstream: 'https://bank.test' },
      { ...patient.route, path: '/b', credential: 'tls', upstream: `https://127.0.0.1:${mute.port}` },
      { ...patient.route, path: '/c', credential: 'good', upstream },
    );
    const told = await patient.run('--json');
    expect(told.code).toBe(2);
    expect(told.seconds).toBeLessThan(20);
    expect(told.findings.flatMap(({ level, cause }) => (level === 'error' ? [cause] : []))).toEqual([
      ...['listener_taken', 'token_timeout', 'proxy_timeout', 'tls_silent'],
      ...['proxy_timeout', 'tls_silent', 'answer_timeout'],
    ]);
  });

  it.skipIf(process.getuid?.() !== 0)('doubts a secret file of another user', async () => {
    await using patient = await createPatient();
    const file = patient.folder.write('secret', SECRET);
    chownSync(file, 65_534, 65_534);
    patient.credential['secrets'] = [{ file }];
    const setup = { exit: 0, level: 'warning', code: 'CONFIG_INVALID' } as const;
    const cause = 'file_of_another_user';
    expect(misjudged({ ...setup, cause, message: /user 65534.*user 0/, fix: /chown/ }, await patient.check())).toEqual(
      [],
    );
  });
});
