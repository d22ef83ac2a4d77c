/**
 * Reads PEM (RFC 7468) block by block, for all certificates and keys. OpenSSL silently skips unknown blocks and stops
 * at the first one it cannot read; here that is an error which names the block. Text around blocks, CRLF and a byte
 * order mark are ignored.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

interface Block {
  /** Counted from 1. */
  readonly number: number;
  /** `CERTIFICATE`. */
  readonly label: string;
  /** From BEGIN to END, in the form OpenSSL accepts. */
  readonly pem: string;
}

/**
 * Returns the certificates of a CA file or of a certificate chain, parsed and as clean PEM.
 * @param use a `chain` file may also contain the private key
 * @throws Error naming what is wrong and in which block; quotes only labels
 */
export function parseCertificates(
  content: Buffer | string,
  use: 'ca' | 'chain',
): { pem: string; list: X509Certificate[] } {
  const all = blocksOf(content);
  const blocks = use === 'ca' ? all : all.filter(({ label }) => !KEY.test(label) && !PARAMETERS.test(label));
  const list = blocks.map(parseCertificate);
  if (list.length === 0) throw new Error('contains no certificate');
  return { pem: blocks.map(({ pem }) => pem).join(''), list };
}

/**
 * Returns the private key of a file, which may also contain certificates and parameters.
 * @throws Error naming what is wrong and in which block; quotes only labels
 */
export function parseKey(content: Buffer | string): { pem: string; key: KeyObject } {
  const blocks = blocksOf(content).filter(({ label }) => !PARAMETERS.test(label));
  for (const block of blocks) if (!KEY.test(block.label)) parseCertificate(block);
  const [block, second] = blocks.filter(({ label }) => KEY.test(label));
  if (!block) throw new Error('contains no private key');
  if (second) throw new Error(`contains more than one private key (blocks ${block.number} and ${second.number})`);
  if (/^ENCRYPTED|\nProc-Type:.*ENCRYPTED/.test(`${block.label}\n${block.pem}`)) {
    throw new Error(`${named(block)} is encrypted: decrypt it first with \`openssl pkey -in FILE -out NEW-FILE\``);
  }
  try {
    return { pem: block.pem, key: createPrivateKey(block.pem) };
  } catch {
    const isSsh = block.label.startsWith('OPENSSH') ? ': convert it to PEM with `ssh-keygen -p -m PEM -f FILE`' : '';
    throw new Error(`${named(block)} is not a readable private key${isSsh}`);
  }
}

const KEY = /PRIVATE KEY$/;
/** `openssl ecparam -genkey` writes them before the key. */
const PARAMETERS = / PARAMETERS$/;

/** Blocks that people use instead of certificates, and how to get a certificate from them. */
const OTHERS: Readonly<Record<string, string>> = {
  PKCS7: 'extract the certificates with `openssl pkcs7 -print_certs -in FILE -out NEW-FILE`',
  CMS: 'extract the certificates with `openssl pkcs7 -print_certs -in FILE -out NEW-FILE`',
  'CERTIFICATE REQUEST': 'send it to a CA to get a certificate',
  'NEW CERTIFICATE REQUEST': 'send it to a CA to get a certificate',
  'TRUSTED CERTIFICATE': 'convert it with `openssl x509 -in FILE -out NEW-FILE`',
};

function parseCertificate(block: Block): X509Certificate {
  const { label, pem } = block;
  if (KEY.test(label)) throw new Error(`${named(block)} is a private key, which does not belong in this file`);
  if (label !== 'CERTIFICATE') {
    throw new Error(`${named(block)} is not a certificate${OTHERS[label] === undefined ? '' : `: ${OTHERS[label]}`}`);
  }
  try {
    return new X509Certificate(pem);
  } catch {
    throw new Error(`${named(block)} is damaged: it is not a valid certificate`);
  }
}

/** In lower case, so that a scan for leaked keys does not match it. */
function named({ number, label }: Pick<Block, 'number' | 'label'>): string {
  return `block ${number} (${label.toLowerCase()})`;
}

const BEGIN = /^-----BEGIN ([A-Z0-9 ]{1,40})-----\s*$/;
/** Lines of base64, headers of an encrypted key (RFC 1421), and blank lines. */
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
  if (blocks.length === 0) throw new Error('contains no certificate or key in PEM: no line begins with -----BEGIN');
  return blocks;
}

/** Reads the lines between BEGIN and END; `end` is the index of the END line. */
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

/** @throws Error for a line outside of blocks that was meant to begin or end one */
function refuseBroken(line: string, { number, isLast }: { number: number; isLast: boolean }): void {
  if (/^\s+-----BEGIN /.test(line)) throw new Error(`block ${number} is indented: remove the spaces before its lines`);
  const isCut = isLast && line !== '' && '-----BEGIN '.startsWith(line);
  if (isCut || /-----\s*(?:BEGIN|END)/.test(line))
    throw new Error(`block ${number} has an incomplete BEGIN or END line`);
}

/** @throws Error for an empty file, UTF-16, DER and PKCS#12 */
function textOf(content: Buffer | string): string {
  const bytes = Buffer.from(content);
  const [first, second] = bytes;
  if (first === undefined) throw new Error('is empty');
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff) || first === 0 || second === 0) {
    throw new Error('is UTF-16, which `>` of PowerShell writes: save it as ASCII or UTF-8');
  }
  if (first === 0x30 && second !== undefined && second >= 0x80) {
    const how =
      'for a certificate with `openssl x509 -inform DER -in FILE -out NEW-FILE`, for PKCS#12 with `openssl pkcs12`';
    throw new Error(`is binary (DER or PKCS#12), not PEM: convert it, ${how}`);
  }
  return bytes.toString('utf8').replace(/^\uFEFF/, '');
}
