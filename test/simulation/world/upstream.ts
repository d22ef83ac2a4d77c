/** The API: takes payments, and keeps a ledger of all that it has executed. */
import { Fault } from './fault.ts';
import { httpServer, type Request } from './http.ts';
import type { UpstreamRequest } from './observation.ts';
import { Refusals } from './refusals.ts';
import type { Kind, World } from './world.ts';

export const UPSTREAM = 'api.sim:80';

export class Upstream {
  /** How often each payment was executed. */
  readonly ledger = new Map<string, number>();
  readonly fault: Fault;
  readonly #world: World;
  readonly #resets: { before: number; after: number } = { before: 0, after: 0 };
  readonly #nth: { before: number; after: number } = { before: 1, after: 1 };
  readonly refusals = new Refusals();

  constructor(world: World) {
    this.#world = world;
    this.fault = new Fault(
      world,
      UPSTREAM,
      httpServer(world.process('upstream'), (request) => this.#take(request)),
    );
  }

  /** The next requests end with a reset: before they are executed, or after. @param nth on their connection, or later */
  resetNext(when: 'before' | 'after', times: number, nth: number): void {
    this.#resets[when] = times;
    this.#nth[when] = nth;
  }

  repair(): void {
    this.fault.repair();
    Object.assign(this.#resets, { before: 0, after: 0 });
    this.refusals.end();
  }

  #take(request: Request): void {
    const seen = this.#see(request);
    this.#world.observe({ kind: 'upstreamRequest', request: seen });
    this.fault.meet(request, (error) => {
      if (!seen.isWhole) request.respond({ status: 400, body: { error: 'not a payment' } });
      else if (error) request.respond({ status: error.status, body: { error: 'out of order' } });
      else if (this.#isDue('before', request)) request.reset();
      else this.#decide(request, seen);
    });
  }

  #see({ headers, body, from, sent }: Request): UpstreamRequest {
    const { id, isWhole } = paymentOf(body);
    const authorization = /^Bearer (.+)$/.exec(headers.get('authorization') ?? '')?.[1];
    const token = this.#world.identity.tokens.get(authorization ?? '');
    if (token) token.isUsed = true;
    const attempt = headers.get('x-attempt') ?? '';
    const called = this.#world.calledAt(id, attempt) ?? sent;
    const requestId = headers.get('x-request-id') ?? '';
    return { id, requestId, attempt, isWhole, from, sent, called, authorization, token };
  }

  #decide(request: Request, seen: UpstreamRequest): void {
    const { trace, platform } = this.#world;
    if (this.refusals.take('scope')) {
      const headers = { 'WWW-Authenticate': 'Bearer error="insufficient_scope"' };
      request.respond({ status: 401, headers, body: { error: 'insufficient_scope' } });
      return;
    }
    if (!isValid(seen, platform.time.nowMs) || this.refusals.take('all')) {
      trace('upstream', `refuses ${seen.authorization} for payment ${seen.id}`);
      const headers = { 'WWW-Authenticate': 'Bearer error="invalid_token"' };
      const told = () => this.#world.observe({ kind: 'tokenRefused', request: seen });
      request.respond({ status: 401, headers, body: { error: 'invalid_token' } }, told);
      return;
    }
    if (!this.#world.scopes.suffices(seen.token?.scope ?? '')) {
      trace('upstream', `forbids payment ${seen.id}`);
      const headers = { 'WWW-Authenticate': 'Bearer error="insufficient_scope"' };
      this.#world.observe({ kind: 'forbidden', request: seen });
      request.respond({ status: 403, headers, body: { error: 'insufficient_scope' } });
      return;
    }
    const times = (this.ledger.get(seen.id) ?? 0) + 1;
    this.ledger.set(seen.id, times);
    trace('upstream', `executes payment ${seen.id} with ${seen.authorization}`);
    this.#world.observe({ kind: 'executed', request: seen, times });
    if (this.#isDue('after', request)) request.reset();
    else if (this.refusals.take('bare')) request.respond({ status: 401, body: { error: 'unauthorized' } });
    else request.respond({ status: 201, body: { id: seen.id } });
  }

  #isDue(when: 'before' | 'after', { nth }: Request): boolean {
    if (this.#resets[when] === 0 || nth < this.#nth[when]) return false;
    this.#resets[when] -= 1;
    this.#world.trace('upstream', `resets the connection ${when} the request is executed`);
    return true;
  }
}

function paymentOf(body: string): { id: string; isWhole: boolean } {
  try {
    return { id: (JSON.parse(body) as { id: string }).id, isWhole: true };
  } catch {
    return { id: 'unreadable', isWhole: false };
  }
}

function isValid({ token }: UpstreamRequest, nowMs: number): boolean {
  return token !== undefined && !token.isForged && nowMs < Math.min(token.issuedAt + token.lifetimeMs, token.revokedAt);
}

export const UPSTREAM_KINDS: Readonly<Record<string, Kind>> = {
  'upstream.resetBefore': {
    ...{ weight: 2, isElsewhere: true },
    draw: (chance) => ({ times: chance.between(1, 3), nth: chance.between(1, 2) }),
    apply: ({ upstream }, { times, nth }) => upstream.resetNext('before', Number(times), Number(nth)),
  },
  'upstream.resetAfter': {
    ...{ weight: 2, isElsewhere: true },
    draw: (chance) => ({ times: chance.between(1, 3), nth: chance.between(1, 2) }),
    apply: ({ upstream }, { times, nth }) => upstream.resetNext('after', Number(times), Number(nth)),
  },
  ...Fault.kinds('upstream', ({ upstream }) => upstream.fault),
};
