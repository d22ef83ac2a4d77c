/** Aritma IAM: clients and their secrets, behind HTTP, with everything that can be wrong with such a server. */
import type { SimulatedProcess } from '../../platform/process.ts';
import { Fault } from '../fault.ts';
import { httpServer, type Request, type Response } from '../http.ts';
import type { IamPart } from '../parts.ts';
import type { World } from '../world.ts';
import { IamClients } from './iam-clients.ts';

export const IAM = 'iam.sim:443';
/** What reads and changes secrets. */
export const ADMIN = 'admin';
export const ADMIN_SECRET = 'the-secret-of-the-administrator';

export interface StoredSecret {
  readonly id: string;
  readonly clientId: string;
  readonly value: string;
  readonly description: string;
  /** True ms; Infinity = never. */
  readonly expiresAt: number;
  readonly createdAt: number;
  /** Undefined: by hand. */
  readonly by: SimulatedProcess | undefined;
  deletedAt: number;
}

const BASE = '/core/iam/v1';
const PAGE_SIZE = 100;

export class IamServer {
  /** All that ever were. */
  readonly secrets: StoredSecret[] = [];
  readonly registry: IamClients;
  readonly fault: Fault;
  readonly #world: World;
  readonly #part: IamPart;
  readonly #next = { before: 0, after: 0, gateway: 0 };
  /** Ids of the secrets that a process was last told of. */
  readonly #told = new Map<SimulatedProcess, ReadonlySet<string>>();
  #count = 0;
  /** By how much later some secrets are known. */
  readonly #late = new Map<StoredSecret, number>();
  #nextLateMs = 0;
  /** How many changes come before the one that fails. */
  #skip = 0;

  constructor(world: World, part: IamPart) {
    this.#world = world;
    this.#part = part;
    this.registry = new IamClients(part.body, (what) => world.trace('iam', what));
    this.fault = new Fault(
      world,
      IAM,
      httpServer(world.process('iam'), (request) => this.#take(request)),
    );
  }

  get #nowMs(): number {
    return this.#world.platform.time.nowMs;
  }

  /** The next changes are not acknowledged: a reset before or after they are made, or a gateway's 502 after it. */
  failNext(how: 'before' | 'after' | 'gateway', times: number): void {
    this.#next[how] = times;
  }

  /** As `failNext`, after so many changes that go well. */
  failLater(how: 'before' | 'after', skip: number): void {
    this.#skip = skip;
    this.failNext(how, 1);
  }

  /** The identity server knows the next secret that a rotation creates so much later. */
  knowNextLate(ms: number): void {
    this.#nextLateMs = ms;
  }

