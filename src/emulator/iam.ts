// The IAM API: clients, their secrets, subjects, permissions and policies. The token's scope is enough to use it: in
// the real service, tenant roles are claims in the token, not policies.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { ACTIONS } from './actions.ts';
import { registerClients } from './iam-clients.ts';
import { registerPolicies } from './iam-policies.ts';
import { registerSecrets } from './iam-secrets.ts';
import { registerSubjects } from './iam-subjects.ts';
import type { Store } from './store.ts';
import { API_RESOURCES } from './tokens.ts';

export interface IamDeps {
  store: Store;
  /** Epoch ms. */
  now(): number;
  /** Returns the origin a request was made to: links in its response begin with it. */
  originOf(request: FastifyRequest): string;
}

/** Registers all IAM operations under the prefix of `app`. Paths and field names follow the public IAM pages. */
export function registerIam(app: FastifyInstance, deps: IamDeps): void {
  acceptEmptyJson(app);
  registerClients(app, deps);
  registerSecrets(app, deps);
  registerSubjects(app, deps.store);
  registerPolicies(app, deps.store);
  app.get('/actions', async () => ({ items: [...ACTIONS].map(([action, parent]) => ({ action, parent })) }));
  app.get('/scopes', async () => ({ items: [...API_RESOURCES.keys()].map((name) => ({ name })) }));
}

/**
 * Accepts an empty JSON body, like ASP.NET Core where no body is required: many programs send the media type with each
 * DELETE.
 */
function acceptEmptyJson(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') return done(null, undefined);
    return parseJson(request, body, done);
  });
}
