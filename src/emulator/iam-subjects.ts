// The subject operations of the IAM API: clients as subjects, and their effective permissions, child actions included.
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { impliedBy } from './actions.ts';
import type { KnownClient } from './clients.ts';
import { countedPage, NUMBERED_PAGE } from './paging.ts';
import type { Policy } from './policies.ts';
import { refuseUnknown, sendProblem } from './problem.ts';
import { fitsResource } from './scope-uri.ts';
import type { Store } from './store.ts';
import { subjectOf, TENANT } from './subjects.ts';
import { readValid } from './validation.ts';

const SUBJECTS_SCHEMA = NUMBERED_PAGE.extend({ searchQuery: z.string().default('') });

const PERMISSIONS_SCHEMA = NUMBERED_PAGE.extend({
  resourceType: z.string().optional(),
  resourceProvider: z.string().optional(),
  /** Exactly this action, granted or derived. */
  action: z.string().optional(),
});

type PermissionsQuery = z.infer<typeof PERMISSIONS_SCHEMA>;

/** Registers the subject operations. */
export function registerSubjects(app: FastifyInstance, { clients, policies }: Store): void {
  app.get('/subjects/clients', async (request, reply) => {
    const query = readValid(SUBJECTS_SCHEMA, request.query);
    if ('errors' in query) return sendProblem(reply, 400, { errors: query.errors });
    const needle = query.value.searchQuery.toLowerCase();
    const all = clients.list().filter(({ name }) => needle === '' || name.toLowerCase().includes(needle));
    return countedPage({ all, at: query.value, describe });
  });
  app.get<{ Params: { clientId: string } }>('/subjects/clients/:clientId/permissions', async (request, reply) => {
    const query = readValid(PERMISSIONS_SCHEMA, request.query);
    if ('errors' in query) return sendProblem(reply, 400, { errors: query.errors });
    const { clientId } = request.params;
    if (!clients.find(clientId)) return refuseUnknown(reply, 'client');
    const all = listPermissions(policies.of(subjectOf(clientId)), query.value);
    return countedPage({ all, at: query.value, describe: (permission) => permission });
  });
}

function describe({ clientId, name }: KnownClient): object {
  return {
    $type: 'ClientSubjectDto',
    id: clientId,
    displayName: name,
    tenant: TENANT,
    subjectId: subjectOf(clientId),
    type: 'Client',
    properties: {},
  };
}

/** Returns one entry per scope and action, however many policies grant it; the entry names the first of them. */
function listPermissions(policies: readonly Policy[], query: PermissionsQuery): readonly object[] {
  const filter = { type: query.resourceType, provider: query.resourceProvider };
  const found = new Map<string, object>();
  for (const { scope, action: granted } of policies) {
    if (!fitsResource(scope, filter)) continue;
    for (const action of impliedBy(granted)) {
      const key = `${action} ${scope}`;
      if ((query.action !== undefined && query.action !== action) || found.has(key)) continue;
      found.set(key, { scope, action, tenant: TENANT, derivedFrom: action === granted ? null : granted });
    }
  }
  return [...found.values()];
}
