/**
 * The control for members of a fleet: a proxy whose token is in a shared cache, as written in an afternoon. It needs the
 * cache for every request, and passes a 401 on. Arguments: upstream, token endpoint, client, ports of the sentinels.
 */
import { createServer, request } from 'node:http';
import { Redis } from 'ioredis';

const [, , upstream = '', tokenEndpoint = '', client = '', ...sentinelPorts] = process.argv;
const { id, secret } = JSON.parse(client) as { id: string; secret: string };
const sentinels = sentinelPorts.map((port) => ({ host: '127.0.0.1', port: Number(port) }));
const redis = new Redis({ sentinels, name: 'main', maxRetriesPerRequest: 1, commandTimeout: 1000 });
redis.on('error', () => undefined);

async function currentToken(): Promise<string> {
  const known = await redis.get('token');
  if (known !== null) return known;
  const form = { grant_type: 'client_credentials', client_id: id, client_secret: secret };
  const response = await fetch(tokenEndpoint, { method: 'POST', body: new URLSearchParams(form) });
  const { access_token: token, expires_in: lifetimeS } = (await response.json()) as Record<string, string & number>;
  await redis.set('token', String(token), 'EX', Number(lifetimeS) - 1);
  return String(token);
}

const server = createServer(async (req, res) => {
  try {
    const headers = { ...req.headers, authorization: `Bearer ${await currentToken()}` };
    const target = new URL((req.url ?? '').replace(/^\/api/, ''), upstream);
    const onward = request(target, { method: req.method ?? 'GET', headers }, (response) => {
      if (response.statusCode === 401) void redis.del('token').catch(() => undefined);
      res.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(res);
    });
    onward.on('error', () => res.writeHead(502).end());
    req.pipe(onward);
  } catch {
    res.writeHead(503).end();
  }
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.send?.(address.port);
});
