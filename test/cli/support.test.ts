// The support file of the command: what is in it with and without a running sidecar, and that no planted secret is.
import { closeSync, existsSync, lstatSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { jsonLines, run } from '../support/cli.ts';
import { createFolder } from '../support/folder.ts';
import { leaksOf } from '../support/leaks.ts';
import { exchange, startRawUpstream } from '../support/raw.ts';
import { grant, json, type TokenAnswerer } from '../support/token-server.ts';
import { createWorld } from '../support/world.ts';

/** With characters that each encoding writes in its own way. */
const PLANTED = {
  clientSecret: 'PLANT"client/secret+4711\\x',
  secondSecret: 'PLANTsecondSecretInAFile99',
  callerKey: 'PLANT-caller-key-of-an-erp-4182',
  opaqueToken: 'PLANT-opaque.token~0815',
  jwt: `eyJhbGciOiJub25lIn0.${Buffer.from('{"sub":"PLANTED","aud":"x"}').toString('base64url')}.UExBTlQ`,
  callersToken: 'PLANT-token-of-the-caller-1',
  proxyPassword: 'PLANTproxyPassword8',
  environment: 'PLANT-othr-vrbl-3141592',
  parameter: 'PLANT-frm-prmtr-2718281',
  query: 'PLANT-qry-161803398',
  account: 'NO9386011117947',
} as const;

/** Repeats everything it was sent, wherever a response has room. */
const echoing: TokenAnswerer = (res, { form, headers }) => {
  const sent = `${form} ${JSON.stringify(headers)}`;
  const said = { error: form.get('client_secret'), error_description: sent, error_uri: `https://x/?${form}` };
  json(400, said, { 'X-Echo': encodeURIComponent(sent) })(res, { form, headers, method: 'POST' }, 0);
};

/** Repeats the token in its error page and challenge. */
const nastyApi = () =>
  startRawUpstream((socket, received) => {
    const [, token = ''] = /authorization: Bearer ([^\r]*)/i.exec(received) ?? [];
    const page = `<h1>not allowed: ${token} ${Buffer.from(token).toString('base64')}</h1>`;
    const head = `WWW-Authenticate: Bearer error="invalid_token", error_description="${token}", realm="${token}"`;
    if (received.includes('\r\n\r\n'))
      socket.end(
        `HTTP/1.1 401 ${token}\r\n${head}\r\nContent-Length: ${page.length}\r\nConnection: close\r\n\r\n${page}`,
      );
  });

const certificates = makeCertificates((authority) => ({
  // Expires soon, so that the doctor names it.
  named: authority.issue(PLANTED.secondSecret, 'IP:127.0.0.1', 5),
}));

/** A sidecar in which everything was planted and had the chance to leak; returns what the command wrote, and naive dumps. */
async function plantedFile(adminActions: boolean) {
  const api = await nastyApi();
  await using world = await createWorld(api.url);
  const { named } = certificates();
  const secondFile = world.folder.write('second', `${PLANTED.secondSecret} \n`);
  const keyFile = world.folder.write('key', PLANTED.callerKey);
  const credential = {
    tokenEndpoint: world.identity.url,
    // The right values in wrong places.
    ...{ clientId: PLANTED.clientSecret, scope: `api ${PLANTED.secondSecret}` },
    parameters: { extra: PLANTED.parameter, again: PLANTED.clientSecret },
    secrets: [{ env: 'TEST_SECRET' }, { file: secondFile }],
  };
  const tls = { cert: named.certFile, key: named.keyFile };
  const config = {
    admin: adminActions ? '127.0.0.1:0' : `unix:${world.folder.path}/admin.sock`,
    adminActions,
    credentials: { default: credential },
    callers: { keys: { [`erp-of-oslo`]: { secrets: [{ file: keyFile }] } } },
    routes: [
      { path: '/api', upstream: api.url },
      { path: '/other', upstream: 'https://127.0.0.1:9', tls },
    ],
    log: { level: 'debug', format: 'json' },
    token: { waitTimeout: '300ms' },
  };
  const env = {
    TEST_SECRET: PLANTED.clientSecret,
    HTTPS_PROXY: `http://user:${PLANTED.proxyPassword}@127.0.0.1:9`,
    OTHER: PLANTED.environment,
  };
  world.identity.answerWith(grant(PLANTED.opaqueToken));
  const sidecar = await world.serve(config, { env });
  const port = Number(new URL(sidecar.url).port);
  const ask = (path: string) =>
    exchange(
      port,
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nX-Sidecar-Key: ${PLANTED.callerKey}\r\nAuthorization: Bearer ${PLANTED.callersToken}\r\nConnection: close\r\n\r\n`,
    );
  const traffic = async () => {
    const path = `/api/accounts/${PLANTED.account}/${encodeURIComponent(PLANTED.clientSecret)}`;
    return [await ask(`${path}?access_token=${PLANTED.query}`), await ask(`${path}?q=${PLANTED.query}`)];
  };
  const responses = await traffic();
  world.identity.answerWith(grant(PLANTED.jwt));
  responses.push(...(await traffic()));
  world.identity.answerWith(echoing);
  responses.push(...(await traffic()));
  // The doctor gets a token that the API then repeats.
  world.identity.answerWith(grant(PLANTED.jwt, { scope: PLANTED.clientSecret }));
  const file = join(world.folder.path, 'support.txt');
  const configFile = join(world.folder.path, 'config-0.yaml');
  const admin = adminActions ? new URL(sidecar.adminUrl).host : config.admin;
  const flags = ['support', '--config', configFile, '--admin', admin, '--output', file];
  const ended = await run(flags, { env });
  const text = readFileSync(file, 'utf8');
  const naive = [readFileSync(configFile, 'utf8'), JSON.stringify(env), sidecar.stdout(), responses.join('\n')].join(
    '\n',
  );
  await api.close();
  return { ended, text, naive };
}

describeWithOpenssl('the support file of a sidecar in which secrets were planted', () => {
  it.each([
    ['over TCP with adminActions', true],
    ['over a Unix socket', false],
  ])('has none of them in any form, and has configuration, state, findings, metrics and log (%s)', async (_, tcp) => {
    const { ended, text, naive } = await plantedFile(tcp);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    const leaks = Object.entries(PLANTED).flatMap(([name, value]) =>
      leaksOf(text, value).map((form) => `${name}, ${form}`),
    );
    expect(leaks).toEqual([]);
    // It is no empty file.
    expect(text).toMatch(/^clientId|clientId: "?\[secret\]/m);
    expect(text).toContain('tokenEndpoint: http://127.0.0.1:');
    expect(text).toContain('again: "[value]"');
    expect(text).toMatch(/^ok {4}configuration: valid/m);
    expect(text).toMatch(/"recentErrors": \[\s+\{/);
    expect(text).toMatch(/^aritma_sidecar_requests_total\{route="\/api",method="GET",code="\d+"\} \d/m);
    expect(text).toMatch(/"caller":"erp-of-oslo".*"path":"\/api\/accounts\/\[id\]\/\[(?:id|secret)\]"/);
    // The naive dump of the same things has nearly all.
    const kept = Object.values(PLANTED).filter((value) => leaksOf(naive, value).length > 0);
    expect(kept.length).toBeGreaterThanOrEqual(7);
  });
});

const CONFIG = {
  listen: '127.0.0.1:0',
  admin: '127.0.0.1:9',
  credentials: { default: { tokenEndpoint: 'http://127.0.0.1:9/token', clientId: 'my-erp', secrets: [{ env: 'S' }] } },
  routes: [{ path: '/api', upstream: 'http://127.0.0.1:9' }],
};

function prepared(config: object = CONFIG) {
  const folder = createFolder();
  const file = folder.write('config.yaml', JSON.stringify(config));
  const support = (...more: string[]) =>
    run(['support', '--config', file, ...more], { env: { S: 'a-secret-of-the-test' }, cwd: folder.path });
  const made = () => readdirSync(folder.path).filter((name) => name !== 'config.yaml');
  return { folder, support, made, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

/** Interrupts the program when it has written the file beside its place. */
const INTERRUPT = `import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
const { link } = fs;
fs.link = async (...names) => {
  process.kill(process.pid, 'SIGINT');
  await new Promise((resolve) => setTimeout(resolve, 200));
  return link(...names);
};
syncBuiltinESMExports();`;

describe.concurrent('support', () => {
  it('writes a file of its own name for its owner only, says where, and leaves nothing else', async () => {
    using place = prepared();
    const { code, stdout, stderr } = await place.support();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [name = '', ...others] = place.made();
    expect(others).toEqual([]);
    expect(name).toMatch(/^aritma-sidecar-support-\d{8}T\d{6}Z\.txt$/);
    const stats = lstatSync(join(place.folder.path, name));
    expect(stats.mode & 0o777).toBe(0o600);
    expect(jsonLines(stdout)).toEqual([{ file: join(place.folder.path, name), bytes: stats.size }]);
  });

  it('says that no sidecar responds, and has configuration and findings without one', async () => {
    using place = prepared();
    const { stdout } = await place.support('--output', '-');
    expect(place.made()).toEqual([]);
    expect(stdout).toMatch(/^Read this file before you send it\.$/m);
    expect(stdout).toContain('No sidecar responds at 127.0.0.1:9');
    expect(stdout).toContain('clientId: my-erp');
    expect(stdout).toMatch(/FAIL {2}network credential default/);
    expect(stdout).toMatch(/^node +v\d/m);
  });

  it('names the flags and variables that set an option', async () => {
    using place = prepared();
    const { stdout } = await place.support('--output', '-', '--client-id', 'other');
    expect(stdout).toContain('# credentials.default.clientId: set by flag --client-id');
  });

  it('is also written when the configuration is invalid, and then does not contain it', async () => {
    using place = prepared({ ...CONFIG, bogus: 'PLANT-in-an-unknown-option' });
    const { code, stdout } = await place.support('--output', '-');
    expect(code).toBe(0);
    expect(stdout).toMatch(/bogus.*unknown option/);
    expect(stdout).not.toMatch(/PLANT|clientId: my-erp/);
    expect(stdout).toContain('No sidecar responds at 127.0.0.1:9');
  });

  it('replaces no file, and exits 2', async () => {
    using place = prepared();
    const file = place.folder.write('mine.txt', 'mine');
    const { code, stderr } = await place.support('--output', file);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('exists; choose another name') });
    expect(readFileSync(file, 'utf8')).toBe('mine');
    expect(place.made()).toEqual(['mine.txt']);
  });

  it('exits 2 and names the folder when that does not exist', async () => {
    using place = prepared();
    const { code, stderr } = await place.support('--output', join(place.folder.path, 'no/where.txt'));
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/no does not exist .*create/) });
  });

  it('leaves a whole file and nothing else when it is interrupted while it writes', async () => {
    using place = prepared();
    const preload = place.folder.write('interrupt.mjs', INTERRUPT);
    const env = { S: 'a-secret-of-the-test', NODE_OPTIONS: `--import=${preload}` };
    const config = join(place.folder.path, 'config.yaml');
    await run(['support', '--config', config, '--output', 'x.txt'], { env, cwd: place.folder.path });
    expect(place.made().sort()).toEqual(['interrupt.mjs', 'x.txt']);
  });

  it.skipIf(!existsSync('/dev/full'))('exits 2 when standard output has no room for it', async () => {
    using place = prepared();
    const full = openSync('/dev/full', 'w');
    const config = join(place.folder.path, 'config.yaml');
    const { code, stderr } = await run(['support', '--config', config, '--output', '-'], { stdout: full });
    closeSync(full);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringMatching(/standard output.*ENOSPC/) });
  });

  it('has no secret that was replaced while the sidecar runs', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const [before, after] = ['PLANT-of-the-time-before', 'PLANT-of-the-time-after'];
    const file = world.folder.write('secret', before);
    const credential = { tokenEndpoint: world.identity.url, clientId: 'x', scope: 'api', secrets: [{ file }] };
    const sidecar = await world.serve({ adminActions: true, credentials: { default: credential } });
    await fetch(`${sidecar.url}/api/${before}`);
    world.folder.write('secret', after);
    sidecar.kill('SIGHUP');
    await sidecar.untilStdout(/configuration reloaded/);
    await fetch(`${sidecar.url}/api/${after}`);
    const text = await (await fetch(`${sidecar.adminUrl}/support?doctor=no`)).text();
    expect(text.match(/"path":"\/api\/\[secret\]"/g)?.length).toBeGreaterThanOrEqual(2);
    expect(text).not.toContain('PLANT');
  });

  it('has state and metrics, and says how to get the log, where the sidecar gives out only what everybody may see', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const sidecar = await world.serve();
    const config = join(world.folder.path, 'config-0.yaml');
    const { host } = new URL(sidecar.adminUrl);
    const env = { TEST_SECRET: 'any' };
    const { code, stdout } = await run(['support', '--config', config, '--admin', host, '--output', '-'], { env });
    expect(code).toBe(0);
    expect(stdout).toMatch(/does not give out its log there \(HTTP 403\).*unix:/);
    expect(stdout).toContain('"verdict"');
    expect(stdout).toMatch(/^aritma_sidecar_build_info/m);
    expect(stdout).not.toContain('==== end of the log');
  });

  it('is given by a running sidecar with findings of check, which requests tokens at most twice a minute', async () => {
    await using world = await createWorld('http://127.0.0.1:9');
    const sidecar = await world.serve({ adminActions: true });
    const ask = async () => (await fetch(`${sidecar.adminUrl}/support`)).text();
    const text = await ask();
    expect(text).toMatch(/^==== check ====$/m);
    expect(text).toMatch(/^ok {4}listen .*: (?:free|in use by a running sidecar)/m);
    expect(text).toMatch(/^ok {4}token default \(api\): obtained/m);
    expect(text).toMatch(/^FAIL {2}network route \/api/m);
    const { length } = world.identity.calls;
    await Promise.all([ask(), ask()]);
    expect(world.identity.calls.length).toBe(length);
  });
});
