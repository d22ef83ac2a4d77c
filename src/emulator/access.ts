// Whether a client's policies allow a call. Routes say which action they are; the headers of the call say where.
import type { FastifyRequest } from 'fastify';
import type { Policies } from './policies.ts';
import { subjectOf } from './subjects.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The action a policy must allow for calling this route. */
    action?: string;
  }
}

/**
 * Makes the question the gate asks on each call; nothing is kept between calls. A call that names a subscription needs
 * the action there; one that names none needs it anywhere, since what it is about follows from the client.
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
