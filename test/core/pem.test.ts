// What is taken for PEM, what is told of the rest, and that no file that is cut off anywhere within a block is taken.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseCertificates, parseKey } from '../../src/core/pem.ts';
import { createAuthority, describeWithOpenssl, makeCertificates } from '../support/certificates.ts';

const made = makeCertificates((authority, folder) => {
  const other = createAuthority(folder, 'other');
  const { cert, key, certFile, keyFile } = authority.issue('leaf', 'DNS:leaf.test');
  const openssl = (...args: readonly string[]) => execFileSync('openssl', args, { stdio: 'pipe' }).toString('utf8');
  const file = (name: string) => join(folder.path, name);
  openssl('pkcs12', '-export', '-in', certFile, '-inkey', keyFile, '-passout', 'pass:x', '-out', file('p12'));
  openssl('x509', '-in', certFile, '-outform', 'DER', '-out', file('der'));
  return {
    other: other.ca,
    cert,
    key,
    text: openssl('x509', '-in', certFile, '-text'),
    trusted: openssl('x509', '-in', authority.caFile, '-trustout'),
    pkcs7: openssl('crl2pkcs7', '-nocrl', '-certfile', authority.caFile),
    request: readFileSync(file('leaf.csr'), 'utf8'),
    encrypted: openssl('pkcs8', '-topk8', '-in', keyFile, '-passout', 'pass:x'),
    oldEncrypted: openssl('ec', '-in', keyFile, '-aes128', '-passout', 'pass:x'),
    parameters: openssl('ecparam', '-name', 'prime256v1', '-genkey'),
    pkcs12: readFileSync(file('p12')),
    der: readFileSync(file('der')),
  };
});

const indent = (text: string) => text.replace(/^/gm, '    ');
const old = (text: string) => text.replaceAll('CERTIFICATE', 'X509 CERTIFICATE');
/** As long as it was, and no certificate. */
const spoil = (text: string) => text.replace(/\nMII./, '\nAAAA');

