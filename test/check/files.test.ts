// What the doctor says of certificates that are whole and in date, and that others will refuse all the same.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileFindings } from '../../src/check/files.ts';
import { describeWithOpenssl, makeCertificates } from '../support/certificates.ts';
import { COMPLETE_ENV, createFolder, type Folder, load, problemsOf } from '../support/folder.ts';

const made = makeCertificates((authority, folder) => {
  const key = join(folder.path, 'leaf.key');
  authority.issue('leaf', 'DNS:leaf.test');
  const by = (name: string, extensions: string, ...more: readonly string[]) => {
    const out = join(folder.path, `${name}.pem`);
    const ext = folder.write(`${name}.ext`, extensions);
    const files = ['-in', join(folder.path, 'leaf.csr'), '-extfile', ext, '-out', out];
    const signer = ['-CA', authority.caFile, '-CAkey', authority.caFile.replace('.pem', '.key')];
    execFileSync('openssl', ['x509', '-req', ...files, ...signer, '-days', '90', ...more], { stdio: 'pipe' });
    return out;
  };
  const weakKey = join(folder.path, 'weak.pem');
  const own = ['-subj', '/CN=weak', '-keyout', join(folder.path, 'weak.key'), '-out', weakKey, '-days', '90', '-nodes'];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:1024', ...own], { stdio: 'pipe' });
  return {
    key,
    plain: by('plain', ''),
    forServers: by('servers', 'extendedKeyUsage=serverAuth'),
    forClients: by('clients', 'extendedKeyUsage=clientAuth'),
    forBoth: by('both', 'extendedKeyUsage=serverAuth,clientAuth'),
    forAny: by('any', 'extendedKeyUsage=anyExtendedKeyUsage'),
    sha1: by('sha1', '', '-sha1'),
    noCa: by('no-ca', 'basicConstraints=CA:FALSE'),
    noSigning: by('no-signing', 'basicConstraints=CA:TRUE\nkeyUsage=digitalSignature'),
    weakKey,
  };
});

const routeWith = (tls: object) => JSON.stringify({ routes: [{ path: '/a', upstream: 'https://a.test', tls }] });
const callersWith = (tls: object) => JSON.stringify({ callers: { tls } });

function causes(yaml: string): unknown[] {
  using folder = createFolder();
  const findings = fileFindings(load(folder, { yaml, env: COMPLETE_ENV }));
  return findings
    .filter(({ cause }) => cause?.startsWith('certificate_') && !cause.endsWith('_soon'))
    .map(({ cause }) => cause);
}

