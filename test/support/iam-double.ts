/** Aritma IAM in memory behind a real socket: responds as the portal documents, or with a fault, and counts its requests. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Pool } from 'undici';
import { Secret } from '../../src/core/secret.ts';
import type { IamConnection } from '../../src/iam/request.ts';
import { createDeadline } from './deadline.ts';

/** `lost`: takes effect without a response. `late`: is cut off, and takes effect after the next change. */
export const FAULTS = ['refused', 500, 401, 403, 429, 'lost', 'late', 'gateway', 'empty', 'wrong page'] as const;
export type IamFault = (typeof FAULTS)[number];

export interface StoredClient {
  clientId: string;
  name: string;
  description: string;
  allowedGrantTypes: string[];
  allowedScopes: string[];
  redirectUris: string[];
}
export interface StoredSecret {
  clientSecretId: string;
  clientId: string;
  value: string;
  description: string;
  expiration?: string;
}
export interface StoredPolicy {
  subject: string;
  scope: string;
  action: string;
}

export interface IamDouble extends AsyncDisposable {
  readonly origin: string;
  readonly connection: IamConnection;
  /** `GET /v1/clients`, without queries. */
  readonly calls: string[];
  readonly clients: StoredClient[];
  readonly secrets: StoredSecret[];
  readonly policies: StoredPolicy[];
  answers: 'body' | 'empty';
  /** The fault for the request with that number, from 1. */
  fault: { readonly at: number; readonly fault: IamFault } | undefined;
  /** A subject is listed only after this many requests. */
  subjectsAfter: number;
  /** With the ids of their clients. */
  subjectIds: boolean;
  reset(): void;
  /** Whether a token was obtained. */
  works(clientId: string, value: string | undefined): boolean;
}

interface Ask {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Record<string, unknown>;
}

type Answer = readonly [status: number, body?: unknown];

