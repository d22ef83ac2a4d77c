/** The control for a bad network: a usual proxy that sends a request again after any error. */
import { Agent, createServer, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';

const upstream = process.argv[2] ?? '';
const agent = new Agent({ keepAlive: true });

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

async function whole(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function send({ method = 'GET', url = '', headers }: IncomingMessage, body: Buffer): Promise<Answer> {
  const own: OutgoingHttpHeaders = { ...headers, authorization: 'Bearer token-1', 'content-length': body.length };
  for (const name of ['connection', 'transfer-encoding', 'host']) delete own[name];
  return new Promise((resolve, reject) => {
    const options = { method, headers: own, agent, timeout: 400 };
    const onward = request(upstream + url.replace(/^\/api/, ''), options, (answer) => {
      whole(answer).then((content) => resolve({ status: answer.statusCode ?? 502, body: content }), reject);
    });
    onward.on('timeout', () => onward.destroy(new Error('timeout'))).on('error', reject);
    onward.end(body);
  });
}

const server = createServer(async (req, res) => {
  try {
    const body = await whole(req);
    const { status, body: content } = await send(req, body).catch(() => send(req, body));
    res.writeHead(status).end(content);
  } catch {
    res.writeHead(502).end();
  }
});
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
