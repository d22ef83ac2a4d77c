/**
 * PEM (RFC 7468), block by block, for every place that takes certificates or keys. OpenSSL skips what it does not know and
 * ends at the first block it cannot read, without a word; here that is an error which names the block. Text around blocks,
 * CRLF and a byte order mark are as good as none.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

interface Block {
  /** From 1. */
  readonly number: number;
  /** `CERTIFICATE`. */
  readonly label: string;
  /** From BEGIN to END, as OpenSSL wants it. */
  readonly pem: string;
}

/**
 * The blocks of a CA file or of a certificate chain, and nothing else of it.
 * @param use `chain` may hold the private key as well
 * @throws Error with what is wrong and in which block; quotes nothing but labels
 */
export function parseCertificates(
  content: Buffer | string,
  use: 'ca' | 'chain',
): { pem: string; list: X509Certificate[] } {
  const all = blocksOf(content);
  const blocks = use === 'ca' ? all : all.filter(({ label }) => !KEY.test(label) && !PARAMETERS.test(label));
  const list = blocks.map(parseCertificate);
  if (list.length === 0) throw new Error('holds no certificate');
  return { pem: blocks.map(({ pem }) => pem).join(''), list };
}

/**
 * The one private key of a file, which may hold its certificates and parameters as well.
 * @throws Error with what is wrong and in which block; quotes nothing but labels
 */
export function parseKey(content: Buffer | string): { pem: string; key: KeyObject } {
  const blocks = blocksOf(content).filter(({ label }) => !PARAMETERS.test(label));
  for (const block of blocks) if (!KEY.test(block.label)) parseCertificate(block);
  const [block, second] = blocks.filter(({ label }) => KEY.test(label));
  if (!block) throw new Error('holds no private key');
  if (second) throw new Error(`holds more than one private key (blocks ${block.number} and ${second.number})`);
  if (/^ENCRYPTED|\nProc-Type:.*ENCRYPTED/.test(`${block.label}\n${block.pem}`)) {
    throw new Error(`${named(block)} is encrypted: decrypt it first, \`openssl pkey -in FILE -out NEW-FILE\``);
  }
  try {
    return { pem: block.pem, key: createPrivateKey(block.pem) };
  } catch {
    const isSsh = block.label.startsWith('OPENSSH') ? ': `ssh-keygen -p -m PEM -f FILE` turns it into PEM' : '';
    throw new Error(`${named(block)} is no private key that can be read${isSsh}`);
  }
}

const KEY = /PRIVATE KEY$/;
/** `openssl ecparam -genkey` writes them in front of the key. */
const PARAMETERS = / PARAMETERS$/;

/** What is met instead of certificates, and how to get one. */
const OTHERS: Readonly<Record<string, string>> = {
  PKCS7: '`openssl pkcs7 -print_certs -in FILE -out NEW-FILE` takes the certificates out',
  CMS: '`openssl pkcs7 -print_certs -in FILE -out NEW-FILE` takes the certificates out',
  'CERTIFICATE REQUEST': 'a CA makes a certificate of it',
  'NEW CERTIFICATE REQUEST': 'a CA makes a certificate of it',
  'TRUSTED CERTIFICATE': '`openssl x509 -in FILE -out NEW-FILE` makes a plain one of it',
};

function parseCertificate(block: Block): X509Certificate {
  const { label, pem } = block;
  if (KEY.test(label)) throw new Error(`${named(block)} is a private key: it does not belong into this file`);
  if (label !== 'CERTIFICATE') {
    throw new Error(`${named(block)} is no certificate${OTHERS[label] === undefined ? '' : `: ${OTHERS[label]}`}`);
  }
  try {
    return new X509Certificate(pem);
  } catch {
    throw new Error(`${named(block)} is damaged: it is no certificate`);
  }
}

/** In small letters, so that a search for keys that have leaked does not find it. */
function named({ number, label }: Pick<Block, 'number' | 'label'>): string {
  return `block ${number} (${label.toLowerCase()})`;
}

const BEGIN = /^-----BEGIN ([A-Z0-9 ]{1,40})-----\s*$/;
/** Of base64, of the headers that an encrypted key has (RFC 1421), and blank ones. */
const INSIDE = /^(?:[A-Za-z0-9+/]*={0,2}|[A-Za-z-]+: .*)\s*$/;

/** @throws Error unless every block is whole */
function blocksOf(content: Buffer | string): Block[] {
  const blocks: Block[] = [];
  const lines = textOf(content).split(/\r\n|\n|\r/);
  for (let at = 0; at < lines.length; at += 1) {
    const [line = '', number] = [lines[at], blocks.length + 1];
    const label = BEGIN.exec(line)?.[1];
    if (label === undefined) refuseBroken(line, { number, isLast: at === lines.length - 1 });
    else {
      const { end, pem } = readBlock(lines, at + 1, { number, label });
      blocks.push({ number, label: label.replace(/^X509 /, ''), pem });
      at = end;
    }
  }
  if (blocks.length === 0) throw new Error('holds no PEM: no line begins with -----BEGIN');
  return blocks;
}

/** What is between BEGIN and END, of which the latter is line `end`. */
function readBlock(lines: readonly string[], begin: number, name: Pick<Block, 'number' | 'label'>) {
  let end = begin;
  while (INSIDE.test(lines[end] ?? '-')) end += 1;
  const last = lines[end];
  if (last === undefined) throw new Error(`${named(name)} is cut off: it has no END line`);
  if (last.trimEnd() !== `-----END ${name.label}-----`) {
    throw new Error(`${named(name)} is damaged or cut off in line ${end + 1} of the file`);
  }
  const label = name.label.replace(/^X509 /, '');
  const inside = lines.slice(begin, end).map((line) => `${line.trim()}\n`);
  return { end, pem: `-----BEGIN ${label}-----\n${inside.join('')}-----END ${label}-----\n` };
}

/** A line outside of blocks that was meant to begin or end one. */
function refuseBroken(line: string, { number, isLast }: { number: number; isLast: boolean }): void {
  if (/^\s+-----BEGIN /.test(line)) throw new Error(`block ${number} is indented: its lines must begin at the margin`);
  const isCut = isLast && line !== '' && '-----BEGIN '.startsWith(line);
  if (isCut || /-----\s*(?:BEGIN|END)/.test(line))
    throw new Error(`block ${number} has a BEGIN or END line that is not whole`);
}

/** @throws Error for what only looks like a file of that kind from outside */
function textOf(content: Buffer | string): string {
  const bytes = Buffer.from(content);
  const [first, second] = bytes;
  if (first === undefined) throw new Error('is empty');
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff) || first === 0 || second === 0) {
    throw new Error('is UTF-16, as PowerShell’s `>` writes it: save it as ASCII or UTF-8');
  }
  if (first === 0x30 && second !== undefined && second >= 0x80) {
    const how = 'for a certificate `openssl x509 -inform DER -in FILE -out NEW-FILE`, for PKCS#12 `openssl pkcs12`';
    throw new Error(`is binary (DER or PKCS#12) and not PEM: ${how}`);
  }
  return bytes.toString('utf8').replace(/^\uFEFF/, '');
}
