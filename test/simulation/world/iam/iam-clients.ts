/** The part of Aritma IAM that has clients, their subjects, and policies. */
import type { Response } from '../http.ts';

export interface StoredClient {
  readonly clientId: string;
  readonly name: string;
  readonly description: string;
}

export interface StoredPolicy {
  readonly subject: string;
  readonly scope: string;
  readonly action: string;
}

interface Ask {
  readonly method: string;
  /** Below /v1. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Readonly<Record<string, unknown>>;
}

const OK = { status: 200, body: {} };
const NOT_FOUND = { status: 404, body: { title: 'Not found' } };

export class IamClients {
  readonly clients: StoredClient[] = [];
  readonly policies: StoredPolicy[] = [];
  readonly #body: 'whole' | 'empty';
  readonly #trace: (what: string) => void;
  #count = 0;

  constructor(body: 'whole' | 'empty', trace: (what: string) => void) {
    this.#body = body;
    this.#trace = trace;
  }

  responseTo(ask: Ask): Response {
    const [, resource, id] = /^\/(clients|subjects|policies)(?:\/([^/]+))?/.exec(ask.path) ?? [];
    if (resource === 'policies') return this.#policies(ask);
    if (resource === 'subjects') return this.#subjects(ask.query.get('searchQuery') ?? '');
    if (resource === 'clients')
      return id === undefined ? this.#collection(ask) : this.#one(decodeURIComponent(id), ask);
    return NOT_FOUND;
  }

  #collection({ method, query, body }: Ask): Response {
    if (method === 'POST') {
      this.#count += 1;
      const made = { ...(body as unknown as StoredClient), clientId: `c${this.#count}` };
      this.clients.push(made);
      this.#trace(`has a new client ${made.clientId}`);
      return { status: 201, body: this.#body === 'empty' ? {} : made };
    }
    const items = this.#named(query.get('searchText') ?? '').map(({ clientId, name, description }) => ({
      clientId,
      name,
      description,
    }));
    return { status: 200, body: { items, metadata: { page: 1, pageSize: 100, totalCount: items.length }, links: {} } };
  }

  #one(id: string, { method, body }: Ask): Response {
    const index = this.clients.findIndex(({ clientId }) => clientId === id);
    const found = this.clients[index];
    if (!found) return NOT_FOUND;
    if (method === 'PUT') this.clients[index] = { ...(body as unknown as StoredClient), clientId: id };
    if (method === 'DELETE') this.clients.splice(index, 1);
    if (method === 'DELETE') this.#trace(`deletes client ${id}`);
    return method === 'GET' ? { status: 200, body: found } : OK;
  }

  #subjects(search: string): Response {
    const data = this.#named(search).map(({ clientId, name }) => ({
      ...{ id: clientId, displayName: name, subjectId: `client-${clientId}`, type: 'client' },
    }));
    return {
      status: 200,
      body: { data, page: 1, pageSize: 100, count: data.length, total: data.length, totalPages: 1 },
    };
  }

  #policies({ method, query, body }: Ask): Response {
    const { subject, scope, action } = body as unknown as StoredPolicy;
    if (method === 'GET')
      return { status: 200, body: { items: this.policies.filter((it) => it.subject === query.get('subject')) } };
    const isThere = this.policies.some((it) => it.subject === subject && it.scope === scope && it.action === action);
    if (isThere) return { status: 409, body: { title: 'Conflict' } };
    this.policies.push({ subject, scope, action });
    this.#trace(`has a new policy of ${subject}`);
    return { status: 201, body: this.#body === 'empty' ? {} : { subject, scope, action } };
  }

  #named(search: string): StoredClient[] {
    return this.clients.filter(({ name }) => name.toLowerCase().includes(search.toLowerCase()));
  }
}
