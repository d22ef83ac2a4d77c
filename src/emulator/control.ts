// The control plane under `/_emulator`: tests script faults, revoke tokens, read counters, change secrets, and switch
// the behaviour of the IAM API. Needs no token; the real service has nothing at these paths.
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { FAULT_SCHEMA, type Faults } from './faults.ts';
import { SETTINGS_SCHEMA } from './iam-settings.ts';
import { refuseUnknown, sendProblem } from './problem.ts';
import type { NewSecret } from './secrets.ts';
import type { Store } from './store.ts';
import type { Tokens } from './tokens.ts';
import { readValid } from './validation.ts';

export interface ControlDeps {
  store: Store;
  tokens: Tokens;
  faults: Faults;
}

const SECRET_SCHEMA = z.strictObject({
  value: z.string().min(1).max(100),
  description: z.string().default('Added by a test'),
  expiration: z.iso.datetime({ offset: true }).optional(),
});

interface SecretPath {
  clientId: string;
  clientSecretId: string;
}

/** Registers the control plane. */
export function registerControl(app: FastifyInstance, { store, tokens, faults }: ControlDeps): void {
  registerFaults(app, faults);
  registerSecrets(app, store);
  registerSettings(app, store);
  app.post('/tokens/revoke', async (_request, reply) => {
    tokens.revokeAll();
    return reply.code(204).send();
  });
  app.get('/counters', async () => store.counters);
  app.delete('/counters', async (_request, reply) => {
    store.resetCounters();
    return reply.code(204).send();
  });
}

function registerFaults(app: FastifyInstance, faults: Faults): void {
  app.get('/faults', async () => ({ pending: faults.pending() }));
  app.post('/faults', async (request, reply) => {
    const fault = readValid(FAULT_SCHEMA, request.body);
    if ('errors' in fault) return sendProblem(reply, 400, { errors: fault.errors });
    faults.add(fault.value);
    return reply.code(201).send(fault.value);
  });
  app.delete('/faults', async (_request, reply) => {
    faults.clear();
    return reply.code(204).send();
  });
}

function registerSecrets(app: FastifyInstance, store: Store): void {
  app.post<{ Params: SecretPath }>('/clients/:clientId/secrets', async (request, reply) => {
    const secret = readValid(SECRET_SCHEMA, request.body);
    if ('errors' in secret) return sendProblem(reply, 400, { errors: secret.errors });
    const { value, description, expiration } = secret.value;
    const added: NewSecret = { value, description, ...(expiration !== undefined && { expiration }) };
    const stored = store.clients.addSecret(request.params.clientId, added);
    if (!stored) return refuseUnknown(reply, 'client');
    // Without the value: it is never readable again, not even here.
    return reply.code(201).send({ clientSecretId: stored.clientSecretId, description, expiration });
  });
  app.delete<{ Params: SecretPath }>('/clients/:clientId/secrets/:clientSecretId', async (request, reply) => {
    const { clientId, clientSecretId } = request.params;
    if (!store.clients.removeSecret(clientId, clientSecretId)) return refuseUnknown(reply, 'client or secret');
    return reply.code(204).send();
  });
}

function registerSettings(app: FastifyInstance, store: Store): void {
  app.get('/iam', async () => store.settings);
  app.put('/iam', async (request, reply) => {
    const change = readValid(SETTINGS_SCHEMA, request.body);
    if ('errors' in change) return sendProblem(reply, 400, { errors: change.errors });
    store.changeSettings(change.value);
    return store.settings;
  });
}
