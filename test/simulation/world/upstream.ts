/** The API: takes payments, and keeps a ledger of all that it has executed. */
import { Fault } from './fault.ts';
import { httpServer, type Request } from './http.ts';
import type { UpstreamRequest } from './observation.ts';
import type { Kind, World } from './world.ts';

export const UPSTREAM = 'api.sim:80';

export class Upstream {
  /** How often each payment was executed. */
  readonly ledger = new Map<string, number>();
  readonly fault: Fault;
  readonly #world: World;
  readonly #resets: { before: number; after: number } = { before: 0, after: 0 };

  constructor(world: World) {
    this.#world = world;
    this.fault = new Fault(world, UPSTREAM, httpServer(world.process('upstream'), (request) => this.#take(request)));
  }

  /** The next requests end with a reset: before they are executed, or after. */
  resetNext(when: 'before' | 'after', times: number): void {
    this.#resets[when] = times;
  }

  repair(): void {
    this.fault.repair();
    Object.assign(this.#resets, { before: 0, after: 0 });
  }

  #take(request: Request): void {
    const seen = this.#see(request);
    this.#world.observe({ kind: 'upstreamRequest', request: seen });
    this.fault.meet(request, (error) => {
      if (error) request.respond({ status: error.status, body: { error: 'out of order' } });
      else if (this.#isDue('before')) request.reset();
      else this.#decide(request, seen);
    });
  }

  #see({ headers, body, from, sent }: Request): UpstreamRequest {
    const { id } = JSON.parse(body) as { id: string };
    const authorization = /^Bearer (.+)$/.exec(headers.get('authorization') ?? '')?.[1];
    const token = this.#world.identity.tokens.get(authorization ?? '');
    const attempt = headers.get('x-attempt') ?? '';
    return { id, attempt, from, sent, called: this.#world.calledAt(id, attempt) ?? sent, authorization, token };
  }

  #decide(request: Request, seen: UpstreamRequest): void {
    const { trace, platform } = this.#world;
    if (!isValid(seen, platform.time.nowMs)) {
      trace('upstream', `refuses ${seen.authorization} for payment ${seen.id}`);
      const headers = { 'WWW-Authenticate': 'Bearer error="invalid_token"' };
      const told = () => this.#world.observe({ kind: 'tokenRefused', request: seen });
      return request.respond({ status: 401, headers, body: { error: 'invalid_token' } }, told);
    }
    const times = (this.ledger.get(seen.id) ?? 0) + 1;
    this.ledger.set(seen.id, times);
    trace('upstream', `executes payment ${seen.id} with ${seen.authorization}`);
    this.#world.observe({ kind: 'executed', id: seen.id, times });
    if (this.#isDue('after')) request.reset();
    else request.respond({ status: 201, body: { id: seen.id } });
  }

  #isDue(when: 'before' | 'after'): boolean {
    if (this.#resets[when] === 0) return false;
    this.#resets[when] -= 1;
    this.#world.trace('upstream', `resets the connection ${when} the request is executed`);
    return true;
  }
}

function isValid({ token }: UpstreamRequest, nowMs: number): boolean {
  return token !== undefined && nowMs < Math.min(token.issuedAt + token.lifetimeMs, token.revokedAt);
}

export const UPSTREAM_KINDS: Readonly<Record<string, Kind>> = {
  'upstream.resetBefore': {
    ...{ weight: 2, isElsewhere: true },
    draw: (chance) => ({ times: chance.between(1, 3) }),
    apply: ({ upstream }, { times }) => upstream.resetNext('before', Number(times)),
  },
  'upstream.resetAfter': {
    ...{ weight: 2, isElsewhere: true },
    draw: (chance) => ({ times: chance.between(1, 3) }),
    apply: ({ upstream }, { times }) => upstream.resetNext('after', Number(times)),
  },
  ...Fault.kinds('upstream', ({ upstream }) => upstream.fault),
};
