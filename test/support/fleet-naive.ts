/** The control for store faults: a proxy with a token cache in Redis as written in an afternoon, with the client's defaults. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';

export interface NaiveFleetOptions {
  readonly port: number;
  readonly upstream: string;
  readonly tokenEndpoint: string;
}

export interface NaiveFleet extends AsyncDisposable {
  readonly url: string;
}

export async function startNaiveFleet({ port, upstream, tokenEndpoint }: NaiveFleetOptions): Promise<NaiveFleet> {
  const redis = new Redis(port, '127.0.0.1');
  redis.on('error', () => undefined);

  async function token(): Promise<string> {
    const cached = await redis.get('naive-token');
    if (cached !== null) return cached;
    const form = new URLSearchParams({ grant_type: 'client_credentials', client_id: 'erp', client_secret: 'secret' });
    const response = await fetch(tokenEndpoint, { method: 'POST', body: form });
    const granted = (await response.json()) as { access_token: string; expires_in: number };
    await redis.set('naive-token', granted.access_token, 'EX', granted.expires_in);
    return granted.access_token;
  }

  async function pass(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const authorization = `Bearer ${await token()}`;
    const response = await fetch(upstream + (req.url ?? '').replace(/^\/api/, ''), { headers: { authorization } });
    res.writeHead(response.status).end(Buffer.from(await response.arrayBuffer()));
  }

  const server = createServer((req, res) => {
    pass(req, res).catch(() => res.writeHead(503).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        redis.disconnect();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
