// The Events API: subscriptions and dead letters. Delivers nothing; a subscription stays in `awaitingValidation`.
import { randomUUID } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { sendProblem } from './problem.ts';
import { readValid } from './validation.ts';

const SUBSCRIPTION_SCHEMA = z.object({
  name: z.string().min(1),
  events: z.array(z.string().min(1)).min(1),
  delivery: z.object({
    url: z.url({ protocol: /^https?$/ }),
    maxEventsPerBatch: z.int().min(1).default(10),
    preferredBatchSizeInKiloBytes: z.int().min(1).default(128),
    authorizationHeader: z.string().nullish(),
  }),
  expirationTime: z.iso.datetime({ offset: true }).nullish(),
  retryPolicy: z
    .object({
      ttl: z
        .string()
        .regex(/^\d{2}:[0-5]\d:[0-5]\d$/, 'must be hh:mm:ss')
        .default('24:00:00'),
      maxEventDeliveryAttempts: z.int().min(1).default(30),
    })
    .prefault({}),
  deadletterEnabled: z.boolean().default(false),
});

const SCOPE_SCHEMA = z.object({ resourceuri: z.string().optional(), tenantid: z.guid().optional() });

const MAX_INT64 = 2n ** 63n - 1n;
const DATE = z
  .union([z.iso.datetime({ offset: true, local: true }), z.iso.date()])
  .transform((date) => Date.parse(date));

const FAILED_EVENTS_SCHEMA = z.object({
  subscriptionName: z.string().optional(),
  pageSize: z.string().regex(/^\d+$/).transform(Number).pipe(z.int().min(1).max(100)).default(10),
  cursor: z
    .string()
    .regex(/^\d{1,19}$/, 'must be an int64')
    .transform(BigInt)
    .refine((cursor) => cursor <= MAX_INT64, 'must be an int64')
    .default(0n),
  fromDate: DATE.optional(),
  toDate: DATE.optional(),
});

type FailedEventsQuery = z.infer<typeof FAILED_EVENTS_SCHEMA>;

interface SubscriptionRequest {
  Params: { id: string };
}

interface FailedEvent {
  id: number;
  subscriptionName: string;
  failedAt: string;
  reason: string;
  event: { id: string; source: string; type: string; time: string; specversion: '1.0'; subject: string };
}

const REMEMBERED = 10_000;
const FAILED_EVENT_COUNT = 25;
const FIRST_FAILURE = Date.UTC(2026, 0, 1);
const HOUR_MS = 3_600_000;
const SUBSCRIPTION_NAMES = ['demo-payments', 'demo-accounts'];

/** Registers the Events operations under the prefix of `app`. Fields and limits follow the public Events API pages. */
export function registerEvents(app: FastifyInstance): void {
  const subscriptions = new LRUCache<string, object>({ max: REMEMBERED });
  const failedEvents = Array.from({ length: FAILED_EVENT_COUNT }, (_, index) => createFailedEvent(index));

  app.post('/api/subscriptions', async (request, reply) => {
    const scope = readValid(SCOPE_SCHEMA, request.headers);
    if ('errors' in scope) return sendProblem(reply, 400, { errors: scope.errors });
    const subscription = readValid(SUBSCRIPTION_SCHEMA, request.body);
    if ('errors' in subscription) return sendProblem(reply, 400, { errors: subscription.errors });
    const { authorizationHeader: _secret, ...delivery } = subscription.value.delivery;
    const id = randomUUID();
    const created = {
      id,
      ...subscription.value,
      // Without `authorizationHeader`: the subscriber's credential is never sent back.
      delivery,
      resourceUri: scope.value.resourceuri ?? null,
      tenantId: scope.value.tenantid ?? null,
      status: 'awaitingValidation',
    };
    subscriptions.set(id, created);
    return reply.code(201).header('location', `${app.prefix}/api/subscriptions/${id}`).send(created);
  });
  app.get<SubscriptionRequest>('/api/subscriptions/:id', async (request, reply) => {
    const subscription = subscriptions.get(request.params.id);
    return subscription ?? sendProblem(reply, 404, { detail: 'There is no subscription with this id.' });
  });
  app.get('/api/failed-events', async (request, reply) => {
    const query = readValid(FAILED_EVENTS_SCHEMA, request.query);
    if ('errors' in query) return sendProblem(reply, 400, { errors: query.errors });
    return pageOfFailures(failedEvents, query.value);
  });
}

/** The cursor is the id of the last event on the previous page. */
function pageOfFailures(all: readonly FailedEvent[], query: FailedEventsQuery): object {
  const { subscriptionName, cursor, pageSize, fromDate = 0, toDate = Number.POSITIVE_INFINITY } = query;
  const found = all.filter(
    (failed) =>
      BigInt(failed.id) > cursor &&
      (subscriptionName === undefined || failed.subscriptionName === subscriptionName) &&
      Date.parse(failed.failedAt) >= fromDate &&
      Date.parse(failed.failedAt) <= toDate,
  );
  const data = found.slice(0, pageSize);
  return found.length > pageSize ? { data, cursor: data.at(-1)?.id } : { data };
}

function createFailedEvent(index: number): FailedEvent {
  const time = new Date(FIRST_FAILURE + index * HOUR_MS).toISOString();
  const number = String(index + 1).padStart(12, '0');
  return {
    id: index + 1,
    subscriptionName: SUBSCRIPTION_NAMES[index % SUBSCRIPTION_NAMES.length] ?? '',
    failedAt: time,
    reason: 'The delivery URL responded with 503 to every attempt.',
    event: {
      id: `00000000-0000-4000-8000-${number}`,
      source: '00000000-0000-4000-9000-000000000001',
      type: 'banking.payment.status.updated',
      time,
      specversion: '1.0',
      subject: `/payments/credit-transfer/00000000-0000-4000-a000-${number}`,
    },
  };
}