  repair(): void {
    this.#nextLateMs = 0;
    this.#late.clear();
    this.#skip = 0;
    this.fault.repair();
    Object.assign(this.#next, { before: 0, after: 0, gateway: 0 });
  }

  /** Listed ones, also expired ones. */
  secretsOf(clientId: string): StoredSecret[] {
    return this.secrets.filter(
      (secret) => secret.clientId === clientId && secret.deletedAt === Number.POSITIVE_INFINITY,
    );
  }

  /** Whether IAM lists it and it has not expired. */
  isLive({ deletedAt, expiresAt }: StoredSecret): boolean {
    return deletedAt === Number.POSITIVE_INFINITY && this.#nowMs < expiresAt;
  }

  /** What the identity server knows, a moment later. */
  accepts(clientId: string, value: string): boolean {
    if (clientId === ADMIN) return value === ADMIN_SECRET;
    const { propagationMs } = this.#part;
    const then = this.#nowMs - propagationMs;
    return this.secrets.some(
      (secret) =>
        secret.clientId === clientId &&
        secret.value === value &&
        secret.createdAt + (this.#late.get(secret) ?? 0) <= then &&
        then <= secret.deletedAt &&
        this.#nowMs <= secret.expiresAt,
    );
  }

  /** @param by undefined: by hand */
  create(
    secret: Pick<StoredSecret, 'clientId' | 'value' | 'description' | 'expiresAt'>,
    by?: SimulatedProcess,
  ): StoredSecret {
    this.#count += 1;
    const made = { ...secret, id: `s${this.#count}`, createdAt: this.#nowMs, by, deletedAt: Number.POSITIVE_INFINITY };
    const known = (by && this.#told.get(by)) ?? new Set<string>();
    this.secrets.push(made);
    if (by && this.#nextLateMs > 0) this.#late.set(made, this.#nextLateMs);
    if (by) this.#nextLateMs = 0;
    this.#world.trace('iam', `has a new secret ${made.id} of ${made.clientId}, by ${by?.name ?? 'hand'}`);
    this.#world.observe({ kind: 'secretCreated', secret: made, known });
    return made;
  }

  delete(secret: StoredSecret, by?: SimulatedProcess): void {
    secret.deletedAt = this.#nowMs;
    this.#world.trace('iam', `deletes secret ${secret.id} of ${secret.clientId}, by ${by?.name ?? 'hand'}`);
    this.#world.observe({ kind: 'secretDeleted', secret, by });
  }

  #take(request: Request): void {
    const isChange = request.words[0] !== 'GET';
    this.fault.meet(request, (error) => {
      const { from } = request;
      if (error) {
        const headers = error.retryAfterS === undefined ? {} : { 'Retry-After': String(error.retryAfterS) };
        this.#world.trace('iam', `responds ${error.status} to ${request.words[0]} ${request.words[1]}`);
        return request.respond({ status: error.status, headers, body: {} });
      }
      const mayFail = isChange && this.#mayFail();
      if (mayFail && this.#isDue('before')) return request.reset();
      const response = this.#responseTo(request, from);
      this.#world.trace('iam', `${request.words[0]} ${request.words[1]} ${response.status}`);
      if (mayFail && this.#isDue('after')) return request.reset();
      if (mayFail && this.#isDue('gateway')) return request.respond({ status: 502, body: {} });
      request.respond(response);
    });
  }

  /** Counts the changes that go well; true when none is left of them. */
  #mayFail(): boolean {
    if (this.#skip === 0) return true;
    this.#skip -= 1;
    return false;
  }

  #isDue(how: 'before' | 'after' | 'gateway'): boolean {
    if (this.#next[how] === 0) return false;
    this.#next[how] -= 1;
    this.#world.trace('iam', `does not acknowledge a change (${how})`);
    return true;
  }

  #responseTo(request: Request, from: SimulatedProcess | undefined): Response {
    const bearer = /^Bearer (.+)$/.exec(request.headers.get('authorization') ?? '')?.[1] ?? '';
    const token = this.#world.identity.tokens.get(bearer);
    const isValid = token && token.client === ADMIN && this.#nowMs < token.issuedAt + token.lifetimeMs;
    if (!isValid || this.#nowMs >= token.revokedAt) return { status: 401, body: { title: 'Unauthorized' } };
    const url = new URL(request.words[1], 'http://iam');
    const [, id, secretId] = new RegExp(`^${BASE}/clients/([^/]+)/secrets(?:/([^/]+))?$`).exec(url.pathname) ?? [];
    const body = request.body === '' ? {} : (JSON.parse(request.body) as Record<string, unknown>);
    const ask = { method: request.words[0], path: url.pathname.slice(BASE.length), query: url.searchParams, body };
    if (id === undefined) return this.registry.responseTo(ask);
    if (request.words[0] === 'GET') return this.#list(id, { url, from });
    if (request.words[0] === 'DELETE') return this.#remove(id, secretId, from);
    return this.#add(id, body, from);
  }

  #list(clientId: string, { url, from }: { url: URL; from: SimulatedProcess | undefined }): Response {
    const all = this.secretsOf(clientId);
    if (from) this.#told.set(from, new Set(all.map(({ id }) => id)));
    const items = all.map(({ id, description, expiresAt }) => ({
      ...{ clientSecretId: id, description },
      expiration: Number.isFinite(expiresAt) ? new Date(expiresAt).toISOString() : null,
    }));
    return { status: 200, body: pageOf(items, url) };
  }

  #add(
    clientId: string,
    { value, description, expiration }: Record<string, unknown>,
    from: SimulatedProcess | undefined,
  ): Response {
    if (typeof value !== 'string' || value.length < 8 || value.length > 32 || typeof description !== 'string')
      return { status: 400, body: { title: 'Bad request' } };
    const expiresAt = typeof expiration === 'string' ? Date.parse(expiration) : Number.POSITIVE_INFINITY;
    const { id } = this.create({ clientId, value, description, expiresAt }, from);
    return { status: 201, body: this.#part.body === 'empty' ? {} : { clientSecretId: id, description } };
  }

  #remove(clientId: string, secretId: string | undefined, from: SimulatedProcess | undefined): Response {
    const found = this.secretsOf(clientId).find(({ id }) => id === secretId);
    if (!found) return { status: 404, body: { title: 'Not found' } };
    this.delete(found, from);
    return { status: 200, body: {} };
  }
}

/** Pages are counted from 1. */
function pageOf(all: readonly object[], url: URL): object {
  const page = Number(url.searchParams.get('page') ?? 1);
  const size = Math.min(Number(url.searchParams.get('pageSize') ?? PAGE_SIZE), 2);
  const items = all.slice((page - 1) * size, page * size);
  return { items, metadata: { page, pageSize: size, totalCount: all.length }, links: { next: null } };
}
