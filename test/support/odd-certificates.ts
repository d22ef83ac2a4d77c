/** Invalid certificates: valid only from tomorrow on, or self-signed. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Authority, Issued } from './certificates.ts';
import type { Folder } from './folder.ts';

/** `openssl ca` can make a certificate valid from tomorrow on, `openssl x509` cannot. */
export function issueEarly(folder: Folder, authority: Authority): Issued {
  const issued = authority.issue('early', 'IP:127.0.0.1');
  const path = (name: string) => join(folder.path, name);
  folder.write('index.txt', '');
  folder.write('serial', '4711\n');
  const section = `serial = ${path('serial')}\ndatabase = ${path('index.txt')}\nnew_certs_dir = ${folder.path}\ndefault_md = sha256\npolicy = any`;
  const config = folder.write('early.cnf', `[ca]\ndefault_ca = own\n[own]\n${section}\n[any]\ncommonName = supplied\n`);
  const signer = ['-cert', authority.caFile, '-keyfile', authority.caFile.replace('.pem', '.key')];
  const dates = ['-startdate', '20900101000000Z', '-enddate', '20910101000000Z'];
  const files = ['-in', path('early.csr'), '-extfile', path('early.ext'), '-out', issued.certFile, '-notext'];
  execFileSync('openssl', ['ca', '-batch', '-config', config, ...signer, ...dates, ...files], { stdio: 'pipe' });
  return { ...issued, cert: readFileSync(issued.certFile, 'utf8') };
}

/** For 127.0.0.1. */
export function signItself(folder: Folder): Pick<Issued, 'key' | 'cert'> {
  const [keyFile, certFile] = [join(folder.path, 'self.key'), join(folder.path, 'self.pem')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile];
  const subject = ['-subj', '/CN=self', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '90', '-out', certFile];
  execFileSync('openssl', ['req', '-x509', ...key, ...subject], { stdio: 'pipe' });
  return { key: readFileSync(keyFile, 'utf8'), cert: readFileSync(certFile, 'utf8') };
}
