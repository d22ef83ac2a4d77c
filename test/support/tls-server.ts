/** An API and a token endpoint with TLS; records its requests and their client certificates. */
import { createServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';

export interface TlsCall {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: string;
  /** Common name of the client certificate. */
  readonly client: string | undefined;
}

export interface TlsServer {
  readonly port: number;
  /** Requests that arrived; nothing else that was sent can be read by anyone. */
  readonly calls: readonly TlsCall[];
  /** Of each connection, whether its TLS session was resumed. */
  readonly resumed: readonly boolean[];
  /** Handshakes that failed. */
  readonly failures: readonly string[];
  close(): Promise<void>;
}

/** Grants `tls-token` at `/connect/token`, names it in discovery for its own `Host`, answers 200 elsewhere; behind `/last` it ends the connection. */
export async function startTlsServer(options: ServerOptions): Promise<TlsServer> {
  const calls: TlsCall[] = [];
  const failures: string[] = [];
  const resumed: boolean[] = [];
  const server = createServer(options, async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const path = req.url ?? '';
    const subject = (req.socket as TLSSocket).getPeerCertificate().subject as { CN?: string } | undefined;
    const { authorization, host } = req.headers;
    if (path === '/last') res.setHeader('Connection', 'close');
    calls.push({ path, authorization, body: Buffer.concat(chunks).toString(), client: subject?.CN });
    const issuer = `https://${host}`;
    const grant = { access_token: 'tls-token-never-printed', expires_in: 3600, token_type: 'Bearer' };
    const known: Readonly<Record<string, unknown>> = {
      '/connect/token': grant,
      '/.well-known/openid-configuration': { issuer, token_endpoint: `${issuer}/connect/token` },
    };
    res.setHeader('content-type', 'application/json').end(JSON.stringify(known[path] ?? { hello: 'world' }));
  });
  server.on('secureConnection', (socket) => resumed.push(socket.isSessionReused()));
  server.on('tlsClientError', (error) => failures.push((error as NodeJS.ErrnoException).code ?? error.message));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    calls,
    resumed,
    failures,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
