/**
 * The Aritma IAM API as functions: clients, their secrets, subjects, permissions and policies. Hides URLs, paging and
 * the two documented responses to a creation. Reads leniently, because most responses are not documented, but never
 * guesses an id. Source: seeds "OIDC Clients" and "Create a Service Client", Aritma's IAM reference.
 */
import { SidecarError } from '../core/errors.ts';
import type { Secret } from '../core/secret.ts';
import { type OnPage, readPages } from './pagination.ts';
import { type IamConnection, type IamRequest, type IamResponse, sendIam } from './request.ts';

export interface ClientBody {
  readonly name: string;
  readonly description: string;
  readonly allowedGrantTypes: readonly string[];
  readonly allowedScopes: readonly string[];
  readonly redirectUris: readonly string[];
}

/** In a list, only name and description are present. */
export interface Client extends Partial<ClientBody> {
  readonly clientId: string;
}

export interface ClientSecret {
  readonly clientSecretId: string;
  readonly description: string;
  /** Epoch ms; undefined = never. */
  readonly expiresAt: number | undefined;
}

export interface NewSecret {
  /** 8 to 32 characters. */
  readonly value: Secret;
  readonly description: string;
  /** Epoch ms; undefined = never. */
  readonly expiresAt?: number | undefined;
}

export interface Policy {
  readonly subject: string;
  readonly scope: string;
  readonly action: string;
  readonly tenant?: string | undefined;
}

export interface Subject {
  readonly subjectId: string;
  /** The client's id, if the server sends it. */
  readonly id: string | undefined;
  readonly displayName: string | undefined;
}

export type PermissionFilter = Partial<Record<'resourceType' | 'resourceProvider' | 'action', string>>;
export type PolicyFilter = Partial<
  Record<'subject' | 'scope' | 'action' | 'includeDerived' | 'includeInherited', string>
>;
type Fields = Readonly<Record<string, unknown>>;

export type IamApi = ReturnType<typeof createIamApi>;

/**
 * Creates the IAM client on a connection of `connectIam`. Lists are async iterables and fetch one page at a time.
 * Deletions return `absent` instead of IAM_NOT_FOUND. Every function throws what `sendIam` throws, and IAM_INVALID for
 * a response it cannot use; `segment` throws CONFIG_INVALID for an unusable id.
 * @example
 * await using iam = connectIam(loaded);
 * const api = createIamApi(iam.connection);
 * for await (const { clientSecretId, expiresAt } of api.secrets('my-erp')) console.log(clientSecretId, expiresAt);
 */
export function createIamApi(connection: IamConnection, onPage?: OnPage) {
  const send = (request: IamRequest) => sendIam(connection, request);
  const list = (path: string, query: Readonly<Record<string, string | undefined>> = {}) =>
    readPages(
      async (page) => (await send({ method: 'GET', path: path + queryOf({ ...query, ...page }) })).json,
      onPage,
    );
  /** A 404 means that it is already gone: somebody else was faster. */
  const remove = async (request: IamRequest): Promise<'deleted' | 'absent'> => {
    try {
      await send(request);
      return 'deleted';
    } catch (error) {
      if (error instanceof SidecarError && error.code === 'IAM_NOT_FOUND') return 'absent';
      throw error;
    }
  };
  const client = (id: string) => `/v1/clients/${segment(id)}`;
  const ofClient = (id: string) => `/v1/subjects/clients/${segment(id)}/permissions`;
  return {
    /** `searchText` matches any part of a name. */
    clients: (searchText?: string) => read(list('/v1/clients', { searchText }), clientOf),
    /** Returns the new client's id, if the response names it. */
    createClient: async (body: ClientBody) =>
      createdId(await send({ method: 'POST', path: '/v1/clients', body }), 'clientId', 'clients'),
    client: async (id: string) => clientOf(asFields((await send({ method: 'GET', path: client(id) })).json)),
    updateClient: async (id: string, body: ClientBody) => void (await send({ method: 'PUT', path: client(id), body })),
    deleteClient: (id: string) => remove({ method: 'DELETE', path: client(id) }),
    secrets: (id: string) => read(list(`${client(id)}/secrets`), secretOf),
    createSecret: async (id: string, { value, description, expiresAt }: NewSecret) => {
      const expiration = expiresAt === undefined ? undefined : new Date(expiresAt).toISOString();
      const body = { value: value.reveal(), description, expiration };
      const response = await send({ method: 'POST', path: `${client(id)}/secrets`, body, secret: value });
      return createdId(response, 'clientSecretId', 'secrets');
    },
    deleteSecret: (id: string, secretId: string) =>
      remove({ method: 'DELETE', path: `${client(id)}/secrets/${segment(secretId)}` }),
    /** `searchQuery` matches any part of a name. */
    subjects: (searchQuery?: string) => read(list('/v1/subjects/clients', { searchQuery }), subjectOf),
    /** Passed on as received: their shape is not documented. */
    permissions: (id: string, filter: PermissionFilter = {}) => list(ofClient(id), filter),
    policies: (filter: PolicyFilter = {}) => read(list('/v1/policies', filter), policyOf),
    createPolicy: async (policy: Policy) =>
      void (await send({ method: 'POST', path: '/v1/policies', body: tuple(policy) })),
    /** Policies have no id: the body of the request names subject, scope and action. */
    deletePolicy: (policy: Policy) => remove({ method: 'DELETE', path: '/v1/policies', body: tuple(policy) }),
  };
}

