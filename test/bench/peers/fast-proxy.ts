/** fast-proxy with undici, the faster of its two modes. */
import { createServer } from 'node:http';
import fastProxy from 'fast-proxy';
import { announce, CONNECTIONS, readInput } from './peer.ts';

const { upstream, authorization } = readInput();
const { proxy } = fastProxy({ base: upstream, undici: { connections: CONNECTIONS, pipelining: 1 } });
const rewriteRequestHeaders = (_req: unknown, headers: object) => ({ ...headers, authorization });
announce(createServer((req, res) => proxy(req, res, req.url ?? '/', { rewriteRequestHeaders })));
