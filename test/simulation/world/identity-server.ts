/** The identity server: client secrets with lifetimes, tokens, and everything that can be wrong with such a server. */
import { stampOf } from '../platform/network.ts';
import type { VirtualTime } from '../platform/virtual-time.ts';
import { Fault } from './fault.ts';
import { httpServer, type Request } from './http.ts';
import type { IssuedToken, TokenRequest } from './observation.ts';
import type { Kind, World } from './world.ts';

export const IDENTITY = 'id.sim:443';

export class IdentityServer {
  readonly tokens = new Map<string, IssuedToken>();
  /** Each with the true time until which it is accepted. */
  readonly secrets = new Map<string, number>();
  readonly fault: Fault;
  readonly #world: World;
  readonly #time: VirtualTime;
  readonly #lifetimeS: number;
  #count = 0;

  constructor(world: World, tokenLifetimeS: number) {
    this.#lifetimeS = tokenLifetimeS;
    this.#world = world;
    this.#time = world.platform.time;
    const server = world.process('identity server');
    this.fault = new Fault(
      world,
      IDENTITY,
      httpServer(server, (request) => this.#ask(request)),
    );
  }

  /** Accepts a new secret; the others only for some more time. */
  rotate(secret: string, graceMs: number): void {
    for (const [known, until] of this.secrets) this.secrets.set(known, Math.min(until, this.#time.nowMs + graceMs));
    this.secrets.set(secret, Number.POSITIVE_INFINITY);
  }

  revokeAll(): void {
    for (const token of this.tokens.values()) token.revokedAt = Math.min(token.revokedAt, this.#time.nowMs);
  }

  #ask(request: Request): void {
    if (!request.from) return;
    const { issuer } = this.#world;
    if (issuer && request.words[0] === 'GET') {
      this.fault.meet(request, (error) => (error ? request.respond({ ...error, body: {} }) : issuer.respond(request)));
      return;
    }
    const asked = observed(request, request.from);
    // Those of a rotation have a rhythm of their own.
    if (!this.#world.iam) this.#world.observe({ kind: 'tokenRequest', request: asked });
    this.fault.meet(request, (error) => {
      if (error) this.#refuse(request, asked, error);
      else if (issuer && !issuer.isTokenRequest(request)) this.#refuse(request, asked, { status: 404 });
      else this.#serve(request, asked);
    });
  }

  #refuse(request: Request, asked: Asked, { status, retryAfterS }: { status: number; retryAfterS?: number }): void {
    const headers = retryAfterS === undefined ? {} : { 'Retry-After': String(retryAfterS) };
    this.#world.trace('identity server', `responds ${status}${retryAfterS ? `, Retry-After ${retryAfterS}` : ''}`);
    request.respond({ status, headers, body: { error: 'temporarily_unavailable' } }, () =>
      asked.end(this.#time.nowMs, 'failed', retryAfterS),
    );
  }

  #serve(request: Request, asked: Asked): void {
    const { secret } = asked;
    const client = new URLSearchParams(request.body).get('client_id') ?? '';
    const isAccepted = this.#accepts(client, secret);
    if (this.#world.iam) this.#world.observe({ kind: 'secretTried', secret, isAccepted });
    if (!isAccepted) {
      this.#world.trace('identity server', `refuses secret ${secret}`);
      const body = { error: 'invalid_client' };
      request.respond({ status: 401, body }, () => asked.end(this.#time.nowMs, 'invalid_client'));
      return;
    }
    if (!this.#world.scopes.allows(asked.scope) && !this.#world.iam) {
      this.#world.trace('identity server', `refuses scope ${asked.scope}`);
      const body = { error: 'invalid_scope' };
      request.respond({ status: 400, body }, () => asked.end(this.#time.nowMs, 'invalid_scope'));
      return;
    }
    const token = this.#issue(asked, client);
    this.#world.trace('identity server', `issues ${token.value}`);
    if (token.isForged) this.#world.trace('identity server', 'which is forged');
    const body = { access_token: token.value, token_type: 'Bearer', expires_in: this.#lifetimeS };
    request.respond({ status: 200, body }, () => {
      token.obtainedAt = this.#time.nowMs;
      asked.end(this.#time.nowMs, 'token');
    });
  }

  #accepts(client: string, secret: string): boolean {
    if (this.#world.iam) return this.#world.iam.server.accepts(client, secret);
    return (this.secrets.get(secret) ?? 0) > this.#time.nowMs;
  }

  #issue({ from, sent, scope }: Asked, client: string): IssuedToken {
    this.#count += 1;
    const askedBy = new Map(this.#world.everyHost.map(({ machine }) => [machine, stampOf(this.#time, { machine })]));
    // A JWT has whole seconds.
    const issuedAt = this.#world.issuer ? Math.floor(this.#time.nowMs / 1000) * 1000 : this.#time.nowMs;
    const signed = this.#world.issuer?.sign(client, issuedAt / 1000, this.#lifetimeS);
    const token: IssuedToken = {
      ...{ client, scope, isUsed: false, isForged: signed?.isForged === true },
      ...{ value: signed?.value ?? `token-${this.#count}`, to: from, asked: sent, askedBy, issuedAt },
      ...{
        lifetimeMs: this.#lifetimeS * 1000,
        revokedAt: Number.POSITIVE_INFINITY,
        obtainedAt: Number.POSITIVE_INFINITY,
      },
    };
    this.tokens.set(token.value, token);
    return token;
  }
}

interface Asked extends TokenRequest {
  end(at: number, outcome: TokenRequest['outcome'], retryAfterS?: number): void;
}

function asksFor({ body }: Request): { readonly secret: string; readonly scope: string } {
  const form = new URLSearchParams(body);
  return { secret: form.get('client_secret') ?? '', scope: form.get('scope') ?? '' };
}

function observed(request: Request, from: TokenRequest['from']): Asked {
  let endedAt = Number.POSITIVE_INFINITY;
  const asked: Asked = {
    ...{ from, sent: request.sent, ...asksFor(request), isPrompt: request.nth > 1 },
    ...{ outcome: undefined, retryAfterS: 0 },
    endedAt: () => Math.min(endedAt, request.givenUpAt),
    end(at, outcome, retryAfterS = 0) {
      endedAt = at;
      Object.assign(asked, { outcome, retryAfterS });
    },
  };
  return asked;
}

export const IDENTITY_KINDS: Readonly<Record<string, Kind>> = {
  'identity.revoke': {
    ...{ weight: 2, isElsewhere: true, draw: () => ({}) },
    apply: ({ identity }) => identity.revokeAll(),
  },
  ...Fault.kinds('identity', ({ identity }) => identity.fault),
};
