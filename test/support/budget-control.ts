/** The control of budgets: node:http in front, undici behind, backpressure both ways, and no limits at all. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Agent, request } from 'undici';

const [, , api = '', fresh = ''] = process.argv;
const dispatcher = new Agent({ connections: 2000 });

function headersOf({ headers }: IncomingMessage): Record<string, string | string[] | undefined> {
  const { connection: _, host: __, 'transfer-encoding': ___, expect: ____, ...kept } = headers;
  return { ...kept, authorization: 'Bearer token-1' };
}

const server = createServer((req, res) => {
  const { method = 'GET', url = '/' } = req;
  const isFresh = url.startsWith('/fresh');
  const target = (isFresh ? fresh : api) + url.replace(/^\/\w+/, '');
  const hasBody = req.headers['transfer-encoding'] !== undefined || req.headers['content-length'] !== undefined;
  request(target, { method, headers: headersOf(req), body: hasBody ? req : null, dispatcher })
    .then((answer) => {
      res.writeHead(answer.statusCode);
      answer.body.on('error', () => res.destroy()).pipe(res);
    })
    .catch(() => res.destroy());
});
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit());
