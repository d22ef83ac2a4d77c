// Failures on order: a queue of scripted faults per target, and the hook that spends them on arriving requests.
// Promises that they are used in the order given, each exactly as many times as asked, whatever runs concurrently.
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
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

export interface Faults {
  add(fault: Fault): void;
  clear(): void;
  /** What is still to happen; `times` is what is left. */
  pending(): readonly Fault[];
  /** Spends one fault of the target, if one waits. */
  take(target: Target): Fault | undefined;
}

/** Creates an empty queue. */
export function createFaults(): Faults {
  const queue: Fault[] = [];
  return {
    add: (fault) => void queue.push({ ...fault }),
    clear: () => void queue.splice(0),
    pending: () => queue.map((fault) => ({ ...fault })),
    take(target) {
      const index = queue.findIndex((fault) => fault.target === target);
      const fault = queue[index];
      if (!fault) return undefined;
      fault.times -= 1;
      if (fault.times === 0) queue.splice(index, 1);
      return fault;
    },
  };
}

/**
 * Makes the onRequest hook for the whole server: tells `onArrival` which target a request is for, then lets a waiting
 * fault replace the answer. Delay first, then a TCP reset or the scripted answer; a delay alone only postpones.
 */
export function injectFaults(faults: Faults, onArrival: (target: Target) => void) {
  return async function spendFault(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    const target = TARGETS.find((name) => TARGET_PATHS[name].test(request.url));
    if (!target) return undefined;
    onArrival(target);
    const fault = faults.take(target);
    if (!fault) return undefined;
    // Unreferenced: a long delay must not hold the process when the emulator has been closed.
    if (fault.delayMs) await delay(fault.delayMs, undefined, { ref: false });
    return applyFault(fault, request, reply);
  };
}

function applyFault(fault: Fault, request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
  if (fault.reset) {
    request.raw.socket.resetAndDestroy();
    return reply.hijack();
  }
  if (fault.status === undefined && fault.headers === undefined && fault.body === undefined) return undefined;
  return reply
    .code(fault.status ?? 200)
    .headers(fault.headers ?? {})
    .send(fault.body ?? '');
}
