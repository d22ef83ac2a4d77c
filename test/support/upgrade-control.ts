/** The control for upgrades: http-proxy-3's ws() without the fence, with the best options it has. */
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createProxyServer } from 'http-proxy-3';
import { onTestFinished } from 'vitest';

/** Port of a proxy that only handles upgrades. Stops with the test. */
export async function startUpgradeControl(upstream: string): Promise<number> {
  const proxy = createProxyServer({ target: upstream, changeOrigin: true, xfwd: false });
  // Without a listener an error of the caller's connection ends the process, although `ws` has a callback for errors.
  proxy.on('error', () => undefined);
  const server = createServer();
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  server.on('upgrade', (req, socket, head) => {
    socket.on('error', () => undefined);
    proxy.ws(req, socket as Socket, head, { headers: { authorization: 'Bearer token-1' } }, () => {
      socket.end('HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}
