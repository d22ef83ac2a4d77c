/** Set-ups that are broken in one place, and what has to be said of each: what is wrong, and what to do about it. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { ServerOptions } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'vitest';
import { lockForWriting } from '../../src/sidecar/audit/writer-lock.ts';
import { startBlackhole } from './blackhole.ts';
import { makeCertificates } from './certificates.ts';
import { createFolder } from './folder.ts';
import type { Expected, View } from './four-views.ts';
import { listenApart } from './free-port.ts';
import { signItself } from './odd-certificates.ts';
import { http, jwt, type Patient, startMute } from './patient.ts';
import { startTlsServer } from './tls-server.ts';
import { grant, json } from './token-server.ts';

export interface BrokenSetup extends Expected {
  readonly what: string;
  readonly harm: (patient: Patient) => unknown;
  /** Of the call; GET without. */
  readonly method?: 'POST';
  /** Whether this machine can be made so; yes without. */
  readonly isPossible?: () => boolean;
  /** Where a view says it in its own way; as text: why it can say nothing of it. */
  readonly views?: Partial<Readonly<Record<View, Expected | string>>>;
}

const NOT_STARTED = 'the sidecar does not start';
const STARTS_NOT = { response: NOT_STARTED, page: NOT_STARTED } as const;
const THEIR_OWN = 'the API’s own response, forwarded unchanged';
const CALLS_WORK = 'calls work';

const certificates = makeCertificates((authority, folder) => ({
  good: authority.issue('good', 'IP:127.0.0.1', 90),
  expired: authority.issue('expired', 'IP:127.0.0.1', -1),
  wrongName: authority.issue('wrong-name', 'DNS:other.test', 90),
  selfSigned: signItself(folder),
}));
const OLD_TLS = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;

const oauth = (error: string) => (patient: Patient) => patient.answer(json(400, { error }));
const page = (status: number, headers: Record<string, string>, body: string) => (patient: Patient) =>
  patient.answer((res) => res.writeHead(status, headers).end(body));
const api = (bytes: string) => (patient: Patient) => patient.api(bytes);
const tokenEndpoint = (url: string) => (patient: Patient) => Object.assign(patient.credential, { tokenEndpoint: url });

/** The identity server speaks TLS with this. */
const identityTls = (options: () => ServerOptions, isTrusted: boolean) => async (patient: Patient) => {
  const { port } = patient.keep(await startTlsServer(options()));
  tokenEndpoint(`https://127.0.0.1:${port}/connect/token`)(patient);
  if (isTrusted) patient.credential['tls'] = { ca: certificates().authority.caFile };
};

const identityAt =
  (open: () => Promise<{ readonly port: number; close(): unknown }>, scheme = 'http') =>
  async (patient: Patient) => {
    const { port } = patient.keep(await open());
    tokenEndpoint(`${scheme}://127.0.0.1:${port}/connect/token`)(patient);
  };

