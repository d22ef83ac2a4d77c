// The doctor and certificates, made by openssl, on real handshakes: servers', clients', callers'.
import { readFileSync } from 'node:fs';
import type { ServerOptions } from 'node:https';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { startConnectProxy } from '../support/connect-proxy.ts';
import { issueEarly, signItself } from '../support/odd-certificates.ts';
import { createPatient, misjudged, type Patient, type Setup, startMute } from '../support/patient.ts';
import { startTlsServer } from '../support/tls-server.ts';

const certificates = makeCertificates((authority, folder) => {
  return {
    good: authority.issue('good', 'IP:127.0.0.1,DNS:bank.test', 90),
    soon: authority.issue('soon', 'IP:127.0.0.1', 5),
    expired: authority.issue('expired', 'IP:127.0.0.1', -1),
    wrongName: authority.issue('wrong-name', 'DNS:other.test,IP:127.0.0.2', 90),
    early: issueEarly(folder, authority),
    selfSigned: signItself(folder),
    client: authority.issue('client-erp', 'DNS:client.test', 90),
  };
});

const OLD_TLS = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;

/** The identity server speaks TLS with this, and the credential trusts the test's CA unless told otherwise. */
const identity =
  (options: () => ServerOptions, tls: () => object | undefined = () => ({ ca: certificates().authority.caFile })) =>
  async (patient: Patient) => {
    const { port } = patient.keep(await startTlsServer(options()));
    Object.assign(patient.credential, { tokenEndpoint: `https://127.0.0.1:${port}/connect/token`, tls: tls() });
  };

const NO_TOKEN = { exit: 6, code: 'TOKEN_UNAVAILABLE' } as const;
const CONFIG = { exit: 2, code: 'CONFIG_INVALID' } as const;
const mutual = (): ServerOptions => ({
  ...certificates().good,
  ca: certificates().authority.ca,
  requestCert: true,
  rejectUnauthorized: true,
});

const SETUPS: readonly Setup[] = [
  {
    what: 'a CA nobody told this machine about',
    harm: identity(
      () => certificates().good,
      () => undefined,
    ),
    ...{ ...NO_TOKEN, cause: 'tls_unknown_ca', message: /CA "ca", which this machine does not trust/ },
    fix: /company's CA.*NODE_EXTRA_CA_CERTS.*tls\.ca/,
  },
  {
    what: 'the wrong file in tls.ca',
    harm: identity(
      () => certificates().good,
      () => ({ ca: certificates().client.certFile }),
    ),
    ...{ ...NO_TOKEN, cause: 'tls_unknown_ca', message: /CA "ca", which is not in tls\.ca/, fix: /to tls\.ca/ },
  },
  {
    what: 'a server with a self-signed certificate',
    harm: identity(
      () => certificates().selfSigned,
      () => undefined,
    ),
    ...{ ...NO_TOKEN, cause: 'tls_self_signed', message: /self-signed by "self"/, fix: /tls\.ca/ },
  },
  {
    what: 'a certificate that is not one for servers',
    harm: identity(
      () => ({ cert: certificates().authority.ca, key: readFileSync(join(certificates().folder.path, 'ca.key')) }),
      () => undefined,
    ),
    ...{ ...NO_TOKEN, cause: 'tls_not_accepted', message: /by "ca", is not accepted/, fix: /not a server certificate/ },
  },
  {
    what: 'a certificate for another name',
    harm: identity(() => certificates().wrongName),
    ...{ ...NO_TOKEN, cause: 'tls_name_mismatch', message: /for 127.0.0.1 is for other names: other.test, 127.0.0.2/ },
    fix: /one of these names/,
  },
  {
    what: 'a server whose certificate has expired',
    harm: identity(() => certificates().expired),
    ...{
      ...NO_TOKEN,
      cause: 'tls_expired',
      message: /expired on \d{4}-\d\d-\d\d/,
      fix: /to renew it.*clock: it shows 20/,
    },
  },
  {
    what: 'a server whose certificate is of the future, or a clock of the past',
    harm: identity(() => certificates().early),
    ...{
      ...NO_TOKEN,
      cause: 'tls_not_yet_valid',
      message: /not valid before 2090-01-01/,
      fix: /clock first: it shows 20/,
    },
  },
  {
    what: 'a server of the last century',
    harm: identity(() => ({ ...certificates().good, ...OLD_TLS })),
    ...{ ...NO_TOKEN, cause: 'tls_too_old', message: /no TLS version above 1.1/, fix: /TLS 1.2/ },
  },
  {
    what: 'a server that wants a client certificate',
    harm: identity(mutual),
    ...{
      ...NO_TOKEN,
      cause: 'tls_client_certificate_wanted',
      message: /requires a client certificate/,
      fix: /tls\.cert/,
    },
  },
  {
    what: 'the same with TLS 1.2',
    harm: identity(() => ({ ...mutual(), maxVersion: 'TLSv1.2' })),
    ...{
      ...NO_TOKEN,
      cause: 'tls_client_certificate_wanted',
      message: /requires a client certificate/,
      fix: /tls\.cert/,
    },
  },
  {
    what: 'https where there is no TLS',
    async harm({ credential, keep }) {
      const { port } = keep(await startMute('HTTP/1.1 400 Bad Request\r\n\r\n'));
      credential['tokenEndpoint'] = `https://127.0.0.1:${port}/connect/token`;
    },
    ...{ ...NO_TOKEN, cause: 'tls_not_spoken', message: /does not speak TLS/, fix: /port of tokenEndpoint/ },
  },
  {
    what: 'a server’s certificate that expires in days',
    harm: identity(() => certificates().soon),
    ...{
      ...NO_TOKEN,
      exit: 0,
      level: 'warning',
      cause: 'tls_expires_soon',
      message: /expires in 4 days/,
      fix: /being renewed/,
    },
  },
  {
    what: 'an API whose CA is not trusted',
    async harm(patient) {
      const { port } = patient.keep(await startTlsServer(certificates().good));
      patient.route['upstream'] = `https://127.0.0.1:${port}/api`;
    },
    ...{ exit: 7, code: 'UPSTREAM_UNREACHABLE', cause: 'tls_unknown_ca', message: /"ca"/, fix: /NODE_EXTRA_CA_CERTS/ },
  },
  {
    what: 'a client certificate and the key of another',
    harm: ({ credential }) =>
      Object.assign(credential, { tls: { cert: certificates().client.certFile, key: certificates().good.keyFile } }),
    ...{ ...CONFIG, cause: 'configuration_invalid', message: /key does not belong to the certificate/, fix: /openssl/ },
  },
  {
    what: 'a client certificate that has expired',
    harm: ({ credential }) =>
      Object.assign(credential, {
        tls: { cert: certificates().expired.certFile, key: certificates().expired.keyFile },
      }),
    ...{ ...CONFIG, cause: 'certificate_expired', message: /"expired" expired on/, fix: /renewed/ },
  },
  {
    what: 'a listener’s certificate that expires soon',
    harm: ({ config }) =>
      Object.assign(config.callers, { tls: { cert: certificates().soon.certFile, key: certificates().soon.keyFile } }),
    ...{ ...CONFIG, exit: 0, level: 'warning', cause: 'certificate_expires_soon', message: /"soon" expires in 4 days/ },
    fix: /renewed/,
  },
];

