/**
 * Structured log. Only fields named in FIELDS can be written (at compile time by type, at run time by filter), so a
 * token, a body or a query string has no way in. JSON lines by default, one readable line each on a terminal.
 */
import { pino } from 'pino';

const FIELDS = [
  'address',
  'bytesIn',
  'bytesOut',
  'caller',
  'code',
  'credential',
  'environment',
  'errno',
  'expiresInS',
  'file',
  'host',
  'method',
  'ms',
  'namespace',
  'operation',
  'path',
  'pid',
  'problem',
  'reason',
  'replayed',
  'requestId',
  'resource',
  'result',
  'retryInS',
  'route',
  'secret',
  'signal',
  'since',
  'status',
  'step',
  'traceparent',
  'upstream',
  'upstreamMs',
  'url',
  'verb',
  'version',
] as const;

type FieldName = (typeof FIELDS)[number];
export type LogFields = { readonly [name in FieldName]?: string | number | boolean | undefined };
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Messages are static text; everything variable is a field. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** From now on, the least severe level written. */
  setLevel(level: LogLevel): void;
  /** Resolves when every line is written or a second has passed; for use before the process ends. */
  flush(): Promise<void>;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** `text` is for people at a terminal. */
  readonly format: 'json' | 'text';
  /** Where lines go; standard output when absent. Tests collect here. */
  readonly write?: (line: string) => void;
}

const ALLOWED: ReadonlySet<string> = new Set(FIELDS);

/** Builds the log. A broken pipe on standard output stops the writing, never the process. */
export function createLog(options: LogOptions): Log {
  const { write, flush } = options.write ? { write: options.write, flush: async () => undefined } : openStdout();
  const format = options.format === 'text' ? (line: string) => write(toText(line)) : write;
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'message',
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: format },
  );
  return {
    debug: (message, fields) => logger.debug(pick(fields), message),
    info: (message, fields) => logger.info(pick(fields), message),
    warn: (message, fields) => logger.warn(pick(fields), message),
    error: (message, fields) => logger.error(pick(fields), message),
    setLevel(level) {
      logger.level = level;
    },
    flush,
  };
}

/** What a reader that has stalled may cost in memory before lines are dropped, because callers come first. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;
const FLUSH_MS = 1000;

/**
 * Writes behind the caller's back and never blocks: a full disk, a closed pipe or a reader that stands still costs log
 * lines, never a request and never the stop. pino's own flush would retry for ever, so it is replaced.
 */
function openStdout(): { write: (line: string) => void; flush: () => Promise<void> } {
  const destination = pino.destination({ dest: 1, sync: false, minLength: 0, maxLength: MAX_BUFFERED_BYTES });
  let waiting = false;
  destination
    .on('error', () => undefined)
    .on('drain', () => {
      waiting = false;
    });
  destination.flushSync = () => undefined;
  const write = (line: string) => {
    waiting = true;
    destination.write(line);
  };
  const flush = () =>
    new Promise<void>((resolve) => {
      if (!waiting) resolve();
      destination.once('drain', resolve).once('error', () => resolve());
      setTimeout(resolve, FLUSH_MS);
    });
  return { write, flush };
}

function pick(fields: LogFields | undefined): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  for (const name in fields) {
    const value: unknown = fields[name as FieldName];
    // An object could bring anything along.
    if (ALLOWED.has(name) && typeof value !== 'object') picked[name] = value;
  }
  return picked;
}

function toText(line: string): string {
  const { level, time, message, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${printable(value)}`);
  return `${String(time).slice(11, 23)} ${String(level).padEnd(5)} ${[String(message), ...rest].join('  ')}\n`;
}

/** A caller chooses paths and methods: quoting them keeps escape sequences from reaching the operator's terminal. */
function printable(value: unknown): string {
  const text = String(value);
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  // JSON leaves DEL, C1 controls, direction overrides and line separators as they are.
  return JSON.stringify(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) =>
    [...Array(character.length).keys()]
      .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
