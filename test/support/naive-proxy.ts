/** The control: a proxy as written in five minutes. A suite of attacks and faults that it passes would prove nothing. */
import { createServer, type OutgoingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';

const upstream = process.argv[2] ?? '';
const HOP_BY_HOP = ['connection', 'keep-alive', 'te', 'transfer-encoding', 'upgrade', 'host'];
const server = createServer((req, res) => {
  const headers: OutgoingHttpHeaders = { ...req.headers, authorization: 'Bearer token-1' };
  for (const option of (req.headers.connection ?? '').split(',')) delete headers[option.trim().toLowerCase()];
  for (const name of HOP_BY_HOP) delete headers[name];
  const target = new URL((req.url ?? '').replace(/^\/api/, ''), upstream);
  const onward = request(target, { method: req.method ?? 'GET', headers }, (answer) => {
    res.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(res);
  });
  onward.on('error', () => res.writeHead(502).end());
  req.pipe(onward);
});
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