/** Of a port that is free, and stays so: none that the system gives away. */
async function nobody(): Promise<number> {
  const server = createServer();
  const port = await listenApart(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const IDENTITY: readonly BrokenSetup[] = [
  {
    what: 'the client id is of another environment',
    harm(patient) {
      patient.credential['clientId'] = 'erp-of-dev';
      patient.answer((res, call, count) =>
        (call.form.get('client_id') === 'erp' ? grant('CANARY') : json(400, { error: 'invalid_client' }))(
          res,
          call,
          count,
        ),
      );
    },
    ...{ cause: 'token_invalid_client', says: /does not accept client id and secret/, fix: /compare the client id/i },
  },
  {
    what: 'the secret is wrong or has expired',
    harm: oauth('invalid_client'),
    ...{ cause: 'token_invalid_client', says: /every secret is wrong or expired/, fix: /create a new secret/i },
  },
  {
    what: 'the client may not use this grant',
    harm: oauth('unauthorized_client'),
    ...{ cause: 'token_unauthorized_client', says: /may not use client_credentials/, fix: /allowedGrantTypes/ },
  },
  {
    what: 'the scope is mistyped',
    harm: oauth('invalid_scope'),
    ...{ cause: 'token_invalid_scope', says: /scope .*unknown or not allowed/i, fix: /correct `?scope`?/i },
  },
  {
    what: 'the path of the token endpoint is wrong',
    harm: page(404, {}, 'nothing here'),
    ...{ cause: 'token_http_404', says: /nothing at this path/, fix: /\/connect\/token/ },
  },
  {
    what: 'the token endpoint has moved',
    harm: page(302, { Location: 'https://login.example/CANARY' }, ''),
    ...{ cause: 'token_redirect', says: /redirect .*https:\/\/login\.example/, fix: /write it into tokenEndpoint/ },
  },
  {
    what: 'a captive portal responds',
    harm: page(200, { 'Content-Type': 'text/html' }, '<html>CANARY</html>'),
    ...{ cause: 'token_web_page', says: /web page/, fix: /captive portal/ },
  },
  {
    what: 'the response is no JSON',
    harm: page(200, { 'Content-Type': 'application/json' }, '{"access_token": CANARY'),
    ...{ cause: 'token_not_json', says: /not a token response/, fix: /compare tokenEndpoint/i },
  },
  {
    what: 'the token is of another type',
    harm: (patient) => patient.answer(grant('CANARY', { token_type: 'DPoP' })),
    ...{ cause: 'token_bad_token_type', says: /no bearer token/, fix: /issued bearer tokens/ },
  },
  {
    what: 'the token has expired when it is issued',
    harm: (patient) => patient.answer(grant('CANARY', { expires_in: 0 })),
    ...{ cause: 'token_bad_expires_in', says: /has expired already/, fix: /token lifetime/ },
  },
  {
    what: 'the identity server fails',
    harm: page(500, {}, 'CANARY'),
    ...{ cause: 'token_http_500', says: /not available/, fix: /try again later/i },
  },
  {
    what: 'the identity server takes the request and says nothing',
    harm: identityAt(() => startMute()),
    ...{ cause: 'token_timeout', says: /does not respond/, fix: /try again later/i },
  },
  {
    what: 'nothing listens at the token endpoint',
    harm: async (patient) => tokenEndpoint(`http://127.0.0.1:${await nobody()}/connect/token`)(patient),
    ...{ cause: 'connect_refused', says: /nothing listens at 127/i, fix: /host and port of tokenEndpoint/ },
  },
  {
    what: 'the identity server’s host name does not exist',
    harm: tokenEndpoint('https://id.invalid/connect/token'),
    ...{
      cause: 'dns_no_such_name',
      says: /host name of id\.invalid:443 cannot be resolved/,
      fix: /spelling of tokenEndpoint/,
    },
  },
  {
    what: 'a firewall drops the packets to the identity server',
    harm: identityAt(startBlackhole, 'http'),
    ...{ cause: 'connect_timeout', says: /does a firewall drop the packets/, fix: /HTTPS_PROXY/ },
  },
  {
    what: 'the proxy wants a password',
    harm(patient) {
      tokenEndpoint('https://id.test/connect/token')(patient);
      return patient.proxied(407);
    },
    ...{ cause: 'proxy_credentials', says: /proxy 127.* HTTP 407/, fix: /user:password@proxy/ },
  },
  {
    what: 'nothing listens at the proxy',
    async harm(patient) {
      tokenEndpoint('https://id.test/connect/token')(patient);
      patient.env['HTTPS_PROXY'] = `http://127.0.0.1:${await nobody()}`;
    },
    ...{ cause: 'proxy_refused', says: /nothing listens at the proxy/i, fix: /compare host and port in HTTPS_PROXY/i },
  },
  {
    what: 'the identity server’s CA is unknown',
    harm: identityTls(() => certificates().good, false),
    ...{ cause: 'tls_unknown_ca', says: /certificate of 127.* is not trusted/, fix: /NODE_EXTRA_CA_CERTS/ },
  },
  {
    what: 'the identity server’s certificate has expired',
    harm: identityTls(() => certificates().expired, true),
    ...{
      cause: 'tls_expired',
      says: /certificate of 127.* expired/,
      fix: /renewed at the server|operator of the server to renew it/,
    },
  },
  {
    what: 'the identity server’s certificate is self-signed',
    harm: identityTls(() => certificates().selfSigned, false),
    ...{ cause: 'tls_self_signed', says: /certificate of 127.* is self-signed/, fix: /tls\.ca/ },
  },
  {
    what: 'the identity server’s certificate is for another name',
    harm: identityTls(() => certificates().wrongName, true),
    ...{ cause: 'tls_name_mismatch', says: /for other names/, fix: /one of (its|these) names/ },
  },
  {
    what: 'the token endpoint is http and the URL https',
    harm: identityAt(() => startMute('HTTP/1.1 400 Bad Request\r\n\r\n'), 'https'),
    ...{ cause: 'tls_not_spoken', says: /does not speak TLS/, fix: /port of tokenEndpoint/ },
  },
  {
    what: 'the identity server’s TLS is too old',
    harm: identityTls(() => ({ ...certificates().good, ...OLD_TLS }), true),
    ...{ cause: 'tls_too_old', says: /no TLS version later than 1\.1/, fix: /TLS 1\.2 or 1\.3/ },
  },
  {
    what: 'this machine’s clock is ten minutes ahead',
    harm: (patient) =>
      patient.answer((res, call, count) => {
        res.setHeader('Date', new Date(Date.now() - 600_000).toUTCString());
        grant(jwt({}))(res, call, count);
      }),
    ...{ cause: 'clock_skew', says: /clock is \d+ s ahead/, fix: /NTP/ },
    views: { log: CALLS_WORK, response: CALLS_WORK, page: CALLS_WORK },
  },
];

const APIS: readonly BrokenSetup[] = [
  {
    what: 'nothing listens at the API',
    async harm({ route }) {
      route['upstream'] = `http://127.0.0.1:${await nobody()}`;
    },
    ...{ cause: 'connect_refused', says: /nothing listens at 127/i, fix: /host and port of upstream/ },
  },
  {
    what: 'a firewall drops the packets to the API',
    async harm({ route, keep }) {
      route['upstream'] = `http://127.0.0.1:${keep(await startBlackhole()).port}`;
    },
    ...{ cause: 'connect_timeout', says: /does a firewall drop the packets/, fix: /HTTPS_PROXY/ },
  },
  {
    what: 'the API takes the request and says nothing',
    harm: (patient) => patient.api(undefined),
    ...{ cause: 'answer_timeout', says: /takes the request and does not respond/, fix: /operator about its state/ },
  },
  {
    what: 'the API’s CA is unknown',
    async harm({ route, keep }) {
      route['upstream'] = `https://127.0.0.1:${keep(await startTlsServer(certificates().good)).port}`;
    },
    ...{ cause: 'tls_unknown_ca', says: /certificate of 127.* is not trusted/, fix: /NODE_EXTRA_CA_CERTS/ },
  },
  {
    what: 'the API is no web server',
    harm: api('220 CANARY ESMTP\r\n'),
    ...{ cause: 'not_http', says: /does not speak HTTP/, fix: /host and port of upstream/ },
  },
  {
    what: 'the API cuts the connection',
    harm: api(''),
    ...{ cause: 'connection_reset', says: /takes the connection and cuts it/, fix: /ask its operator/ },
  },
  {
    what: 'the API fails',
    harm: api(http('500 Broken', 'CANARY')),
    ...{ cause: 'api_error', says: /HTTP 500/, fix: /whoever runs the API/ },
    views: {
      check: { cause: 'upstream_server_error', says: /API .*fails \(HTTP 500\)/, fix: /ask the API’s operator/ },
      response: THEIR_OWN,
    },
  },
  {
    what: 'the API refuses the token',
    harm: api(
      http('401 No\r\nWWW-Authenticate: Bearer error="invalid_token", error_description="The audience is wrong"'),
    ),
    ...{ cause: 'api_refuses_token', says: /refuses the token.*HTTP 401/, fix: /scope and audience/ },
    views: {
      check: {
        cause: 'upstream_401_audience',
        says: /refuses the token: .*another audience/,
        fix: /correct `audience`/,
      },
      response: THEIR_OWN,
    },
  },
  {
    what: 'the API allows this client nothing',
    harm: api(http('403 No', 'CANARY')),
    ...{ cause: 'api_forbids', says: /does not allow this client .*HTTP 403/, fix: /policy in Aritma IAM/ },
    views: {
      check: { cause: 'upstream_403', says: /does not allow this client/, fix: /policy in Aritma IAM/ },
      response: THEIR_OWN,
      page: 'what one client may do differs from call to call, so it is no verdict on the route',
    },
  },
];

const MACHINE: readonly BrokenSetup[] = [
  {
    what: 'another program has the port',
    async harm(patient) {
      const server = createServer((socket) => socket.destroy());
      const port = await listenApart(server);
      patient.keep(server);
      patient.config.listen = `127.0.0.1:${port}`;
    },
    ...{
      cause: 'listener_taken',
      says: /another program.* has 127\.0\.0\.1:\d+/i,
      fix: /stop it, or configure another/i,
    },
    views: {
      log: { says: /another program.* has 127\.0\.0\.1:\d+/i, fix: /stop it, or configure another/i },
      ...STARTS_NOT,
    },
  },
  {
    what: 'an option is mistyped',
    harm: ({ config }) => Object.assign(config, { timeoutz: { connect: '1s' } }),
    ...{ cause: 'configuration_invalid', says: /timeoutz unknown option/, fix: /correct its spelling/ },
    views: { log: { says: /timeoutz unknown option/, fix: /allowed here: .*timeouts/ }, ...STARTS_NOT },
  },
  {
    what: 'the secret file is missing',
    harm: ({ credential, folder }) => Object.assign(credential, { secrets: [{ file: join(folder.path, 'none') }] }),
    ...{ cause: 'configuration_invalid', says: /secret file cannot be read \(ENOENT\)/, fix: /create the file/ },
    views: { log: { says: /secret file cannot be read \(ENOENT\)/, fix: /check path and permissions/ }, ...STARTS_NOT },
  },
  {
    what: 'the variable with the secret is not set',
    harm: ({ env }) => void delete env['S'],
    ...{ cause: 'configuration_invalid', says: /variable is empty or not set/, fix: /put the secret there/ },
    views: { log: { says: /variable is empty or not set/, fix: /correct every problem listed/i }, ...STARTS_NOT },
  },
  {
    what: 'the secret is in quotes',
    harm: ({ env }) => Object.assign(env, { S: '"CANARY-client-secret"' }),
    ...{ cause: 'configuration_advice', says: /has quotes around it/, fix: /put only the value there/ },
    views: {
      log: { says: /has quotes around it/, fix: /which count as part of it/ },
      response: CALLS_WORK,
      page: { says: /has quotes around it/, fix: /which count as part of it/ },
    },
  },
  {
    what: 'everybody can read the secret',
    harm({ credential, folder }) {
      folder.write('open-secret', 'CANARY-client-secret', 0o644);
      Object.assign(credential, { secrets: [{ file: join(folder.path, 'open-secret') }] });
    },
    ...{ cause: 'file_readable_by_others', says: /can be read by/, fix: /chmod/ },
    views: {
      log: { says: /can be read by/, fix: /chmod/ },
      response: CALLS_WORK,
      page: { says: /can be read by/, fix: /chmod/ },
    },
  },
  {
    what: 'the folder of the audit log is missing',
    harm: ({ config, folder }) => Object.assign(config, { audit: { file: join(folder.path, 'none', 'audit.jsonl') } }),
    ...{ cause: 'audit_folder_missing', says: /folder does not exist/, fix: /create it/i },
    views: { log: { says: /none\/audit\.jsonl: its folder does not exist/, fix: /create it/i }, ...STARTS_NOT },
  },
  {
    what: 'another sidecar writes the audit log',
    async harm({ config, folder, keep }) {
      const file = join(folder.path, 'audit.jsonl');
      const { release } = await lockForWriting(file);
      keep({ close: () => release?.() });
      Object.assign(config, { audit: { file } });
    },
    ...{ cause: 'audit_in_use', says: /is in use: process \d+ on .* writes it/, fix: /a file of its own/ },
    views: { log: { says: /is in use: process \d+ on .* writes it/, fix: /a file of its own/ }, ...STARTS_NOT },
  },
  {
    what: 'something else is where the audit log should be',
    harm: ({ config, folder }) => Object.assign(config, { audit: { file: folder.write('audit', 'CANARY') } }),
    ...{ cause: 'audit_not_ours', says: /is no audit log/, fix: /move it away/ },
    views: { log: { says: /is no audit log/, fix: /move it away/ }, ...STARTS_NOT },
  },
  {
    what: 'callers and operators have one address',
    async harm({ config }) {
      config.listen = config.admin = `127.0.0.1:${await nobody()}`;
    },
    ...{ cause: 'listener_used_twice', says: /configured twice/, fix: /addresses of their own/ },
    views: { log: { says: /configured twice/, fix: /addresses of their own/ }, ...STARTS_NOT },
  },
  {
    what: 'the folder of the Unix socket is missing',
    harm: ({ config }) => Object.assign(config, { listen: 'unix:/nonexistent/aritma/s.sock' }),
    ...{ cause: 'listener_folder_missing', says: /folder \/nonexistent\/aritma .*does not exist/i, fix: /create it/i },
    views: { log: { says: /folder \/nonexistent\/aritma .*does not exist/i, fix: /create it/i }, ...STARTS_NOT },
  },
  {
    what: 'a folder is where the audit log should be',
    harm({ config, folder }) {
      mkdirSync(join(folder.path, 'audit'));
      Object.assign(config, { audit: { file: join(folder.path, 'audit') } });
    },
    ...{ cause: 'audit_not_ours', says: /is a folder/, fix: /name a file in it/ },
    views: { log: { says: /is a folder/, fix: /name a file in it/ }, ...STARTS_NOT },
  },
];

const MOUNT = ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs'] as const;

/** A disk of a test's own takes root, and a system that lets root mount one. */
function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  using folder = createFolder();
  return spawnSync('mount', [...MOUNT, folder.path]).status === 0 && spawnSync('umount', [folder.path]).status === 0;
}

const FULL_DISK: BrokenSetup = {
  what: 'the disk of the audit log is full',
  isPossible: canMount,
  method: 'POST',
  harm({ config, route, folder, keep }) {
    const disk = join(folder.path, 'disk');
    mkdirSync(disk);
    spawnSync('mount', [...MOUNT, disk]);
    keep({ close: () => void spawnSync('umount', ['--lazy', disk]) });
    expect(() => writeFileSync(join(disk, 'full'), Buffer.alloc(128 * 1024))).toThrow('ENOSPC');
    Object.assign(config, { audit: { file: join(disk, 'audit.jsonl'), whenFailing: 'refuse' } });
    delete route['allow'];
  },
  ...{ cause: 'audit_disk_full', says: /there is no room on its disk \(ENOSPC\)/, fix: /make room there/i },
  views: { page: { cause: 'audit_failing', says: /cannot be written \(ENOSPC\)/, fix: /make room on its disk/ } },
};

export const BROKEN_SETUPS: readonly BrokenSetup[] = [...IDENTITY, ...APIS, ...MACHINE, FULL_DISK];
