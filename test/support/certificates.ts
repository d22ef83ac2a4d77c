/** Certificates of a private CA, made by the openssl program in a folder of the test. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { createFolder, type Folder } from './folder.ts';

export interface Issued {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** PEM file of the CA certificate, and its content. */
  readonly caFile: string;
  readonly ca: string;
  /**
   * @param names subjectAltName as openssl writes it, `DNS:bank.test,IP:127.0.0.1`
   * @param days −1 = expired yesterday
   */
  issue(commonName: string, names: string, days?: number): Issued;
}

const CONFIG = `[req]
distinguished_name = subject
[subject]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
`;

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

const SKIPPED = !process.env['CI'] && !hasOpenssl();

/** Skips by name when openssl is missing; on CI it must be there. */
export const describeWithOpenssl = describe.skipIf(SKIPPED);

/** Makes certificates of a private CA once before the tests of a file and removes them after; returns a getter for them. */
export function makeCertificates<Made>(make: (authority: Authority, folder: Folder) => Made) {
  let made: (Made & { readonly folder: Folder; readonly authority: Authority }) | undefined;
  beforeAll(() => {
    if (SKIPPED) return;
    const folder = createFolder();
    const authority = createAuthority(folder);
    made = { folder, authority, ...make(authority, folder) };
  });
  afterAll(() => made?.folder[Symbol.dispose]());
  return () => {
    if (!made) throw new Error('certificates are made before the tests');
    return made;
  };
}

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Different names for several in one folder. */
export function createAuthority(folder: Folder, name = 'ca'): Authority {
  const config = folder.write(`${name}.cnf`, CONFIG);
  const file = (base: string) => join(folder.path, base);
  const openssl = (...args: readonly string[]) => execFileSync('openssl', args, { stdio: 'pipe', timeout: 10_000 });
  const caFile = file(`${name}.pem`);
  const caKey = file(`${name}.key`);
  const self = ['-subj', `/CN=${name}`, '-days', '2', '-keyout', caKey, '-out', caFile];
  openssl('req', '-x509', '-config', config, '-extensions', 'ca', ...NEW_KEY, ...self);
  return {
    caFile,
    ca: readFileSync(caFile, 'utf8'),
    issue(commonName, names, days = 2) {
      const [request, certFile, keyFile] = [
        file(`${commonName}.csr`),
        file(`${commonName}.pem`),
        file(`${commonName}.key`),
      ];
      openssl(
        'req',
        '-new',
        '-config',
        config,
        ...NEW_KEY,
        '-subj',
        `/CN=${commonName}`,
        '-keyout',
        keyFile,
        '-out',
        request,
      );
      const extensions = folder.write(`${commonName}.ext`, `subjectAltName = ${names}\nbasicConstraints = CA:FALSE\n`);
      const by = ['-CA', caFile, '-CAkey', caKey, '-set_serial', `0x${Date.now().toString(16)}`];
      openssl('x509', '-req', '-in', request, ...by, '-extfile', extensions, '-days', String(days), '-out', certFile);
      return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
    },
  };
}
