/** A second parser of HTTP/1.1 framing (RFC 9112 §6), independent of Node's and undici's. Bytes are latin1. */

export interface Message {
  readonly startLine: string;
  /** Names and values as sent. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
  readonly framing: 'none' | 'length' | 'chunked' | 'close';
  /** Index after the message's last byte. */
  readonly end: number;
}

export interface Expected {
  readonly kind: 'request' | 'response';
  /** A response to HEAD: it has no body, whatever its headers are. */
  readonly toHead?: boolean;
  /** The connection has ended, which completes a body without a length. */
  readonly closed?: boolean;
}

/**
 * Returns the message that begins at `from`; undefined while it is incomplete.
 * @throws Error when the bytes there are not a message
 */
export function readMessage(bytes: string, from: number, expected: Expected): Message | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n', from);
  if (headEnd === -1) return undefined;
  const [startLine = '', ...lines] = bytes.slice(from, headEnd).split('\r\n');
  const shape = expected.kind === 'request' ? /^[A-Z-]+ \S+ HTTP\/1\.[01]$/ : /^HTTP\/1\.[01] \d{3} ?/;
  if (!shape.test(startLine)) throw new Error(`no ${expected.kind}: ${JSON.stringify(startLine.slice(0, 80))}`);
  const fields = lines.map(readField);
  const start = headEnd + 4;
  const framed = readBody(bytes, start, { expected, startLine, fields });
  return framed && { startLine, fields, ...framed };
}

/** The end of the message at `from` if its head gives a length, else 0; saves parsing a large body again and again. */
export function announcedEnd(bytes: string, from: number): number {
  const headEnd = bytes.indexOf('\r\n\r\n', from);
  const length = /\r\ncontent-length: *(\d+)/i.exec(bytes.slice(from, Math.max(from, headEnd)))?.[1];
  return length === undefined ? 0 : headEnd + 4 + Number(length);
}

/** Returns all values of a field; its name in any case. */
export function valuesOf({ fields }: Pick<Message, 'fields'>, name: string): string[] {
  return fields.filter(([field]) => field.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

/** Returns the status of a response. */
export function statusOf({ startLine }: Message): number {
  return Number(startLine.split(' ')[1]);
}

function readField(line: string): readonly [string, string] {
  const colon = line.indexOf(':');
  if (colon < 1) throw new Error(`no header field: ${JSON.stringify(line)}`);
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')];
}

type Framed = Pick<Message, 'body' | 'framing' | 'end'>;

interface Head extends Pick<Message, 'startLine' | 'fields'> {
  readonly expected: Expected;
}

function readBody(bytes: string, start: number, { expected, startLine, fields }: Head): Framed | undefined {
  const status = Number(startLine.split(' ')[1]);
  const isResponse = expected.kind === 'response';
  const bodiless = isResponse && (expected.toHead || status < 200 || status === 204 || status === 304);
  if (bodiless) return { body: '', framing: 'none', end: start };
  if (valuesOf({ fields }, 'transfer-encoding').length > 0) return readChunks(bytes, start);
  const lengths = valuesOf({ fields }, 'content-length');
  if (lengths.length > 1) throw new Error('two lengths');
  if (lengths.length === 1) {
    const end = start + Number(lengths[0]);
    return end <= bytes.length ? { body: bytes.slice(start, end), framing: 'length', end } : undefined;
  }
  if (!isResponse) return { body: '', framing: 'none', end: start };
  return expected.closed ? { body: bytes.slice(start), framing: 'close', end: bytes.length } : undefined;
}

function readChunks(bytes: string, start: number): Framed | undefined {
  const parts: string[] = [];
  for (let at = start; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd === -1) return undefined;
    const line = bytes.slice(at, lineEnd);
    if (!/^[0-9a-fA-F]+$/.test(line)) throw new Error(`no chunk size: ${JSON.stringify(line.slice(0, 40))}`);
    const size = Number.parseInt(line, 16);
    const next = lineEnd + 2 + size + 2;
    if (next > bytes.length) return undefined;
    if (bytes.slice(next - 2, next) !== '\r\n') throw new Error('chunk without its end, or trailers');
    if (size === 0) return { body: parts.join(''), framing: 'chunked', end: next };
    parts.push(bytes.slice(lineEnd + 2, next - 2));
    at = next;
  }
}
