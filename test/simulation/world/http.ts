/** HTTP/1.1 as far as the world speaks it: messages with `Content-Length`, one after the other. Shares nothing with the product. */
import type { Connected, End, Listening, Segment, Stamp } from '../platform/network.ts';
import type { SimulatedProcess } from '../platform/process.ts';

export interface Message {
  /** Of the first line. */
  readonly words: readonly [string, string, string];
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** When its first byte was sent, by the clocks of the sender. */
  readonly sent: Stamp;
}

/** Collects bytes and gives out messages. */
export class Reader {
  #text = '';
  #sent: Stamp | undefined;

  /** @returns the messages that are whole now */
  add(bytes: Buffer, sent: Stamp): Message[] {
    this.#sent ??= sent;
    this.#text += bytes.toString('latin1');
    const messages: Message[] = [];
    for (let next = this.#next(); next; next = this.#next()) messages.push(next);
    return messages;
  }

  #next(): Message | undefined {
    const end = this.#text.indexOf('\r\n\r\n');
    if (end === -1 || !this.#sent) return undefined;
    const [first = '', ...lines] = this.#text.slice(0, end).split('\r\n');
    const headers = new Map(
      lines.map((line) => [line.split(':', 1)[0]?.toLowerCase() ?? '', line.replace(/^[^:]*: */, '')]),
    );
    const length = end + 4 + Number(headers.get('content-length') ?? 0);
    if (this.#text.length < length) return undefined;
    const body = this.#text.slice(end + 4, length);
    this.#text = this.#text.slice(length);
    const { '0': one = '', '1': two = '', '2': three = '' } = first.split(' ');
    const message: Message = { words: [one, two, three], headers, body, sent: this.#sent };
    this.#sent = undefined;
    return message;
  }
}

export interface Response {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: object;
}

/** A request at a server, and what the server can do about it. */
export interface Request extends Message {
  readonly from: SimulatedProcess | undefined;
  /** When its sender gave it up, true ms; Infinity while it waits. */
  readonly givenUpAt: number;
  /** @param onArrived for observers: the response has reached the sender */
  respond(response: Response, onArrived?: () => void): void;
  reset(): void;
}

/** A server whose connections are handled by `onRequest`; the returned object listens on the network. */
export function httpServer(owner: SimulatedProcess, onRequest: (request: Request) => void): Listening {
  return { owner, accept: (wire) => new ServerEnd(owner, wire, onRequest) };
}

class ServerEnd implements End {
  readonly owner: SimulatedProcess;
  readonly #wire: Connected;
  readonly #onRequest: (request: Request) => void;
  readonly #reader = new Reader();

  constructor(owner: SimulatedProcess, wire: Connected, onRequest: (request: Request) => void) {
    this.owner = owner;
    this.#wire = wire;
    this.#onRequest = onRequest;
    owner.onKill(() => this.#leave('reset'));
  }

  receive(segment: Segment, sent: Stamp): void {
    if (segment === 'end') this.#leave('end');
    else if (segment === 'reset') this.#wire.close();
    else for (const message of this.#reader.add(segment, sent)) this.#onRequest(this.#request(message));
  }

  #request(message: Message): Request {
    const wire = this.#wire;
    return {
      ...message,
      from: wire.peer,
      get givenUpAt() {
        return wire.peerClosedAt;
      },
      respond: (response, onArrived) => wire.send(textOf(response), onArrived),
      reset: () => this.#leave('reset'),
    };
  }

  #leave(last: Segment): void {
    this.#wire.send(last);
    this.#wire.close();
  }
}

function textOf({ status, headers = {}, body }: Response): Buffer {
  const text = JSON.stringify(body);
  const all = { 'Content-Type': 'application/json', 'Content-Length': String(text.length), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`HTTP/1.1 ${status} Simulated\r\n${lines.join('')}\r\n${text}`, 'latin1');
}
