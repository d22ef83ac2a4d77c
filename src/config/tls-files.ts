/**
 * Reads the configured certificates and keys, and checks that they are complete and belong together. Messages name the
 * wrong block of a file and why, never its content.
 */
import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { parseCertificates, parseKey } from '../core/pem.ts';
import type { Problem } from './problems.ts';
import { type FileStates, fileState, readRegularFile } from './regular-file.ts';
import type { Report, ValidParts } from './rules.ts';

/** Options of undici's connector: PEM, with every block parsed. */
export interface TlsFiles {
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
}

export interface TlsContext {
  /** Base of relative file names. */
  readonly cwd: string;
  readonly report: Report;
  /** Every configured file is appended, readable or not. */
  readonly files: FileStates;
  /** Called with the path of every private key, to check its permissions. */
  readonly onKey: (path: string) => void;
}

type TlsSettings = Readonly<Partial<Record<keyof TlsFiles, string | undefined>>>;

/** Reads all TLS files, by owner: `credential NAME`, `route PATH`, `callers` or `fleet`. Reports what is not usable. */
export function loadTls(parts: ValidParts, context: TlsContext): Map<string, TlsFiles> {
  const { credentials, routes, callers, fleet } = parts;
  const loaded = new Map<string, TlsFiles>();
  for (const [name, { tls }] of credentials) {
    if (tls) loaded.set(`credential ${name}`, readTls(['credentials', name, 'tls'], tls, context));
  }
  for (const [index, { path, tls }] of routes) {
    if (tls) loaded.set(`route ${path}`, readTls(['routes', index, 'tls'], tls, context));
  }
  if (callers?.tls) loaded.set('callers', readTls(['callers', 'tls'], callers.tls, context));
  if (fleet?.tls) loaded.set('fleet', readTls(['fleet', 'tls'], fleet.tls, context));
  return loaded;
}

/** Twice the CAs of a large company. */
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
    context.files.set(resolved, context.files.get(resolved) ?? fileState(resolved));
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

/** People put the key itself instead of its file name by mistake: never repeat it. */
function nameOf(file: string): string {
  if (file.includes('-----')) return '(write the name of a PEM file, not its content) ';
  return /[\r\n]/.test(file) || file.length > 500 ? '' : `${file} `;
}

function problemOf(files: TlsFiles): string | undefined {
  try {
    createSecureContext(files);
    return undefined;
  } catch (error) {
    const code = String((error as NodeJS.ErrnoException).code);
    if (/KEY_VALUES?_MISMATCH|KEY_TYPE_MISMATCH/.test(code)) {
      return `the key does not belong to the certificate (${code}): use its own key; in a chain, the certificate comes first`;
    }
    return `cannot be used together (${code}): set PEM files of a CA, a certificate and the key of that certificate`;
  }
}

/**
 * Checks the file of NODE_EXTRA_CA_CERTS. Node reads it once at start and ignores a missing or damaged file: every call
 * would then fail for no visible reason.
 */
export function checkExtraCa(file: string | undefined, problems: Problem[]): void {
  if (!file) return;
  try {
    parseCertificates(readRegularFile(resolve(file), MAX_BYTES), 'ca');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // Node itself may read files that its permission model hides from the program.
    if (/ERR_ACCESS_DENIED/.test(String(code))) return;
    problems.push({ where: 'environment variable NODE_EXTRA_CA_CERTS', path: '', message: `${file} ${message}` });
  }
}