describeWithOpenssl('check/files', () => {
  it.each([
    [
      'a client certificate for servers only',
      () => routeWith({ cert: made().forServers, key: made().key }),
      'certificate_wrong_use',
    ],
    [
      'a server certificate for clients only',
      () => callersWith({ cert: made().forClients, key: made().key }),
      'certificate_wrong_use',
    ],
    ['a signature by SHA-1', () => routeWith({ cert: made().sha1, key: made().key }), 'certificate_weak_signature'],
    ['a server’s certificate as CA', () => routeWith({ ca: made().noCa }), 'certificate_no_ca'],
    ['a CA that may not sign', () => routeWith({ ca: made().noSigning }), 'certificate_no_ca'],
    ['a CA with an RSA key of 1024 bits', () => routeWith({ ca: made().weakKey }), 'certificate_weak_key'],
  ])('warns of %s', (_what, yaml, cause) => {
    expect(causes(yaml())).toEqual([cause]);
  });

  it('says nothing of certificates that fit', () => {
    const { plain, forBoth, forAny, forClients, forServers, key, authority } = made();
    const clients = [plain, forBoth, forAny, forClients].map((cert) => routeWith({ cert, key, ca: authority.caFile }));
    const servers = [plain, forBoth, forAny, forServers].map((cert) =>
      callersWith({ cert, key, ca: authority.caFile }),
    );
    expect([...clients, ...servers].flatMap(causes)).toEqual([]);
  });

  const messages = (folder: Folder, tls: object) =>
    problemsOf(folder, { yaml: routeWith(tls), env: COMPLETE_ENV }).map(({ path, message }) => `${path}: ${message}`);

  it('cannot be had for files that do not belong together, or a key that nobody can open without its password', () => {
    using folder = createFolder();
    const { plain, key, authority } = made();
    const other = authority.issue('other', 'DNS:other.test');
    expect(messages(folder, { cert: plain, key: other.keyFile })).toEqual([
      expect.stringMatching(/^routes\.0\.tls: the key does not belong to the certificate/),
    ]);
    const chainTheWrongWay = folder.write('chain', authority.ca + readFileSync(plain, 'utf8'));
    expect(messages(folder, { cert: chainTheWrongWay, key })).toEqual([
      expect.stringMatching(/in a chain, the certificate comes first/),
    ]);
    const pkcs8 = ['pkcs8', '-topk8', '-in', key, '-passout', 'pass:x'];
    const locked = folder.write('locked', execFileSync('openssl', pkcs8, { stdio: 'pipe' }));
    expect(messages(folder, { cert: plain, key: locked })).toEqual([
      expect.stringMatching(/^routes\.0\.tls\.key: \S+locked block 1 .* is encrypted: decrypt it first/),
    ]);
    const inline = readFileSync(key, 'utf8');
    const told = messages(folder, { cert: plain, key: inline });
    expect(told).toEqual([expect.stringMatching(/write the name of a PEM file/)]);
    expect(told.join()).not.toContain(inline.split('\n')[1]);
  });

  it('comes with the command for a private_key_jwt that is encrypted, too', () => {
    using folder = createFolder();
    const pkcs8 = ['pkcs8', '-topk8', '-in', made().key, '-passout', 'pass:x'];
    const file = folder.write('locked', execFileSync('openssl', pkcs8, { stdio: 'pipe' }));
    const yaml = JSON.stringify({ credentials: { default: { auth: 'private_key_jwt', secrets: [{ file }] } } });
    const env = { ARITMA_ENVIRONMENT: 'emulator', ARITMA_CLIENT_ID: 'my-erp' };
    expect(problemsOf(folder, { yaml, env })).toEqual([
      expect.objectContaining({ message: expect.stringMatching(/encrypted: decrypt it first with `openssl pkey/) }),
    ]);
  });
});

describeWithOpenssl('NODE_EXTRA_CA_CERTS', () => {
  it('is refused at the start where Node would take no notice of it, and looked at only then', () => {
    using folder = createFolder();
    const { authority } = made();
    const refused = (content: string) =>
      problemsOf(folder, { env: { ...COMPLETE_ENV, NODE_EXTRA_CA_CERTS: folder.write('extra', content) } });
    for (const content of ['', 'junk', authority.ca.slice(0, 300), authority.ca + authority.ca.slice(0, 300)]) {
      expect(refused(content)).toEqual([
        { where: 'environment variable NODE_EXTRA_CA_CERTS', path: '', message: expect.stringContaining('extra') },
      ]);
    }
    expect(problemsOf(folder, { env: { ...COMPLETE_ENV, NODE_EXTRA_CA_CERTS: '/nowhere' } })).toHaveLength(1);
    const env = { ...COMPLETE_ENV, NODE_EXTRA_CA_CERTS: folder.write('extra', authority.ca) };
    const loaded = load(folder, { env });
    folder.write('extra', 'junk');
    expect(() => loaded.reload()).not.toThrow();
  });
});

describe('check/files, programs that print secrets', () => {
  const findings = (ms: number) => {
    using folder = createFolder();
    const loaded = load(folder, { env: COMPLETE_ENV });
    const credential = { ...loaded.config.credentials['default'], secrets: [{ exec: ['vault'] }] };
    const config = { ...loaded.config, credentials: { default: credential } } as typeof loaded.config;
    return fileFindings({ ...loaded, config, programMs: () => ms }).map(({ level, subject, cause, message }) => [
      ...[level, subject, cause],
      message,
    ]);
  };

  it('names how long one took', () => {
    expect(findings(420)).toEqual([['ok', 'secret default 1', undefined, 'its program printed it within 0.4 s']]);
  });

  it('warns of one that takes half of its time', () => {
    const [warning = []] = findings(5000);
    expect(warning.slice(0, 3)).toEqual(['warning', 'secret default 1', 'program_slow']);
    expect(warning[3]).toMatch(/within 5\.0 s; after 10 s it is killed/);
  });
});
