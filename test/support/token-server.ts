/** A token endpoint that answers as it is told and remembers what it was asked. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TokenCall {
  readonly method: string;
  readonly headers: IncomingMessage['headers'];
  readonly form: URLSearchParams;
}

/** Writes an answer; the default is a token `token-1`, `token-2`, … of an hour. */
export type TokenAnswerer = (res: ServerResponse, call: TokenCall, count: number) => void;

export interface TokenServer {
  /** Whole URL of the token endpoint. */
  readonly url: string;
  readonly calls: readonly TokenCall[];
  /** Answers all further requests. */
  answerWith(answerer: TokenAnswerer): void;
  close(): Promise<void>;
}

/** Answers 200 with a token. */
export function grant(token: string, fields: Readonly<Record<string, unknown>> = {}): TokenAnswerer {
  return json(200, { access_token: token, expires_in: 3600, token_type: 'Bearer', scope: 'api', ...fields });
}

/** Answers with a JSON body. */
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
