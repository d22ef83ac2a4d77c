// The secret operations of the IAM API: list, create, delete. A value cannot be read, and a secret cannot be changed.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { linkedPage, NUMBERED_PAGE } from './paging.ts';
import { refuseUnknown, sendProblem } from './problem.ts';
import type { NewSecret, StoredSecret } from './secrets.ts';
import type { Store } from './store.ts';
import { type FieldErrors, readValid } from './validation.ts';

export interface SecretsApiDeps {
  store: Store;
  now(): number;
  originOf(request: FastifyRequest): string;
}

/** A time without a zone is UTC, so that it means the same on every machine. */
const TIME = z.union(
  [z.iso.datetime({ offset: true }), z.iso.datetime({ local: true }).transform((time) => `${time}Z`), z.iso.date()],
  {
    error: 'must be an ISO 8601 date and time',
  },
);

const LENGTH = 'must be between 8 and 32 characters';

const SECRET_SCHEMA = z.object({
  value: z.string().min(8, LENGTH).max(32, LENGTH),
  description: z.string().min(1, 'must not be empty'),
  expiration: TIME.nullish(),
});

interface SecretRequest {
  Params: { clientId: string; clientSecretId: string };
}

/** Registers the secret operations. Tokens stay valid when their secret is deleted. */
export function registerSecrets(app: FastifyInstance, { store, now, originOf }: SecretsApiDeps): void {
  const { clients, settings } = store;

  app.get<SecretRequest>('/clients/:clientId/secrets', async (request, reply) => {
    const query = readValid(NUMBERED_PAGE, request.query);
    if ('errors' in query) return sendProblem(reply, 400, { errors: query.errors });
    const all = clients.secretsOf(request.params.clientId);
    if (!all) return refuseUnknown(reply, 'client');
    const path = `${app.prefix}/clients/${encodeURIComponent(request.params.clientId)}/secrets`;
    return linkedPage(
      { all, at: query.value, describe },
      ({ page, pageSize }) => `${originOf(request)}${path}?page=${page}&pageSize=${pageSize}`,
    );
  });
  app.post<SecretRequest>('/clients/:clientId/secrets', async (request, reply) => {
    const secret = readSecret(request.body, settings.lenient ? Number.NEGATIVE_INFINITY : now());
    if ('errors' in secret) return sendProblem(reply, 400, { errors: secret.errors });
    const stored = clients.addSecret(request.params.clientId, secret.value);
    if (!stored) return refuseUnknown(reply, 'client');
    if (settings.createResponse === 'empty') return reply.code(201).send();
    const { clientSecretId, description, expiration } = stored;
    // The only response that contains the value.
    return reply.code(201).send({ clientSecretId, description, expiration, value: secret.value.value });
  });
  app.delete<SecretRequest>('/clients/:clientId/secrets/:clientSecretId', async (request, reply) => {
    const { clientId, clientSecretId } = request.params;
    return clients.removeSecret(clientId, clientSecretId)
      ? reply.code(204).send()
      : refuseUnknown(reply, 'client or secret');
  });
}

function readSecret(body: unknown, now: number): { value: NewSecret } | { errors: FieldErrors } {
  const read = readValid(SECRET_SCHEMA, body);
  if ('errors' in read) return read;
  const { value, description, expiration } = read.value;
  if (!expiration) return { value: { value, description } };
  if (Date.parse(expiration) > now) return { value: { value, description, expiration } };
  return { errors: { expiration: [`must be in the future; it is now ${new Date(now).toISOString()}`] } };
}

function describe({ clientSecretId, description, expiration, created }: StoredSecret): object {
  return { clientSecretId, description, expiration, created };
}
