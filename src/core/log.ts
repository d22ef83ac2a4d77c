/**
 * Structured log. Only fields named in FIELDS can be written (at compile time by type, at run time by filter), so a
 * token, a body or a query string has no way in. JSON lines by default, one readable line each on a terminal.
 */
import sonicBoom from 'sonic-boom';
import { nonBlocking } from './stdio.ts';
import { visible } from './terminal.ts';

const FIELDS = [
  'address',
  'bytesIn',
  'bytesOut',
  'caller',
  'cause',
  'code',
  'credential',
  'environment',
  'errno',
  'expiresInS',
  'file',
  'fix',
  'host',
  'mayHaveExecuted',
  'method',
  'ms',
  'namespace',
  'operation',
  'path',
  'pid',
  'problem',
  'reason',
  'refusedHost',
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
  'validUntil',
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
  /** Lines that could not be written so far, because whoever reads them does not keep up. */
  lost(): number;
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

/** As they stand in a line. */
const KEYS: ReadonlyMap<string, string> = new Map(FIELDS.map((name) => [name, `,"${name}":`]));
const SEVERITY = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 } as const;

/** Builds the log. A broken pipe on standard output stops the writing, never the process. */
export function createLog(options: LogOptions): Log {
  const { write, flush, lost } = options.write ? { ...INTO_MEMORY, write: options.write } : openStdout();
  const put = options.format === 'text' ? (line: string) => write(toText(line)) : write;
  let least: number = SEVERITY[options.level];
  const timeText = rememberSecond();
  const writer = (level: Exclude<LogLevel, 'silent'>) => (message: string, fields?: LogFields) => {
    if (SEVERITY[level] >= least)
      put(`{"level":"${level}","time":"${timeText(Date.now())}"${toMembers(fields)},"message":${quote(message)}}\n`);
  };
  return {
    debug: writer('debug'),
    info: writer('info'),
    warn: writer('warn'),
    error: writer('error'),
    setLevel(level) {
      least = SEVERITY[level];
    },
    lost,
    flush,
  };
}

interface Writing {
  readonly write: (line: string) => void;
  readonly flush: () => Promise<void>;
  readonly lost: () => number;
}

const INTO_MEMORY = { flush: async () => undefined, lost: () => 0 };

/** True once in so many ms: a flood of anything must not flood the log. @param now monotonic, ms */
export function onceIn(ms: number, now: () => number = () => performance.now()): () => boolean {
  let last = Number.NEGATIVE_INFINITY;
  return () => {
    if (now() - last < ms) return false;
    last = now();
    return true;
  };
}

/** Put together by hand: one line is written for every request, and this costs a third of a general serializer. */
function toMembers(fields: LogFields | undefined): string {
  let members = '';
  for (const name in fields) {
    const value: unknown = fields[name as FieldName];
    const key = value === undefined ? undefined : KEYS.get(name);
    if (key === undefined) continue;
    if (typeof value === 'string') members += key + quote(value);
    // An object could bring anything along.
    else if (typeof value === 'boolean' || Number.isFinite(value)) members += key + String(value);
  }
  return members;
}

/** Nothing in it has to be escaped in JSON. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

function quote(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** RFC 3339 in UTC of an epoch time in ms; all but the milliseconds is kept for a second. */
function rememberSecond(): (now: number) => string {
  let second = Number.NaN;
  let text = '';
  return (now: number): string => {
    const current = Math.floor(now / 1000);
    if (current !== second) {
      second = current;
      text = new Date(current * 1000).toISOString().slice(0, -'000Z'.length);
    }
    return `${text}${String(now - current * 1000).padStart(3, '0')}Z`;
  };
}

/** What a reader that has stalled may cost in memory before lines are dropped, because callers come first. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;
const FLUSH_MS = 1000;
/** Lines leave together, at the latest after this time or with so many bytes: writing costs more than making them. */
const GATHER_MS = 50;
const LINE_END = 0x0a;
const GATHER_BYTES = 128 * 1024;
/** UTF-8 needs no more for a UTF-16 code unit. */
const MAX_BYTES_PER_CHAR = 3;

/**
 * Writes behind the caller's back and never blocks: a full disk, a closed pipe or a reader that stands still costs log
 * lines, never a request and never the stop. A line becomes bytes at once: as text that waits, its many pieces would
 * outlive their request and be carried about by the garbage collector.
 */
function openStdout(): Writing {
  const destination = openDestination((lines) => {
    lost += lines;
  });
  let writing = false;
  let lines: Buffer = Buffer.allocUnsafeSlow(GATHER_BYTES);
  let length = 0;
  let spare: Buffer | undefined;
  let timer: NodeJS.Timeout | undefined;
  let underway: Buffer | undefined;
  let lost = 0;
  destination.on('drain', () => {
    writing = false;
    spare = underway;
  });
  const send = (bytes: Buffer) => {
    writing = true;
    // In this mode it takes bytes; its types know only text.
    destination.write(bytes as unknown as string);
  };
  const sendBatch = () => {
    clearTimeout(timer);
    timer = undefined;
    if (length === 0) return;
    const full = lines;
    lines = spare ?? Buffer.allocUnsafeSlow(GATHER_BYTES);
    spare = undefined;
    underway = full;
    send(full.subarray(0, length));
    length = 0;
  };
  const write = (line: string) => {
    const most = line.length * MAX_BYTES_PER_CHAR;
    if (most > GATHER_BYTES - length) sendBatch();
    if (most > GATHER_BYTES) send(Buffer.from(line));
    else length += lines.write(line, length);
    timer ??= setTimeout(sendBatch, GATHER_MS);
  };
  const flush = () =>
    new Promise<void>((resolve) => {
      sendBatch();
      if (!writing) resolve();
      destination.once('drain', resolve).once('error', () => resolve());
      setTimeout(resolve, FLUSH_MS);
    });
  return { write, flush, lost: () => lost };
}

/** @param onLost told of lines that nobody takes */
function openDestination(onLost: (lines: number) => void) {
  const settings = { sync: false, maxLength: MAX_BUFFERED_BYTES, contentMode: 'buffer' } as const;
  const destination = new sonicBoom.SonicBoom({ fd: nonBlocking(1), ...settings });
  return destination.on('error', () => undefined).on('drop', (bytes) => onLost(linesIn(Buffer.from(bytes))));
}

/** What is written together is whole lines. */
function linesIn(bytes: Buffer): number {
  return bytes.reduce((sum, byte) => (byte === LINE_END ? sum + 1 : sum), 0);
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
  return visible(JSON.stringify(text));
}
