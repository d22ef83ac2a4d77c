// A diagnostic upstream: describes exactly what arrived, and sends as many bytes as requested, in constant memory.
// Never parses or keeps bodies, only hashes them.
import { createHash } from 'node:crypto';
import { METHODS } from 'node:http';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AcceptSocket } from './echo-socket.ts';
import { sendProblem } from './problem.ts';

/** Byte i of a body is i modulo this prime, so that a lost or swapped chunk of any power-of-two size shows. */
const PERIOD = 251;
const BLOCK = Buffer.from(Array.from({ length: PERIOD * 256 }, (_, index) => index % PERIOD));

interface BytesRequest {
  Params: { n: string };
  Querystring: { chunked?: string };
}

/**
 * Registers the echo at `/` of `app` and the byte source at `/bytes/:n`. The echo accepts every method that a Node
 * server reads, with or without a body; `acceptSocket` takes WebSocket requests.
 */
export function registerEcho(app: FastifyInstance, acceptSocket: AcceptSocket): void {
  for (const method of METHODS) {
    if (method !== 'CONNECT' && !app.supportedMethods.includes(method)) app.addHttpMethod(method, { hasBody: true });
  }
  app.route({
    method: app.supportedMethods,
    url: '/',
    // Before parsing: Fastify refuses media types it cannot read, and an echo must accept all.
    preParsing: async (request, reply) =>
      acceptSocket(request.raw) ? reply.hijack() : reply.send(await describeRequest(request)),
    handler: async () => undefined,
  });
  app.route<BytesRequest>({ method: ['GET', 'HEAD'], url: '/bytes/:n', handler: sendBytes });
}

/**
 * Returns the path for the router. Everything below `/echo` is one route, so that the router never decodes or refuses
 * the rest of the path; only the byte source has its own route.
 */
export function routeEcho(url: string): string {
  return /^\/echo\/(?!bytes\/)/.test(url) ? '/echo' : url;
}

async function describeRequest(request: FastifyRequest): Promise<object> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of request.raw as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return {
    method: request.method,
    url: request.originalUrl,
    headers: hideToken(request.raw.rawHeaders),
    bytes,
    sha256: hash.digest('hex'),
  };
}

function hideToken(rawHeaders: readonly string[]): readonly string[] {
  return rawHeaders.map((text, index) => {
    const isToken = index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === 'authorization';
    return isToken ? 'Bearer [token]' : text;
  });
}

async function sendBytes(request: FastifyRequest<BytesRequest>, reply: FastifyReply): Promise<FastifyReply> {
  const total = /^\d{1,15}$/.test(request.params.n) ? Number(request.params.n) : Number.NaN;
  if (Number.isNaN(total))
    return sendProblem(reply, 400, { detail: 'The number of bytes must be a non-negative integer.' });
  reply.header('content-type', 'application/octet-stream');
  if (request.query.chunked !== '1') reply.header('content-length', total);
  return request.method === 'HEAD' ? reply.send() : reply.send(createSource(total));
}

function createSource(total: number): Readable {
  let left = total;
  return new Readable({
    highWaterMark: BLOCK.length,
    read() {
      // All blocks but the last are whole, so each starts at a multiple of the period.
      const size = Math.min(left, BLOCK.length);
      left -= size;
      this.push(size === 0 ? null : BLOCK.subarray(0, size));
    },
  });
}