describeWithOpenssl('core/pem', () => {
  const certificates = (content: string | Buffer, use: 'ca' | 'chain' = 'ca') =>
    parseCertificates(content, use).list.length;

  it('takes certificates in every form in which they are whole', () => {
    const { authority, other, cert, text } = made();
    const both = authority.ca + other;
    const count = (content: string | Buffer) => certificates(content);
    expect([
      count(both),
      count(both.replaceAll('\n', '\r\n')),
      count(`\uFEFF${both}`),
      count(both.trimEnd()),
      count(both.replaceAll('-----\n', '-----  \n')),
      count(`# CA of the bank\n${authority.ca}\n\n==========\n--------------------\n${other}`),
      count(text),
      count(old(cert)),
      count(authority.ca + authority.ca),
      count(Buffer.from(both)),
    ]).toEqual([2, 2, 2, 2, 2, 2, 1, 1, 2, 2]);
  });

  it('hands over what OpenSSL reads the same way, whatever the file looked like', () => {
    const { authority, cert, text } = made();
    const messy = `\uFEFFtext\r\n${old(authority.ca).replaceAll('\n', '\r\n')}${text}`;
    expect(parseCertificates(messy, 'ca').pem).toBe(authority.ca + cert);
  });

  it.each([
    ['nothing', () => '', /^is empty$/],
    ['text', () => 'hello\n', /no line begins with -----BEGIN/],
    ['a request', () => made().request, /block 1 \(certificate request\) is not a certificate.*send it to a CA/],
    ['a private key', () => made().key, /block 1 \(private key\) is a private key/],
    ['a private key behind a CA', () => made().authority.ca + made().key, /block 2 \(private key\)/],
    ['PKCS#7', () => made().pkcs7, /block 1 \(pkcs7\).*openssl pkcs7 -print_certs/],
    ['trust settings', () => made().trusted, /trusted certificate.*openssl x509/],
    ['a damaged certificate', () => spoil(made().authority.ca), /block 1 \(certificate\) is damaged/],
    ['a damaged one before a good one', () => spoil(made().authority.ca) + made().other, /block 1 .*damaged/],
    ['a damaged one behind a good one', () => made().other + spoil(made().authority.ca), /block 2 .*damaged/],
    ['an indented one', () => indent(made().authority.ca), /block 1 is indented/],
    ['an indented one behind a good one', () => made().other + indent(made().authority.ca), /block 2 is indented/],
    ['UTF-16', () => Buffer.from(`\uFEFF${made().authority.ca}`, 'utf16le'), /UTF-16/],
    ['UTF-16 without its mark', () => Buffer.from(made().authority.ca, 'utf16le'), /UTF-16/],
    ['DER', () => made().der, /binary.*openssl x509 -inform DER/],
    ['PKCS#12', () => made().pkcs12, /binary.*PKCS#12/],
    ['half a BEGIN line', () => `${made().authority.ca}-----BEGIN CERT`, /block 2 .*incomplete/],
    ['dashes missing', () => made().authority.ca.replace('-----BEGIN', '----BEGIN'), /in PEM|incomplete/],
    ['a long dash of a word processor', () => made().authority.ca.replaceAll('-----', '–––––'), /in PEM/],
    [
      'another END',
      () => made().authority.ca.replace('END CERTIFICATE', 'END X'),
      /block 1 .*damaged or cut off in line/,
    ],
    ['a block in a block', () => made().authority.ca.replace(/\n.*\n-----END/, `\n${made().other}-----END`), /block 1/],
    ['quotes in front of each line', () => made().authority.ca.replace(/^/gm, '> '), /incomplete/],
    ['one line with \\n in it', () => made().authority.ca.replaceAll('\n', '\\n'), /incomplete/],
  ])('refuses %s in a CA file and says which block', (_what, content, message) => {
    expect(() => certificates(content())).toThrow(message);
  });

  it('takes a chain with its key in the same file, and only there', () => {
    const { cert, key, authority, parameters } = made();
    expect(certificates(key + cert + authority.ca, 'chain')).toBe(2);
    expect(parseCertificates(key + cert, 'chain').pem).toBe(cert);
    expect(parseKey(cert + key).pem).toBe(key);
    expect(parseKey(parameters).key.asymmetricKeyType).toBe('ec');
    expect(() => certificates(key, 'chain')).toThrow('contains no certificate');
  });

  it.each([
    [
      'an encrypted key',
      () => made().encrypted,
      /block 1 \(encrypted private key\) is encrypted: decrypt it first with `openssl pkey/,
    ],
    ['one encrypted as OpenSSL did formerly', () => made().oldEncrypted, /is encrypted: decrypt it first/],
    ['a certificate', () => made().cert, /contains no private key/],
    ['two keys', () => made().key + made().parameters, /more than one private key \(blocks 1 and 3\)/],
    [
      'a damaged key',
      () => made().key.replace(/\n..../, '\nAAAA'),
      /block 1 \(private key\) is not a readable private key/,
    ],
    ['a key of OpenSSH', () => made().key.replaceAll('PRIVATE', 'OPENSSH PRIVATE'), /ssh-keygen -p -m PEM/],
    ['a request', () => made().request, /certificate request/],
    ['an indented key', () => indent(made().key), /indented/],
  ])('refuses %s in a key file', (_what, content, message) => {
    expect(() => parseKey(content())).toThrow(message);
    expect(() => parseKey(content())).not.toThrow(/MI[A-Z]/);
  });

  it('takes a file that is cut off at any byte only where a block has just ended', () => {
    const { authority, other, text, key } = made();
    const whole = `\uFEFFfirst\n${authority.ca}between\n${other}${text}`;
    const ends = [...whole.matchAll(/-----END CERTIFICATE-----/g)].map(({ index, 0: { length } }) => index + length);
    const taken = new Map<number, number>();
    for (let length = 0; length < whole.length; length += 1) {
      try {
        taken.set(length, certificates(whole.slice(0, length)));
      } catch {
        // As it should be.
      }
    }
    for (const [length, count] of taken) expect(count).toBe(ends.filter((end) => end <= length).length);
    const within = (length: number) => {
      const part = whole.slice(0, length);
      return part.lastIndexOf('-----BEGIN') > part.lastIndexOf('-----END');
    };
    expect([...taken.keys()].filter(within)).toEqual([]);
    expect(taken.size).toBeGreaterThan(10);
    const end = key.trimEnd().length;
    for (let length = 0; length < end; length += 1) expect(() => parseKey(key.slice(0, length))).toThrow();
  });

  it('needs no time to speak of for what is made to need it', () => {
    const blocks = '-----BEGIN A-----\n-----END A-----\n'.repeat(30_000);
    const open = '-----BEGIN A-----\n'.repeat(60_000);
    for (const content of [
      blocks,
      open,
      '-'.repeat(1_000_000),
      `-----BEGIN A-----\n${'A'.repeat(1_000_000)}`,
      ' '.repeat(1_000_000),
    ]) {
      const before = process.cpuUsage();
      expect(() => certificates(content)).toThrow();
      expect(process.cpuUsage(before).user / 1000).toBeLessThan(2000);
    }
  });
});

describe('core/pem on PEM that is no file', () => {
  it('quotes nothing of it', () => {
    for (const content of ['CANARY', '-----BEGIN CANARY', '-----BEGIN A-----\nCANARY!', 'x -----END CANARY'])
      expect(() => parseKey(content)).not.toThrow(/CANARY/);
  });
});