const tuple = ({ subject, scope, action }: Policy) => ({ subject, scope, action });

async function* read<T>(items: AsyncIterable<Fields>, reader: (item: Fields) => T): AsyncGenerator<T> {
  for await (const item of items) yield reader(item);
}

function queryOf(query: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return given.length === 0 ? '' : `?${new URLSearchParams(given).toString()}`;
}

/** Encodes one path segment. Refuses `.` and `..`: a server or proxy resolves them even when they are encoded. */
function segment(id: string): string {
  if (id !== '' && id !== '.' && id !== '..' && id.isWellFormed()) return encodeURIComponent(id);
  const message = 'must not be empty, "." or "..", and must be well-formed Unicode';
  throw new SidecarError('CONFIG_INVALID', { problems: [{ where: 'id for Aritma IAM', path: '', message }] });
}

/**
 * Returns the id from the body, else from `Location`; undefined without both, as one reference page documents.
 * `Location` counts only if it names an item of the collection: the last segment of the collection itself is not an id.
 */
function createdId({ json, headers }: IamResponse, name: string, collection: string): string | undefined {
  const body = typeof json === 'object' && json !== null ? (json as Fields) : {};
  const id = idOf(body[name]) ?? idOf(body['id']);
  if (id !== undefined) return id;
  const { location } = headers;
  const [before, last = ''] =
    typeof location === 'string'
      ? location
          .replace(/[?#].*$/, '')
          .split('/')
          .slice(-2)
      : [];
  if (before !== collection) return undefined;
  try {
    return idOf(decodeURIComponent(last));
  } catch {
    // A broken percent-encoding names nothing; the caller finds the new item in the list.
    return undefined;
  }
}

/** An id may also be a number: some databases number their rows. */
function idOf(value: unknown): string | undefined {
  if (typeof value === 'string' && value !== '') return value;
  return Number.isSafeInteger(value) ? String(value) : undefined;
}

function clientOf(item: Fields): Client {
  return { ...item, clientId: textOf(item, 'clientId', 'id') };
}

function secretOf(item: Fields): ClientSecret {
  const { description, expiration } = item;
  const expiresAt = typeof expiration === 'string' ? utcMs(expiration) : undefined;
  return {
    clientSecretId: textOf(item, 'clientSecretId', 'id'),
    description: typeof description === 'string' ? description : '',
    expiresAt,
  };
}

/** Epoch ms. Aritma's times are UTC, so a time without a zone is not local time. */
function utcMs(text: string): number {
  const ms = Date.parse(/(?:Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`);
  if (Number.isNaN(ms)) throw new SidecarError('IAM_INVALID', { fields: { reason: 'an expiration is not a date' } });
  return ms;
}

function subjectOf(item: Fields): Subject {
  const { id, clientId, displayName, name } = item;
  return {
    subjectId: textOf(item, 'subjectId'),
    id: idOf(id) ?? idOf(clientId),
    displayName: optional(displayName ?? name),
  };
}

function policyOf(item: Fields): Policy {
  const [subject, scope, action] = [textOf(item, 'subject'), textOf(item, 'scope'), textOf(item, 'action')];
  return { subject, scope, action, tenant: optional(item['tenant']) };
}

const optional = (value: unknown) => (typeof value === 'string' ? value : undefined);

function asFields(json: unknown): Fields {
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Fields;
  throw new SidecarError('IAM_INVALID', { fields: { reason: 'not a JSON object' } });
}

/** An item without its id is useless, and a guessed id could delete another item. */
function textOf(item: Fields, ...names: readonly string[]): string {
  const value = names.map((name) => idOf(item[name])).find((candidate) => candidate !== undefined);
  if (value !== undefined) return value;
  throw new SidecarError('IAM_INVALID', { fields: { reason: `an item has no ${names[0]}` } });
}