describeWithOpenssl('check and certificates', () => {
  it.concurrent.each(SETUPS)('$what: $cause, exit $exit', async (setup) => {
    await using patient = await createPatient();
    await setup.harm(patient);
    expect(misjudged(setup, await patient.check())).toEqual([]);
  });

  it('has no doubt about TLS with client certificates, and sends no secret while it looks', async () => {
    await using patient = await createPatient();
    const { client, authority } = certificates();
    const server = patient.keep(await startTlsServer(mutual()));
    const tls = { ca: authority.caFile, cert: client.certFile, key: client.keyFile };
    Object.assign(patient.credential, { tokenEndpoint: `https://127.0.0.1:${server.port}/connect/token`, tls });
    Object.assign(patient.route, { upstream: `https://127.0.0.1:${server.port}/api`, tls });
    const { code, findings } = await patient.check();
    // The CA of these tests lives for two days.
    const doubts = findings.filter(({ level, subject }) => level !== 'ok' && !String(subject).startsWith('CA of'));
    expect({ code, doubts }).toEqual({ code: 0, doubts: [] });
    expect(server.calls.map(({ path, client: name }) => [path, name])).toEqual([
      ['/connect/token', 'client-erp'],
      ['/api', 'client-erp'],
    ]);
  });

  it('goes the way through the proxy, and nothing but ciphertext with it', async () => {
    await using patient = await createPatient();
    const { good, authority } = certificates();
    const server = patient.keep(await startTlsServer(good));
    const proxy = patient.keep(await startConnectProxy({ target: server.port }));
    patient.env['HTTPS_PROXY'] = `http://erp:CANARY@127.0.0.1:${proxy.port}`;
    const tls = { ca: authority.caFile };
    Object.assign(patient.credential, { tokenEndpoint: 'https://bank.test/connect/token', tls });
    Object.assign(patient.route, { upstream: 'https://bank.test/api', tls });
    const told = await patient.check();
    const ways = told.findings.filter(({ subject }) => String(subject).startsWith('network'));
    expect(told.code).toBe(0);
    expect(ways.map(({ message }) => message)).toEqual([
      ...Array(2).fill(expect.stringMatching(/^through the proxy 127.0.0.1:\d+, TLSv1.3, certificate by "ca" until /)),
    ]);
    expect(server.calls.map(({ path }) => path)).toEqual(['/connect/token', '/api']);
    expect(proxy.relayed() + told.output).not.toMatch(/CANARY|never-printed/);
  });

  it('sends a server it does not trust nothing but a handshake', async () => {
    await using patient = await createPatient();
    const server = patient.keep(await startTlsServer(certificates().good));
    patient.credential['tokenEndpoint'] = `https://127.0.0.1:${server.port}/connect/token`;
    expect((await patient.check()).code).toBe(6);
    expect(server.calls).toEqual([]);
  });
});
