/** The wire protocol of a Valkey or Redis store, as far as the world speaks it: RESP3. Shares nothing with the product's client. */

const CRLF = '\r\n';

/** Collects bytes and gives out commands: arrays of strings. */
export class CommandReader {
  #text = '';

  /** @returns the commands that are whole now */
  add(bytes: Buffer): string[][] {
    this.#text += bytes.toString('latin1');
    const commands: string[][] = [];
    for (let next = this.#next(); next; next = this.#next()) commands.push(next);
    return commands;
  }

  #next(): string[] | undefined {
    let at = 0;
    const line = (): string | undefined => {
      const end = this.#text.indexOf(CRLF, at);
      if (end === -1) return undefined;
      const found = this.#text.slice(at, end);
      at = end + CRLF.length;
      return found;
    };
    const count = Number(line()?.slice(1) ?? 0);
    const words: string[] = [];
    while (words.length < count) {
      const length = line()?.slice(1);
      if (length === undefined || this.#text.length < at + Number(length) + CRLF.length) return undefined;
      words.push(Buffer.from(this.#text.slice(at, at + Number(length)), 'latin1').toString('utf8'));
      at += Number(length) + CRLF.length;
    }
    if (words.length === 0) return undefined;
    this.#text = this.#text.slice(at);
    return words;
  }
}

/** A reply as the scripts return it: lists, strings, integers. */
export function replyOf(value: unknown): string {
  if (Array.isArray(value)) return `*${value.length}${CRLF}${value.map(replyOf).join('')}`;
  if (typeof value === 'number') return `:${value}${CRLF}`;
  if (typeof value === 'string') return `$${Buffer.byteLength(value)}${CRLF}${value}${CRLF}`;
  return `_${CRLF}`;
}

export function okReply(): string {
  return `+OK${CRLF}`;
}

/** @param text begins with a code in capitals */
export function errorReply(text: string): string {
  return `-${text}${CRLF}`;
}

/** What comes without a command: news, and the reply to a subscription. */
export function pushOf(...values: readonly (string | number)[]): string {
  return `>${values.length}${CRLF}${values.map(replyOf).join('')}`;
}

/** Names and values in turn. */
export function mapReply(pairs: Readonly<Record<string, string>>): string {
  const all = Object.entries(pairs);
  return `%${all.length}${CRLF}${all.flat().map(replyOf).join('')}`;
}
