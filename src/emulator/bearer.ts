// The gate of every emulated API: a request needs a valid token of this emulator with a suitable scope. Hides the
// challenge texts of ASP.NET Core and counts refusals.
import type { FastifyReply, FastifyRequest } from 'fastify';
import { SAMPLES } from './iam-settings.ts';
import { sendProblem } from './problem.ts';
import { ADMIN_CLIENT, type Store } from './store.ts';
import type { Tokens, TokenVerdict } from './tokens.ts';

export interface Gate {
  tokens: Tokens;
  store: Store;
}

type RefusedVerdict = Exclude<TokenVerdict, { state: 'valid' }>;

/** The verdict on the placeholder token in the documentation's samples. */
const ADMINISTRATOR = { state: 'valid', clientId: ADMIN_CLIENT.clientId, scopes: ADMIN_CLIENT.allowedScopes } as const;

/** Whether the policies of a client allow a call. */
export type Permits = (clientId: string, request: FastifyRequest) => boolean;

/**
 * Creates the onRequest hook of one API: the token needs one of `scopes`, and `permits` must allow the call. Responds
 * with 401 without a valid token of an existing client, and with 403 without scope or permission. Source: RFC 6750 §3,
 * ASP.NET Core JwtBearerHandler.
 */
export function requireScope({ tokens, store }: Gate, scopes: readonly string[], permits: Permits = () => true) {
  function challenge(reply: FastifyReply, description?: string): FastifyReply {
    store.counters.unauthorized += 1;
    const parameters = description === undefined ? '' : ` error="invalid_token", error_description="${description}"`;
    return sendProblem(reply.header('www-authenticate', `Bearer${parameters}`), 401);
  }

  return async function checkToken(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    const token = /^Bearer (.+)$/i.exec(readAuthorization(request))?.[1]?.trim();
    if (!token) return challenge(reply);
    const sample = store.settings.lenient && token === SAMPLES.token;
    const verdict: TokenVerdict = sample ? ADMINISTRATOR : await tokens.verify(token);
    if (verdict.state === 'expired') store.counters.expiredTokensSeen += 1;
    if (verdict.state !== 'valid') return challenge(reply, describe(verdict));
    // A token stays valid when its secret is deleted, but not when its client is.
    if (!store.clients.find(verdict.clientId)) return challenge(reply, 'The client does not exist');
    if (!scopes.some((scope) => verdict.scopes.includes(scope))) {
      return sendProblem(reply.header('www-authenticate', 'Bearer error="insufficient_scope"'), 403);
    }
    if (permits(verdict.clientId, request)) return undefined;
    return sendProblem(reply, 403, { detail: 'No policy of the client allows this.' });
  };
}

/** Joins two Authorization fields to one bad value. Node would keep the first and hide that a proxy added its own. */
function readAuthorization({ raw }: FastifyRequest): string {
  const values: string[] = [];
  raw.rawHeaders.forEach((name, index) => {
    if (index % 2 === 0 && name.length === 13 && name.toLowerCase() === 'authorization') {
      values.push(raw.rawHeaders[index + 1] ?? '');
    }
  });
  return values.join(',');
}

function describe(verdict: RefusedVerdict): string {
  if (verdict.state === 'expired') return `The token expired at '${verdict.expiredAt.toISOString()}'`;
  if (verdict.state === 'revoked') return 'The token has been revoked';
  return 'The signature key was not found';
}
