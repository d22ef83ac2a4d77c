/** An API that executes a payment each time a complete request for it arrives, and counts. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chance } from './seeded.ts';

export interface PaymentApi extends AsyncDisposable {
  readonly port: number;
  /** How often each payment was executed, by id. */
  readonly executed: ReadonlyMap<string, number>;
  /** Complete requests that no caller sent in this form. */
  readonly mangled: readonly string[];
  /** `Authorization` lines that are not exactly one of the sidecar's. */
  readonly unauthorized: readonly string[];
  readonly requests: number;
}

/** Share of payments whose first attempt is refused because of the token, which causes a second one. */
const REFUSED_TOKENS = 0.04;

/** @param token what `Authorization` must match */
export async function startPaymentApi(seed: number, token: RegExp): Promise<PaymentApi> {
  const executed = new Map<string, number>();
  const refused = new Set<string>();
  const mangled: string[] = [];
  const unauthorized: string[] = [];
  let requests = 0;

  const pay = (res: ServerResponse, id: string, body: Buffer): void => {
    if (idIn(body) !== id) {
      mangled.push(`${id}: ${body.length} bytes`);
      res.writeHead(400).end();
    } else if (!refused.has(id) && chance(seed, `token ${id}`).happens(REFUSED_TOKENS)) {
      refused.add(id);
      res.writeHead(401, { 'WWW-Authenticate': 'Bearer error="invalid_token"' }).end();
    } else {
      executed.set(id, (executed.get(id) ?? 0) + 1);
      res.writeHead(201, { 'Content-Type': 'application/json' }).end(JSON.stringify({ id, status: 'received' }));
    }
  };

  const server = createServer(async (req, res) => {
    requests += 1;
    const lines = req.headersDistinct['authorization'] ?? [];
    if (lines.length !== 1 || !token.test(lines[0] ?? '')) unauthorized.push(JSON.stringify(lines));
    const body = await wholeBody(req);
    if (body === undefined) return;
    if (req.method === 'POST') pay(res, String(req.headers['x-payment']), body);
    else res.writeHead(200).end('a'.repeat(Number(/\d+$/.exec(req.url ?? '')?.[0] ?? 1)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    executed,
    mangled,
    unauthorized,
    get requests() {
      return requests;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Undefined when the request broke off. */
async function wholeBody(req: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of req) chunks.push(chunk as Buffer);
  } catch {
    return undefined;
  }
  return req.complete ? Buffer.concat(chunks) : undefined;
}

function idIn(body: Buffer): unknown {
  try {
    const { id, size } = JSON.parse(body.toString()) as { id?: unknown; size?: unknown };
    return size === body.length ? id : undefined;
  } catch {
    return undefined;
  }
}
