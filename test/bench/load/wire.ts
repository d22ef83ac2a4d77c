/**
 * Reads HTTP/1.1 messages from a socket with as little work as possible: generator and upstream share one core, and their
 * cost limits how fast a subject can be measured. Trusts its peer; not a parser to copy.
 */

const LENGTH = /\r\ncontent-length: *(\d+)/i;
const CHUNKED = /\r\ntransfer-encoding: *chunked/i;
const END_OF_HEAD = '\r\n\r\n';

/** @param head start line and headers, unchanged @param bodyBytes size of the whole body without framing */
export type OnMessage = (head: string, bodyBytes: number) => void;

type State = 'head' | 'length' | 'size' | 'chunk' | 'trailer';

export class MessageReader {
  readonly #onMessage: OnMessage;
  #state: State = 'head';
  #rest: Buffer | undefined;
  #head = '';
  #left = 0;
  #bodyBytes = 0;

  constructor(onMessage: OnMessage) {
    this.#onMessage = onMessage;
  }

  /** Body bytes of the current message so far. */
  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  feed(piece: Buffer): void {
    let data = this.#rest === undefined ? piece : Buffer.concat([this.#rest, piece]);
    this.#rest = undefined;
    while (data.length > 0) {
      const used = this.#step(data);
      if (used === undefined) {
        this.#rest = data;
        return;
      }
      data = data.subarray(used);
    }
  }

  /** Returns the bytes used, or undefined if more are needed. */
  #step(data: Buffer): number | undefined {
    if (this.#state === 'head') return this.#readHead(data);
    if (this.#state === 'size') return this.#readSize(data);
    if (this.#state === 'trailer') return this.#readTrailer(data);
    return this.#readBody(data);
  }

  #readHead(data: Buffer): number | undefined {
    const end = data.indexOf(END_OF_HEAD);
    if (end === -1) return undefined;
    this.#head = data.toString('latin1', 0, end);
    this.#bodyBytes = 0;
    if (CHUNKED.test(this.#head)) this.#state = 'size';
    else {
      this.#left = Number(LENGTH.exec(this.#head)?.[1] ?? 0);
      if (this.#left === 0) this.#finish();
      else this.#state = 'length';
    }
    return end + END_OF_HEAD.length;
  }

  #readBody(data: Buffer): number {
    const used = Math.min(this.#left, data.length);
    this.#left -= used;
    // The last two bytes of a chunk are its line end.
    this.#bodyBytes += used;
    if (this.#left > 0) return used;
    if (this.#state === 'length') this.#finish();
    else {
      this.#bodyBytes -= 2;
      this.#state = 'size';
    }
    return used;
  }

  #readSize(data: Buffer): number | undefined {
    const end = data.indexOf('\r\n');
    if (end === -1) return undefined;
    const size = Number.parseInt(data.toString('latin1', 0, end), 16);
    this.#left = size + 2;
    this.#state = size === 0 ? 'trailer' : 'chunk';
    return end + 2;
  }

  #readTrailer(data: Buffer): number | undefined {
    const end = data.indexOf('\r\n');
    if (end === -1) return undefined;
    if (end === 0) this.#finish();
    return end + 2;
  }

  #finish(): void {
    this.#state = 'head';
    this.#onMessage(this.#head, this.#bodyBytes);
  }
}
