/**
 * Structured log. Only fields named in FIELDS can be written (at compile time by type, at run time by filter), so a
 * token, a body or a query string has no way in. JSON lines by default, one readable line each on a terminal.
 */
import { pino } from 'pino';

const FIELDS = [
  'address',
  'bytesIn',
  'bytesOut',
  'code',
  'credential',
  'environment',
  'errno',
  'expiresInS',
  'file',
  'method',
  'ms',
  'path',
  'pid',
  'problem',
  'reason',
  'replayed',
  'requestId',
  'result',
  'retryInS',
  'route',
  'secret',
  'signal',
  'status',
  'upstream',
  'url',
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
  /** Blocks until every line is written; for use before the process ends. */
  flush(): void;
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
  const { write, flush } = options.write ? { write: options.write, flush: () => undefined } : openStdout();
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
    flush,
  };
}

/** What a reader that has stalled may cost in memory before lines are dropped. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;

function openStdout(): { write: (line: string) => void; flush: () => void } {
  const destination = pino.destination({ dest: 1, sync: false, minLength: 0, maxLength: MAX_BUFFERED_BYTES });
  let broken = false;
  destination.on('error', () => {
    broken = true;
  });
  return {
    write: (line) => {
      if (!broken) destination.write(line);
    },
    flush: () => {
      if (!broken) destination.flushSync();
    },
  };
}

function pick(fields: LogFields | undefined): Record<string, unknown> {
  const picked: Record<string, unknown> = {};
  for (const name in fields) {
    if (ALLOWED.has(name)) picked[name] = fields[name as FieldName];
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
  return /^[\x21-\x7e]+$/.test(text) ? text : JSON.stringify(text);
}