export async function startIamDouble(): Promise<IamDouble> {
  let counter = 0;
  let subjectsAsked = 0;
  let pending: (() => void)[] = [];
  const deadline = createDeadline();
  const server = createServer((req, res) => void serve(req, res));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const pool = new Pool(origin, { connections: 1 });
  const admin = new Secret('Bearer an-administrator');
  const double: IamDouble = {
    origin,
    connection: {
      dispatcher: pool,
      basePath: '',
      authorize: async () => admin,
      // A busy machine is not one of these faults: the time limit ends when no response will come.
      deadlineMs: deadline.ms,
    },
    calls: [],
    clients: [],
    secrets: [],
    policies: [],
    answers: 'body',
    fault: undefined,
    subjectsAfter: 0,
    subjectIds: true,
    reset() {
      for (const list of [double.calls, double.clients, double.secrets, double.policies]) list.length = 0;
      double.fault = undefined;
      subjectsAsked = 0;
      pending = [];
    },
    works: (clientId, value) =>
      double.secrets.some(
        (secret) =>
          secret.clientId === clientId && secret.value === value && !(Date.parse(secret.expiration ?? '') < Date.now()),
      ),
    async [Symbol.asyncDispose]() {
      await pool.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      deadline[Symbol.dispose]();
    },
  };
  return double;

  async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const url = new URL(req.url ?? '', 'http://iam');
    const text = Buffer.concat(chunks).toString();
    const ask: Ask = {
      method: req.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      body: text === '' ? {} : (JSON.parse(text) as Ask['body']),
    };
    const number = double.calls.push(`${ask.method} ${ask.path}`);
    const fault = double.fault?.at === number ? double.fault.fault : undefined;
    if (fault === 'refused') return void res.socket?.destroy();
    if (typeof fault === 'number') return send(res, [fault, { title: 'a fault' }]);
    if (fault === 'late') {
      pending.push(() => void effect(ask));
      return void res.socket?.destroy();
    }
    const answer = effect(ask);
    // A held-back change happens after the next request has its response.
    const due = ask.method === 'GET' ? [] : pending;
    if (due.length > 0) pending = [];
    for (const run of due) run();
    if (fault === 'lost') return deadline.pass();
    if (fault === 'gateway') return send(res, [502, undefined]);
    if (fault === 'empty') return send(res, [answer[0], undefined]);
    if (fault === 'wrong page') {
      return send(res, [200, { items: [], metadata: { page: 7, pageSize: 100, totalCount: 700 }, links: {} }]);
    }
    return send(res, answer);
  }

  function send(res: ServerResponse, [status, body]: Answer): void {
    res.writeHead(status, { 'content-type': 'application/json' });
    res.end(body === undefined ? '' : JSON.stringify(body));
  }

  function effect({ method, path, query, body }: Ask): Answer {
    const created = (item: object): Answer => (double.answers === 'empty' ? [201] : [201, item]);
    const [, resource, id, part] = /^\/v1\/(clients|policies|subjects)(?:\/([^/]+))?(?:\/(secrets))?/.exec(path) ?? [];
    const linked = (items: readonly object[]): Answer => [
      200,
      { items, metadata: { page: 1, pageSize: 100, totalCount: items.length }, links: { next: null } },
    ];
    if (resource === 'subjects') {
      subjectsAsked += 1;
      const search = (query.get('searchQuery') ?? '').toLowerCase();
      const listed = subjectsAsked > double.subjectsAfter ? double.clients : [];
      const data = listed
        .filter(({ name }) => name.toLowerCase().includes(search))
        .map(({ clientId, name }) => ({
          ...(double.subjectIds && { id: clientId }),
          displayName: name,
          subjectId: `client-${clientId}`,
        }));
      return [200, { data, page: 1, pageSize: 100, count: data.length, total: data.length, totalPages: 1 }];
    }
    if (resource === 'policies') {
      if (method === 'GET') {
        return [200, { items: double.policies.filter(({ subject }) => subject === query.get('subject')) }];
      }
      const policy = body as unknown as StoredPolicy;
      const there = double.policies.some(
        ({ subject, scope, action }) =>
          subject === policy.subject && scope === policy.scope && action === policy.action,
      );
      if (there) return [409, { title: 'there already' }];
      double.policies.push(policy);
      return created(policy);
    }
    if (part === 'secrets') {
      if (method === 'GET') {
        const mine = double.secrets.filter(({ clientId }) => clientId === id);
        return linked(mine.map(({ value: _value, ...rest }) => rest));
      }
      if (method === 'DELETE') {
        const secretId = path.split('/').at(-1);
        const index = double.secrets.findIndex(({ clientSecretId }) => clientSecretId === secretId);
        if (index !== -1) double.secrets.splice(index, 1);
        return [index === -1 ? 404 : 204];
      }
      counter += 1;
      const secret = { ...(body as unknown as StoredSecret), clientSecretId: `secret-${counter}`, clientId: id ?? '' };
      double.secrets.push(secret);
      const { clientId: _client, ...rest } = secret;
      return created(rest);
    }
    const client = double.clients.find(({ clientId }) => clientId === id);
    if (id !== undefined && !client) return [404, { title: 'no such client' }];
    if (client && method === 'DELETE') return [204, void double.clients.splice(double.clients.indexOf(client), 1)];
    if (client && method === 'GET') return [200, client];
    if (client && method === 'PUT') return [204, void Object.assign(client, body)];
    if (method === 'GET') {
      const search = (query.get('searchText') ?? '').toLowerCase();
      const found = double.clients.filter(({ name }) => name.toLowerCase().includes(search));
      return linked(found.map(({ clientId, name, description }) => ({ clientId, name, description })));
    }
    counter += 1;
    const fresh = { ...(body as unknown as StoredClient), clientId: `c-${counter}` };
    double.clients.push(fresh);
    return created(fresh);
  }
}
