// The paying part of the Banking API: a credit transfer sent twice is executed once. Hides the store of idempotency
// keys and promises that the first response for a key, success or failure, is its only one.
import { createHash, randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { createProblem, sendProblem } from './problem.ts';
import type { Counters } from './store.ts';
import { type FieldErrors, readValid } from './validation.ts';

const AMOUNT_SCHEMA = z.object({
  value: z.union([
    z.number().positive(),
    z.string().regex(/^(?!0+(?:\.0+)?$)\d{1,15}(?:\.\d{1,2})?$/, 'must be a positive decimal'),
  ]),
  currency: z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code'),
});

const IBAN = z.string().regex(/^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$/, 'must be an IBAN without spaces');

const TRANSFER_SCHEMA = z.object({
  debtorAccount: z
    .object({ iban: IBAN.optional(), accountId: z.string().min(1).optional() })
    .refine((account) => account.iban ?? account.accountId, { message: 'iban or accountId is needed' }),
  creditorAccount: z
    .object({ iban: IBAN.optional(), bban: z.string().min(1).optional() })
    .refine((account) => account.iban ?? account.bban, { message: 'iban or bban is needed' }),
  amount: AMOUNT_SCHEMA,
});

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const REMEMBERED = 100_000;
const PATH = '/payments/credit-transfer';

interface Payment {
  id: string;
  status: 'received';
  links: { self: { href: string } };
}

interface PaymentResponse {
  status: number;
  body: string;
  location?: string;
}

interface FirstResponse extends PaymentResponse {
  requestDigest: string;
}

interface PaymentRequest {
  Params: { id: string };
}

/**
 * Registers credit transfers under the prefix of `app`. Replays follow the public Banking API v4 text: same response,
 * `Idempotent-Replayed: true`, and 201 turned into 200.
 */
export function registerPayments(app: FastifyInstance, counters: Counters): void {
  const payments = new LRUCache<string, Payment>({ max: REMEMBERED });
  const responses = new LRUCache<string, FirstResponse>({ max: REMEMBERED });

  function pay(body: unknown): PaymentResponse {
    const transfer = readValid(TRANSFER_SCHEMA, body);
    if ('errors' in transfer) return refuse(transfer.errors);
    const id = randomUUID();
    const location = `${app.prefix}${PATH}/${id}`;
    const payment: Payment = { id, status: 'received', links: { self: { href: location } } };
    payments.set(id, payment);
    counters.payments.created += 1;
    counters.paymentIds.push(id);
    return { status: 201, body: JSON.stringify(payment), location };
  }

  function replay(reply: FastifyReply, first: FirstResponse): FastifyReply {
    counters.payments.replayed += 1;
    const status = first.status === 201 ? 200 : first.status;
    return send(reply.header('idempotent-replayed', 'true'), { ...first, status });
  }

  app.post(PATH, { config: { action: 'banking.pis.create' } }, async (request, reply) => {
    const key = request.headers['idempotency-key'];
    if (key === undefined) return send(reply, pay(request.body));
    if (typeof key !== 'string' || !UUID.test(key))
      return send(reply, refuse({ 'Idempotency-Key': ['must be a UUID'] }));
    // No await from here to the store, so two requests with one key cannot both be the first.
    const requestDigest = digestOf(request.body);
    const first = responses.get(key.toLowerCase());
    if (first && first.requestDigest !== requestDigest) return refuseOtherBody(reply);
    if (first) return replay(reply, first);
    const response = pay(request.body);
    responses.set(key.toLowerCase(), { ...response, requestDigest });
    return send(reply, response);
  });
  app.get<PaymentRequest>(`${PATH}/:id`, { config: { action: 'banking.pis.read' } }, async (request, reply) => {
    const payment = payments.get(request.params.id);
    return payment ?? sendProblem(reply, 404, { detail: 'There is no payment with this id.' });
  });
}

const digestOf = (body: unknown): string =>
  createHash('sha256')
    .update(JSON.stringify(body) ?? '')
    .digest('base64');

function refuse(errors: FieldErrors): PaymentResponse {
  return { status: 400, body: JSON.stringify(createProblem(400, { errors })) };
}

function refuseOtherBody(reply: FastifyReply): FastifyReply {
  return sendProblem(reply, 422, { detail: 'This Idempotency-Key was used with another body.' });
}

function send(reply: FastifyReply, { status, body, location }: PaymentResponse): FastifyReply {
  if (location !== undefined) reply.header('location', location);
  const mediaType = status < 400 ? 'application/json; charset=utf-8' : 'application/problem+json';
  return reply.code(status).header('content-type', mediaType).send(body);
}
