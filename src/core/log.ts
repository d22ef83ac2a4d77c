/**
 * Structured log. Only fields named in FIELDS can be written (checked by type and again at run time), so
 * no token, body or query string gets in. JSON lines by default, one readable line each on a terminal.
 */
import sonicBoom from 'sonic-boom';
import { createLogTail } from './log-tail.ts';
import { toText } from './log-text.ts';
import { nonBlocking } from './stdio.ts';

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
  'spans',
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

/** Messages are static text; every variable part is a field. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Sets the least severe level that is written. */
  setLevel(level: LogLevel): void;
  /** Number of lines dropped so far because the reader is too slow. */
  lost(): number;
  /** The last lines as written, oldest first: at most 500 and 256 KiB. */
  tail(): readonly string[];
  /** Resolves when every line is written or after one second. Call it before the process ends. */
  flush(): Promise<void>;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** `text` is for a person at a terminal. */
  readonly format: 'json' | 'text';
  /** Receives each line; default: standard output. */
  readonly write?: (line: string) => void;
}

/** Field names as written in a line. */
const KEYS: ReadonlyMap<string, string> = new Map(FIELDS.map((name) => [name, `,"${name}":`]));
const SEVERITY = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 } as const;

/** Creates a log. A broken pipe on standard output stops the log, never the process. */
export function createLog(options: LogOptions): Log {
  const { write, flush, lost, tail } = options.write ? passOn(options.write) : openStdout();
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
    tail,
    flush,
  };
}

interface Writing {
  readonly write: (line: string) => void;
  readonly flush: () => Promise<void>;
  readonly lost: () => number;
  readonly tail: () => readonly string[];
}

function passOn(pass: (line: string) => void): Writing {
  const { add, lines: tail } = createLogTail();
  const write = (line: string) => {
    add(Buffer.from(line));
    pass(line);
  };
  return { write, flush: async () => undefined, lost: () => 0, tail };
}

/** Returns a function that is true at most once per `ms`, against floods of lines. @param now monotonic, ms */
export function onceIn(ms: number, now: () => number = () => performance.now()): () => boolean {
  let last = Number.NEGATIVE_INFINITY;
  return () => {
    if (now() - last < ms) return false;
    last = now();
    return true;
  };
}

/** Written by hand: every request logs a line, and this costs a third of a general serializer. */
function toMembers(fields: LogFields | undefined): string {
  let members = '';
  for (const name in fields) {
    const value: unknown = fields[name as FieldName];
    const key = value === undefined ? undefined : KEYS.get(name);
    if (key === undefined) continue;
    if (typeof value === 'string') members += key + quote(value);
    // Objects are left out: they could contain anything.
    else if (typeof value === 'boolean' || Number.isFinite(value)) members += key + String(value);
  }
  return members;
}

/** Text that needs no escape in JSON. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

function quote(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** Formats epoch ms as RFC 3339 in UTC; caches everything but the milliseconds. */
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

/** Memory for lines while the reader stalls; beyond it, lines are dropped: serving callers comes first. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;
const FLUSH_MS = 1000;
/** Lines are written in batches, after this time or this many bytes: a write costs more than a line. */
const GATHER_MS = 50;
const LINE_END = 0x0a;
const GATHER_BYTES = 128 * 1024;
/** The most that UTF-8 needs for a UTF-16 code unit. */
const MAX_BYTES_PER_CHAR = 3;

/**
 * Writes asynchronously and never blocks: a full disk, a closed pipe or a stalled reader costs log lines, never a
 * request and never the shutdown. Each line becomes bytes at once: as waiting strings, its pieces would outlive their
 * request and cost garbage collection.
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
  const recent = createLogTail(() => sendBatch());
  destination.on('drain', () => {
    writing = false;
    spare = underway;
  });
  const send = (bytes: Buffer) => {
    writing = true;
    recent.add(bytes);
    // In this mode it accepts bytes; its types allow only text.
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
  return { write, flush, lost: () => lost, tail: recent.lines };
}

/** @param onLost gets the number of dropped lines */
function openDestination(onLost: (lines: number) => void) {
  const settings = { sync: false, maxLength: MAX_BUFFERED_BYTES, contentMode: 'buffer' } as const;
  const destination = new sonicBoom.SonicBoom({ fd: nonBlocking(1), ...settings });
  return destination.on('error', () => undefined).on('drop', (bytes) => onLost(linesIn(Buffer.from(bytes))));
}

/** A batch contains only whole lines. */
function linesIn(bytes: Buffer): number {
  return bytes.reduce((sum, byte) => (byte === LINE_END ? sum + 1 : sum), 0);
}
