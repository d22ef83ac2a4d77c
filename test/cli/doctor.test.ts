// The doctor and broken set-ups on the way out, each a real one: cause, remedy and exit code, and nothing secret printed.
import { generateKeyPairSync } from 'node:crypto';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createPatient, misjudged, SECRET, type Setup, startMute } from '../support/patient.ts';

const NO_TOKEN = { exit: 6, code: 'TOKEN_UNAVAILABLE' } as const;
const CONFIG = { exit: 2, code: 'CONFIG_INVALID' } as const;
const LISTEN = { exit: 2, code: 'SIDECAR_LISTEN_FAILED' } as const;

const SETUPS: readonly Setup[] = [
  // Configuration and files
  {
    what: 'two mistakes in the file',
    harm: ({ config }) => Object.assign(config, { bogus: 'CANARY', log: { level: 'CANARY' } }),
    ...{ ...CONFIG, cause: 'configuration_invalid', message: /log.level must be one of/, fix: /config schema/ },
  },
  {
    what: 'a secret file for everybody',
    harm: ({ credential, folder }) =>
      Object.assign(credential, { secrets: [{ file: folder.write('s', SECRET, 0o644) }] }),
    ...{ ...CONFIG, exit: 0, level: 'warning', cause: 'file_readable_by_others' },
    ...{ message: /every user.*644/, fix: /^chmod 600 \// },
  },
  {
    what: 'a caller’s key file for the group',
    harm: ({ config, folder }) =>
      Object.assign(config.callers, { keys: { erp: [{ file: folder.write('k', 'CANARY-0123456789abc', 0o640) }] } }),
    ...{ ...CONFIG, exit: 0, level: 'warning', cause: 'file_readable_by_others', message: /group/, fix: /chmod/ },
  },
  {
    what: 'a secret file that is a link to nowhere',
    harm({ credential, folder }) {
      symlinkSync('/nonexistent/secret', join(folder.path, 'link'));
      credential['secrets'] = [{ file: join(folder.path, 'link') }];
    },
    ...{ ...CONFIG, cause: 'configuration_invalid', message: /symbolic link to a missing file/ },
    fix: /readlink/,
  },
  {
    what: 'a secret with a blank behind it, as cmd.exe leaves one',
    harm: ({ credential, folder }) =>
      Object.assign(credential, { secrets: [{ file: folder.write('s', `${SECRET} `) }] }),
    ...{ exit: 0, level: 'warning', code: 'CONFIG_INVALID', cause: 'configuration_advice' },
    ...{ message: /secrets\.0 begins or ends with a space/, fix: /only the value/ },
  },
  {
    what: 'a program that should print the secret and fails',
    harm: ({ credential, folder }) =>
      Object.assign(credential, {
        secrets: [{ exec: [folder.write('vault', '#!/bin/sh\necho CANARY; exit 2\n', 0o700)] }],
      }),
    ...{ ...CONFIG, cause: 'configuration_invalid', message: /secrets\.0 the program vault ended with exit code 2/ },
    fix: /run it as the sidecar’s user/,
  },
  {
    what: 'a program that is not there',
    harm: ({ credential }) => Object.assign(credential, { secrets: [{ exec: ['/nonexistent/vault'] }] }),
    ...{ ...CONFIG, cause: 'configuration_invalid', message: /secrets\.0 the program vault was not found/ },
    fix: /run it as the sidecar’s user/,
  },
  {
    what: 'a program that prints the secret in quotes',
    harm: ({ credential, folder }) =>
      Object.assign(credential, {
        secrets: [{ exec: [folder.write('vault', `#!/bin/sh\necho '"${SECRET}"'\n`, 0o700)] }],
      }),
    ...{ exit: 0, level: 'warning', code: 'CONFIG_INVALID', cause: 'configuration_advice' },
    ...{ message: /secrets\.0 has quotes around it/, fix: /only the value/ },
  },
  {
    what: 'a secret in quotes',
    harm: ({ credential, folder }) =>
      Object.assign(credential, { secrets: [{ file: folder.write('s', `"${SECRET}"`) }] }),
    ...{ exit: 0, level: 'warning', code: 'CONFIG_INVALID', cause: 'configuration_advice' },
    ...{ message: /secrets\.0 has quotes around it/, fix: /only the value/ },
  },
  {
    what: 'a key of a client that is encrypted',
    harm({ credential, folder }) {
      const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
      const locked = key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'CANARY' });
      Object.assign(credential, { auth: 'private_key_jwt', secrets: [{ file: folder.write('k', locked) }] });
    },
    ...{
      ...CONFIG,
      cause: 'configuration_invalid',
      message: /is encrypted: decrypt it first with `openssl pkey/,
      fix: /chmod 600/,
    },
  },
  // Listeners
  {
    what: 'an address another program has',
    async harm({ config, keep }) {
      config.listen = `127.0.0.1:${keep(await startMute('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')).port}`;
    },
    ...{ ...LISTEN, cause: 'listener_taken', message: /another program/, fix: /ss -ltnp/ },
  },
  {
    what: 'a Unix socket in a folder that is missing',
    harm: ({ config }) => Object.assign(config, { listen: 'unix:/nonexistent/aritma/s.sock' }),
    ...{ ...LISTEN, cause: 'listener_folder_missing', message: /folder \/nonexistent\/aritma/, fix: /create it/ },
  },
  {
    what: 'an address of another machine',
    harm: ({ config }) => Object.assign(config, { admin: '192.0.2.1:7090' }),
    ...{ ...LISTEN, cause: 'listener_not_an_address', message: /not an address of this machine/, fix: /ip addr/ },
  },
  {
    what: 'one address for callers and operators',
    harm: ({ config }) => Object.assign(config, { listen: '127.0.0.1:17080', admin: '127.0.0.1:17080' }),
    ...{ ...LISTEN, cause: 'listener_used_twice', message: /twice/, fix: /of their own/ },
  },
  // The company's proxy
  {
    what: 'a proxy that does not know the password',
    async harm(patient) {
      await patient.proxied(407, 'erp:CANARY-proxy-password@');
      patient.route['upstream'] = 'https://bank.test/api';
    },
    ...{ exit: 7, code: 'UPSTREAM_UNREACHABLE', cause: 'proxy_credentials' },
    ...{ message: /proxy 127.0.0.1:\d+ responds with HTTP 407 to CONNECT bank.test:443/, fix: /user:password@/ },
  },
  {
    what: 'a proxy that does not get there',
    async harm(patient) {
      await patient.proxied(502);
      patient.route['upstream'] = 'https://bank.test/api';
    },
    ...{ exit: 7, code: 'UPSTREAM_UNREACHABLE', cause: 'proxy_cannot_reach', message: /HTTP 502.*cannot reach/ },
    fix: /operator of the proxy/,
  },
  {
    what: 'a proxy that is not there',
    harm(patient) {
      patient.env['HTTPS_PROXY'] = 'http://erp:CANARY@127.0.0.1:9';
      patient.credential['tokenEndpoint'] = 'https://id.test/connect/token';
    },
    ...{
      ...NO_TOKEN,
      cause: 'proxy_refused',
      message: /nothing listens on the proxy address 127.0.0.1:9/,
      fix: /HTTPS_PROXY/,
    },
  },
  {
    what: 'a proxy that is a web server',
    async harm(patient) {
      await patient.proxied(404);
      patient.route['upstream'] = 'https://bank.test/api';
    },
    ...{ exit: 7, code: 'UPSTREAM_UNREACHABLE', cause: 'proxy_not_a_proxy', message: /not a proxy/, fix: /check host/ },
  },
  {
    what: 'a NO_PROXY that keeps a host from the proxy it needs',
    async harm(patient) {
      await patient.proxied(200);
      patient.env['NO_PROXY'] = '.invalid';
      patient.credential['tokenEndpoint'] = 'https://id.invalid/connect/token';
    },
    ...{ ...NO_TOKEN, cause: 'dns_no_such_name', message: /id.invalid.*NO_PROXY/, fix: /NO_PROXY/ },
  },
  // The way
  {
    what: 'a host name nobody has',
    harm: ({ credential }) => Object.assign(credential, { tokenEndpoint: 'https://id.invalid/connect/token' }),
    ...{
      ...NO_TOKEN,
      cause: 'dns_no_such_name',
      message: /cannot resolve the host name of id.invalid:443/,
      fix: /spelling of tokenEndpoint/,
    },
  },
  {
    what: 'an API that is not running',
    harm: ({ route }) => Object.assign(route, { upstream: 'http://127.0.0.1:9/api' }),
    ...{
      exit: 7,
      code: 'UPSTREAM_UNREACHABLE',
      cause: 'connect_refused',
      message: /nothing listens on 127.0.0.1:9/,
      fix: /port/,
    },
  },
];

describe('check and a broken set-up', () => {
  it.concurrent.each(SETUPS)('$what: $cause, exit $exit', async (setup) => {
    await using patient = await createPatient();
    await setup.harm(patient);
    expect(misjudged(setup, await patient.check())).toEqual([]);
  });
});
