// The client operations of the IAM API: list, create, read, replace, delete.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { KnownClient } from './clients.ts';
import { linkedPage, NUMBERED_PAGE } from './paging.ts';
import { refuseUnknown, sendProblem } from './problem.ts';
import type { Store } from './store.ts';
import { readValid } from './validation.ts';

export interface ClientsApiDeps {
  store: Store;
  originOf(request: FastifyRequest): string;
}

const LIST_SCHEMA = NUMBERED_PAGE.extend({ searchText: z.string().default('') });

/** All five are required, also to replace a client: the body replaces all fields. */
const CLIENT_SCHEMA = z.object({
  name: z.string().min(1, 'must not be empty'),
  description: z.string(),
  allowedGrantTypes: z.array(z.string()),
  allowedScopes: z.array(z.string()),
  redirectUris: z.array(z.string()),
});

interface ClientRequest {
  Params: { clientId: string };
}

/** Registers the client operations. Two clients may have the same name. */
export function registerClients(app: FastifyInstance, { store, originOf }: ClientsApiDeps): void {
  const { clients, settings } = store;
  const path = `${app.prefix}/clients`;

  app.get('/clients', async (request, reply) => {
    const query = readValid(LIST_SCHEMA, request.query);
    if ('errors' in query) return sendProblem(reply, 400, { errors: query.errors });
    const { searchText, ...at } = query.value;
    const search = searchText === '' ? '' : `searchText=${encodeURIComponent(searchText)}&`;
    return linkedPage(
      { all: clients.list().filter(matches(searchText)), at, describe: summarize },
      ({ page, pageSize }) => `${originOf(request)}${path}?${search}page=${page}&pageSize=${pageSize}`,
    );
  });
  app.post('/clients', async (request, reply) => {
    const fields = readValid(CLIENT_SCHEMA, request.body);
    if ('errors' in fields) return sendProblem(reply, 400, { errors: fields.errors });
    const client = clients.create(fields.value);
    if (settings.createResponse === 'empty') return reply.code(200).send();
    return reply.code(201).header('location', `${path}/${client.clientId}`).send(describe(client));
  });
  app.get<ClientRequest>('/clients/:clientId', async (request, reply) => {
    const client = clients.find(request.params.clientId);
    return client ? describe(client) : refuseUnknown(reply, 'client');
  });
  app.put<ClientRequest>('/clients/:clientId', async (request, reply) => {
    const fields = readValid(CLIENT_SCHEMA, request.body);
    if ('errors' in fields) return sendProblem(reply, 400, { errors: fields.errors });
    const client = clients.replace(request.params.clientId, fields.value);
    if (!client) return refuseUnknown(reply, 'client');
    return settings.createResponse === 'empty' ? noContent(reply) : reply.send(describe(client));
  });
  app.delete<ClientRequest>('/clients/:clientId', async (request, reply) => {
    return store.removeClient(request.params.clientId) ? noContent(reply) : refuseUnknown(reply, 'client');
  });
}

function matches(searchText: string): (client: KnownClient) => boolean {
  const needle = searchText.toLowerCase();
  if (needle === '') return () => true;
  return ({ name, clientId }) => name.toLowerCase().includes(needle) || clientId.toLowerCase().includes(needle);
}

/** ClientDto. */
function summarize({ clientId, name, description }: KnownClient): object {
  return { clientId, name, description };
}

/** ClientDetailsDto. Lists the fields one by one, because the emulator's other fields are not part of the API. */
function describe(client: KnownClient): object {
  const { allowedGrantTypes, allowedScopes, redirectUris } = client;
  return { ...summarize(client), allowedGrantTypes, allowedScopes, redirectUris };
}

function noContent(reply: FastifyReply): FastifyReply {
  return reply.code(204).send();
}
