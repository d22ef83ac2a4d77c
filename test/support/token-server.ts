/** A token endpoint that responds as a test says and records its requests. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TokenCall {
  readonly method: string;
  readonly headers: IncomingMessage['headers'];
  readonly form: URLSearchParams;
}

/** Writes a response; default: a token `token-1`, `token-2`, … of one hour. */
export type TokenAnswerer = (res: ServerResponse, call: TokenCall, count: number) => void;

export interface TokenServer {
  /** Whole URL of the token endpoint. */
  readonly url: string;
  readonly calls: readonly TokenCall[];
  /** Sets the response to all further requests. */
  answerWith(answerer: TokenAnswerer): void;
  close(): Promise<void>;
}

/** Responds 200 with a token. */
export function grant(token: string, fields: Readonly<Record<string, unknown>> = {}): TokenAnswerer {
  return json(200, { access_token: token, expires_in: 3600, token_type: 'Bearer', scope: 'api', ...fields });
}

/** Responds with a JSON body. */
export function json(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): TokenAnswerer {
  return (res) => res.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body));
}

export async function startTokenServer(): Promise<TokenServer> {
  const calls: TokenCall[] = [];
  let answerer: TokenAnswerer = (res, call, count) => grant(`token-${count}`)(res, call, count);
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const call = { method: req.method ?? '', headers: req.headers, form };
    calls.push(call);
    answerer(res, call, calls.length);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/connect/token`,
    calls,
    answerWith(next) {
      answerer = next;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
