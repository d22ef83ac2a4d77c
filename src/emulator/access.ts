// Decides whether a client's policies allow a call. The route defines the action; the headers of the call name the
// scope.
import type { FastifyRequest } from 'fastify';
import type { Policies } from './policies.ts';
import { subjectOf } from './subjects.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The action that a policy must allow for this route. */
    action?: string;
  }
}

/**
 * Creates the check that the gate makes on each call; caches nothing. A call that names a subscription needs the action
 * there; one that names none needs it on any scope, because the client determines what the call is about.
 */
export function createAccess(policies: Policies) {
  return function permits(clientId: string, request: FastifyRequest): boolean {
    const { action } = request.routeOptions.config;
    return action === undefined || policies.permits(subjectOf(clientId), action, readScope(request));
  };
}

function readScope({ headers }: FastifyRequest): string | undefined {
  const subscription = headers['subscription-id'];
  const resourceGroup = headers['resource-group-name'];
  if (!subscription) return undefined;
  const scope = `/subscriptions/${String(subscription)}`;
  return resourceGroup ? `${scope}/resource-groups/${String(resourceGroup)}` : scope;
}
