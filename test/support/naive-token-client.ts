/** The control for token faults: a reverse proxy with tokens as written in an afternoon, without any fallback. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface NaiveOptions {
  readonly upstream: string;
  readonly tokenEndpoint: string;
  readonly clientId: string;
  readonly secret: string;
  /** `Date.now`, unless a test sets the time. */
  readonly now: () => number;
  readonly log: (line: string) => void;
}

export interface NaiveClient {
  readonly port: number;
  close(): Promise<void>;
}

interface Granted {
  readonly access_token: string;
  readonly expires_in: number;
}

export async function startNaiveTokenClient(options: NaiveOptions): Promise<NaiveClient> {
  const { upstream, now, log } = options;
  let authorization: string | undefined;
  let expiresAt = 0;
  let closed = false;

  async function fetchToken(): Promise<void> {
    const { clientId, secret, tokenEndpoint } = options;
    const form = { grant_type: 'client_credentials', client_id: clientId, client_secret: secret };
    const answer = await fetch(tokenEndpoint, { method: 'POST', body: new URLSearchParams(form) });
    if (!answer.ok) throw new Error(`the token endpoint says ${answer.status}: ${await answer.text()}`);
    const json = (await answer.json()) as Granted;
    authorization = `Bearer ${json.access_token}`;
    expiresAt = now() + json.expires_in * 1000;
  }

  async function pass(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    if (authorization === undefined || now() > expiresAt) await fetchToken();
    const send = () =>
      fetch(upstream + (req.url ?? '').replace(/^\/api/, ''), {
        method: req.method ?? 'GET',
        headers: { authorization: authorization ?? '' },
        ...(chunks.length > 0 && { body: Buffer.concat(chunks) }),
      });
    let answer = await send();
    while (answer.status === 401 && !closed) {
      await answer.arrayBuffer();
      await fetchToken();
      answer = await send();
    }
    res.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
  }

  const server = createServer((req, res) => {
    pass(req, res).catch((error: Error) => {
      log(`cannot forward: ${error.message}`);
      if (!res.headersSent) res.writeHead(503, { 'Retry-After': '5' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        closed = true;
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
