// Scripted faults: a queue, and the hooks that apply them to arriving requests. Uses faults in the order given, each
// exactly as many times as requested, also under concurrent requests.
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';

const TARGET_PATHS = {
  token: /^\/connect\/token(?:\?|$)/,
  discovery: /^\/\.well-known\//,
  banking: /^\/banking\//,
  events: /^\/events\//,
  echo: /^\/echo(?:[/?]|$)/,
  iam: /^\/core\/iam\//,
} as const;

export type Target = keyof typeof TARGET_PATHS;

const TARGETS: readonly Target[] = ['token', 'discovery', 'banking', 'events', 'echo', 'iam'];
const EFFECTS = ['status', 'headers', 'body', 'delayMs', 'reset'] as const;
const MAX_DELAY_MS = 600_000;

const HEADER_NAME = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'must be a header field name');
const HEADER_VALUE = z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/, 'must be a header field value');

/** What `POST /_emulator/faults` accepts; the messages name what is allowed. */
export const FAULT_SCHEMA = z
  .strictObject({
    target: z.enum(TARGETS),
    /** Only requests of this method. */
    method: z
      .string()
      .regex(/^[A-Za-z-]+$/, 'must be a method')
      .transform((method) => method.toUpperCase())
      .optional(),
    /** Only requests whose path, without its query, matches this regular expression. */
    path: z.string().refine(isPattern, { message: 'must be a regular expression' }).optional(),
    /** Executes the request first; only its response is lost, delayed or replaced. */
    after: z.boolean().default(false),
    times: z.int().min(1).max(1_000_000).default(1),
    status: z.int().min(200).max(599).optional(),
    headers: z.record(HEADER_NAME, HEADER_VALUE).optional(),
    body: z.string().optional(),
    delayMs: z.int().min(0).max(MAX_DELAY_MS).optional(),
    reset: z.boolean().optional(),
  })
  .refine((fault) => EFFECTS.some((effect) => fault[effect] !== undefined), {
    message: `at least one of ${EFFECTS.join(', ')} is needed`,
  });

export type Fault = z.infer<typeof FAULT_SCHEMA>;

export interface Arrival {
  readonly target: Target;
  readonly method: string;
  readonly path: string;
}

export interface Faults {
  add(fault: Fault): void;
  clear(): void;
  /** Returns the remaining faults; `times` is what is left. */
  pending(): readonly Fault[];
  /** Uses up the first fault that matches this request, if any. */
  take(arrival: Arrival): Fault | undefined;
}

/** Creates an empty queue. */
export function createFaults(): Faults {
  const queue: Fault[] = [];
  return {
    add: (fault) => void queue.push({ ...fault }),
    clear: () => void queue.splice(0),
    pending: () => queue.map((fault) => ({ ...fault })),
    take(arrival) {
      const index = queue.findIndex((fault) => isMeant(fault, arrival));
      const fault = queue[index];
      if (!fault) return undefined;
      fault.times -= 1;
      if (fault.times === 0) queue.splice(index, 1);
      return fault;
    },
  };
}

/**
 * Adds the hooks to the whole server: they call `onArrival` with the target of a request, then apply a matching fault.
 * The delay comes first, then a TCP reset or the scripted response. With a delay alone, the real response follows.
 */
export function injectFaults(app: FastifyInstance, faults: Faults, onArrival: (target: Target) => void): void {
  const postponed = new WeakMap<FastifyRequest, Fault>();

  app.addHook('onRequest', async (request, reply) => {
    const target = TARGETS.find((name) => TARGET_PATHS[name].test(request.url));
    if (!target) return undefined;
    onArrival(target);
    const fault = faults.take({ target, method: request.method, path: request.originalUrl.split('?', 1)[0] ?? '' });
    if (fault?.after) postponed.set(request, fault);
    if (!fault || fault.after) return undefined;
    await waitFor(fault);
    return applyFault(fault, request, reply);
  });
  app.addHook('onSend', async (request, reply, response) => {
    const fault = postponed.get(request);
    if (!fault) return response;
    await waitFor(fault);
    return replaceResponse(fault, { request, reply, response });
  });
}

function isMeant({ target, method, path }: Fault, arrival: Arrival): boolean {
  return (
    target === arrival.target &&
    (method === undefined || method === arrival.method) &&
    (path === undefined || new RegExp(path).test(arrival.path))
  );
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp;
  } catch {
    return false;
  }
}

async function waitFor({ delayMs }: Fault): Promise<void> {
  // Unreferenced: a long delay must not keep the process alive after the emulator is closed.
  if (delayMs) await delay(delayMs, undefined, { ref: false });
}

const isScripted = ({ status, headers, body }: Fault): boolean =>
  status !== undefined || headers !== undefined || body !== undefined;

function applyFault(fault: Fault, request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
  if (fault.reset) {
    request.raw.socket.resetAndDestroy();
    return reply.hijack();
  }
  if (!isScripted(fault)) return undefined;
  return reply
    .code(fault.status ?? 200)
    .headers(fault.headers ?? {})
    .send(fault.body ?? '');
}

interface Responding {
  request: FastifyRequest;
  reply: FastifyReply;
  /** Text, bytes, a stream or nothing. */
  response: unknown;
}

/** Replaces the response; keeps the real status only if none is scripted. */
function replaceResponse(fault: Fault, { request, reply, response }: Responding): unknown {
  if (fault.reset) {
    request.raw.socket.resetAndDestroy();
    return response;
  }
  if (!isScripted(fault)) return response;
  if (response instanceof Readable) response.destroy();
  for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name);
  reply.code(fault.status ?? reply.statusCode).headers(fault.headers ?? {});
  return fault.body ?? '';
}
