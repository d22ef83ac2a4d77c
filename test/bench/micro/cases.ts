/** The steps of a request that need no socket, each as a function to call in a loop with one ordinary request. */
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { systemClock } from '../../../src/core/clock.ts';
import { createLog } from '../../../src/core/log.ts';
import { createMetrics } from '../../../src/core/metrics.ts';
import { Secret } from '../../../src/core/secret.ts';
import { createTokenCache } from '../../../src/oauth/token-cache.ts';
import { createAdmission, type RequestLine } from '../../../src/proxy/admission.ts';
import { Exchange, type ProxyContext, record } from '../../../src/proxy/exchange.ts';
import { readRequestHead, readResponseHead } from '../../../src/proxy/headers.ts';

export interface Case {
  readonly name: string;
  /** The result is kept, so that the compiler cannot drop the call. */
  readonly run: () => unknown;
}

const HOST = '127.0.0.1:7080';
const REQUEST = [
  ...['Host', HOST, 'Accept', 'application/json', 'User-Agent', 'erp/1.0', 'Accept-Language', 'nb-NO'],
  ...['Connection', 'keep-alive', 'X-Correlation-Id', '4f1c1cb6-6f0e-4be9-9c34-0d9d9a2ecb11'],
];
/** As undici delivers them: slices of the received bytes. */
const ANSWER = piecesOf([
  ...['Date', 'Thu, 01 Jan 2026 00:00:00 GMT', 'Content-Type', 'application/json', 'Cache-Control', 'no-store'],
  ...['Content-Length', '686', 'Connection', 'keep-alive'],
]);
const TOKEN = 'token-of-the-bench-1';

/** Resolves when the cache has a token. */
export async function createCases(): Promise<Case[]> {
  const metrics = createMetrics('0.0.0').forRoute('/api');
  return [
    { name: 'control: a call that does nothing', run: () => HOST },
    { name: 'request headers', run: () => readRequestHead(REQUEST) },
    { name: 'admission', run: admissionCase() },
    { name: 'token from the cache', run: await tokenCase() },
    { name: 'response headers', run: () => readResponseHead(ANSWER, 200, TOKEN) },
    { name: 'metrics', run: () => metrics.record('GET', 200, 0.012) },
    { name: 'metrics and log line', run: logCase() },
  ];
}

function admissionCase(): () => unknown {
  const admit = createAdmission({
    routes: [
      { path: '/banking', basePath: '/api', allow: undefined },
      { path: '/events', basePath: '', allow: undefined },
    ],
    hosts: new Set([HOST]),
    allowForwarded: false,
    identify: () => 'anyone',
  });
  const head = readRequestHead(REQUEST);
  const line: RequestLine = {
    ...{ method: 'GET', target: '/banking/accounts/1234/transactions?from=2026-01-01', httpVersion: '1.1' },
    ...{ headerCount: REQUEST.length / 2, secure: false, certificate: undefined },
  };
  return () => admit(line, head);
}

async function tokenCase(): Promise<() => unknown> {
  const cache = createTokenCache({
    fetchToken: async () => ({
      ...{ kind: 'token', authorization: new Secret(`Bearer ${TOKEN}`), lifetimeS: 7200, assumedLifetime: false },
    }),
    eventsFor: () => ({ lookup: () => undefined, obtained: () => undefined, failed: () => undefined }),
    ...{ refreshBeforeMs: 300_000, waitMs: 10_000, clock: systemClock, random: () => 0.5 },
  });
  const source = cache.open({ credential: 'default', scope: 'api', audience: undefined, resource: undefined });
  await source.get();
  return () => source.get();
}

/** Includes the log up to the write, but not the write itself. */
function logCase(): () => unknown {
  let bytes = 0;
  const log = createLog({ level: 'info', format: 'json', write: (line) => (bytes += line.length) });
  const req = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', url: '/banking/accounts?from=1' });
  const res = new ServerResponse(req);
  // As after the last byte; without a socket it is never set.
  Object.defineProperty(res, 'writableFinished', { value: true });
  const context = { log, unrouted: createMetrics('0.0.0').forRoute('/api'), nextRequestId: () => 'bench-1' };
  const exchange = new Exchange(context as unknown as ProxyContext, req, res);
  return () => {
    record(exchange);
    return bytes;
  };
}

function piecesOf(texts: readonly string[]): Buffer[] {
  const all = Buffer.from(texts.join(': '));
  let at = 0;
  return texts.map((text) => {
    const piece = all.subarray(at, at + text.length);
    at += text.length + ': '.length;
    return piece;
  });
}
