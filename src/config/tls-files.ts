/**
 * Certificates and keys from the files that the configuration names: whole, belonging together, and in the form in which
 * TLS takes them. What is told of a file is which of its blocks is wrong and why, and nothing of its content.
 */
import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { parseCertificates, parseKey } from '../core/pem.ts';
import type { Problem } from './problems.ts';
import { readRegularFile } from './regular-file.ts';
import type { Report, ValidParts } from './rules.ts';

/** What undici's connector takes: PEM, every block of it parsed. */
export interface TlsFiles {
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
}

export interface TlsContext {
  /** Relative file names start here. */
  readonly cwd: string;
  readonly report: Report;
  /** Added to: every file that was asked for, whether it could be read or not. */
  readonly files: string[];
  /** Told of every private key, which nobody else should be able to read. */
  readonly onKey: (path: string) => void;
}

type TlsSettings = Readonly<Partial<Record<keyof TlsFiles, string | undefined>>>;

/** By owner: `credential NAME`, `route PATH` or `callers`. */
export function loadTls({ credentials, routes, callers }: ValidParts, context: TlsContext): Map<string, TlsFiles> {
  const loaded = new Map<string, TlsFiles>();
  for (const [name, { tls }] of credentials) {
    if (tls) loaded.set(`credential ${name}`, readTls(['credentials', name, 'tls'], tls, context));
  }
  for (const [index, { path, tls }] of routes) {
    if (tls) loaded.set(`route ${path}`, readTls(['routes', index, 'tls'], tls, context));
  }
  if (callers?.tls) loaded.set('callers', readTls(['callers', 'tls'], callers.tls, context));
  return loaded;
}

/** Every CA of a large company, twice. */
const MAX_BYTES = 4 * 1024 * 1024;

const PARSERS: Readonly<Record<keyof TlsFiles, (content: Buffer) => string>> = {
  ca: (content) => parseCertificates(content, 'ca').pem,
  cert: (content) => parseCertificates(content, 'chain').pem,
  key: (content) => parseKey(content).pem,
};

function readTls(path: readonly PropertyKey[], settings: TlsSettings, context: TlsContext): TlsFiles {
  const read: TlsFiles = {};
  let whole = true;
  for (const kind of ['ca', 'cert', 'key'] as const) {
    const file = settings[kind];
    if (file === undefined) continue;
    const resolved = resolve(context.cwd, file);
    context.files.push(resolved);
    try {
      read[kind] = Buffer.from(PARSERS[kind](readRegularFile(resolved, MAX_BYTES)));
      if (kind === 'key') context.onKey(resolved);
    } catch (error) {
      whole = false;
      context.report([...path, kind], `${nameOf(file)}${(error as Error).message}`);
    }
  }
  const problem = whole && problemOf(read);
  if (problem) context.report(path, problem);
  return read;
}

/** In a hurry, people put the key itself where the name of its file belongs. */
function nameOf(file: string): string {
  if (file.includes('-----')) return '(PEM belongs into a file, and its name here) ';
  return /[\r\n]/.test(file) || file.length > 500 ? '' : `${file} `;
}

function problemOf(files: TlsFiles): string | undefined {
  try {
    createSecureContext(files);
    return undefined;
  } catch (error) {
    const code = String((error as NodeJS.ErrnoException).code);
    if (/KEY_VALUES?_MISMATCH|KEY_TYPE_MISMATCH/.test(code)) {
      return `the key does not belong to the certificate (${code}): its own is needed, and in a chain the certificate comes first`;
    }
    return `cannot be used together (${code}): PEM files of a CA, a certificate and its own key`;
  }
}

/**
 * Node reads this variable once, at its start, and takes no notice of a file that is not there or damaged: every call
 * would fail without anybody knowing why.
 */
export function checkExtraCa(file: string | undefined, problems: Problem[]): void {
  if (!file) return;
  try {
    parseCertificates(readRegularFile(resolve(file), MAX_BYTES), 'ca');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Node itself may read what its permission model keeps from the program.
    if (/ERR_ACCESS_DENIED/.test(String(code))) return;
    problems.push({ where: 'environment variable NODE_EXTRA_CA_CERTS', path: '', message: `${file} ${message}` });
  }
}
