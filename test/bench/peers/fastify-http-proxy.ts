/** @fastify/http-proxy on Fastify, with undici. */
import proxy from '@fastify/http-proxy';
import fastify from 'fastify';
import { announce, CONNECTIONS, readInput } from './peer.ts';

const { upstream, authorization } = readInput();
const app = fastify({ logger: false });
await app.register(proxy, {
  upstream,
  undici: { connections: CONNECTIONS, pipelining: 1 },
  replyOptions: { rewriteRequestHeaders: (_request, headers) => ({ ...headers, authorization }) },
});
await app.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
announce(app.server);
