/** A sidecar in this process with a token server that can fail and an API, and calls of its admin listener. */
import { request } from 'node:http';
import { PATIENCE_MS } from './own-time.ts';
import { ok, startRawUpstream } from './raw.ts';
import { startTestSidecar, type TestSidecar } from './sidecar.ts';
import { startTokenServer, type TokenAnswerer, type TokenServer } from './token-server.ts';

export interface AdminAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  json(): Record<string, unknown>;
}

export interface AdminCall {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface AdminWorld extends AsyncDisposable {
  readonly identity: TokenServer;
  readonly sidecar: TestSidecar;
  admin(path: string, call?: AdminCall): Promise<AdminAnswer>;
}

/**
 * @param config further options of the sidecar's configuration file
 * @param answerer responds to the first token requests; a token when absent
 */
export async function createAdminWorld(
  config: Readonly<Record<string, unknown>> = {},
  answerer?: TokenAnswerer,
): Promise<AdminWorld> {
  const identity = await startTokenServer();
  if (answerer) identity.answerWith(answerer);
  const api = await startRawUpstream((socket, received) => {
    if (received.endsWith('\r\n\r\n')) socket.write(ok('{}'));
  });
  const sidecar = await startTestSidecar({ upstream: api.url, tokenEndpoint: identity.url, config });
  return {
    identity,
    sidecar,
    admin: (path, call) => send(sidecar.adminUrl, path, call),
    async [Symbol.asyncDispose]() {
      await sidecar.stop();
      await Promise.all([identity.close(), api.close()]);
    },
  };
}

/** Uses node:http, because fetch does not send every Host and path unchanged. */
function send(
  origin: string,
  path: string,
  { method = 'GET', headers = {}, body }: AdminCall = {},
): Promise<AdminAnswer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(origin);
    // Without a length Node sends the body of a GET unframed.
    const framed = body === undefined ? headers : { ...headers, 'Content-Length': Buffer.byteLength(body) };
    const call = request(
      { hostname, port, path, method, headers: framed, agent: false, timeout: PATIENCE_MS },
      (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const parse = () => JSON.parse(text) as Record<string, unknown>;
          resolve({ status: res.statusCode ?? 0, headers: res.headers, body: text, json: parse });
        });
      },
    );
    call.on('timeout', () => call.destroy(new Error('no answer in time'))).on('error', reject);
    call.end(body);
  });
}

/** Returns the values of a metric, by their labels as written. */
export function samples(text: string, name: string): Record<string, number> {
  const found = text.matchAll(new RegExp(`^aritma_sidecar_${name}(\\{.*\\})? (\\S+)$`, 'gm'));
  return Object.fromEntries([...found].map(([, labels = '', value]) => [labels, Number(value)]));
}
