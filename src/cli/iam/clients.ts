/**
 * `iam clients`: the OAuth clients of a tenant.
 */
import { SidecarError } from '../../core/errors.ts';
import type { Client, ClientBody } from '../../iam/api.ts';
import { createAndFind } from '../../iam/created-id.ts';
import { assertAskable, confirm } from './confirm.ts';
import { type IamFlags, textFlag, usageError } from './flags.ts';
import type { IamCommand, Session } from './session.ts';
import { printTable } from './table.ts';

const list: IamCommand = async ({ api, flags, printer }) => {
  const view = {
    columns: [
      { title: 'client id', of: (client: Client) => client.clientId },
      { title: 'name', of: (client: Client) => client.name ?? '' },
      { title: 'description', of: (client: Client) => client.description ?? '' },
    ],
    data: (client: Client) => ({ ...client }),
    none: 'no clients',
  };
  await printTable(api.clients(textFlag(flags, 'search')), view, printer);
};

const get: IamCommand = async ({ api, printer, operands: [id = ''] }) => {
  const client = await api.client(id);
  const rows = Object.entries(client).map(([name, value]) => `${name}: ${textOf(value)}`);
  await printer.line({ text: rows.map(printer.cell).join('\n'), data: { ...client } });
};

const create: IamCommand = async ({ api, flags, printer }) => {
  const given = bodyOf(flags);
  const body: ClientBody = {
    name: given.name ?? '',
    description: given.description ?? '',
    allowedGrantTypes: given.allowedGrantTypes ?? ['client_credentials'],
    allowedScopes: given.allowedScopes ?? [],
    redirectUris: given.redirectUris ?? [],
  };
  if (body.name === '') throw usageError('flag --name', 'must not be empty');
  const clientId = await createAndFind({
    create: () => api.createClient(body),
    // The search also matches parts of names; only an equal name can be the new client.
    list: async () => {
      const ids: string[] = [];
      for await (const { clientId, name, description } of api.clients(body.name)) {
        if (name === body.name && description === body.description) ids.push(clientId);
      }
      return ids;
    },
    lookWith: 'aritma-sidecar iam clients list --search NAME',
  });
  const next = `It has no secret and no permission yet. Next: iam secrets create ${clientId}, iam policies create --client ${clientId}`;
  await printer.line({
    text: `${printer.cell(`created client ${clientId}`)}\n${printer.cell(next)}`,
    data: { result: 'created', clientId },
  });
};

const update: IamCommand = async ({ api, flags, printer, operands: [id = ''] }) => {
  const given = bodyOf(flags);
  const named = Object.keys(given);
  if (named.length === 0) throw usageError('iam clients update', 'needs at least one field to change; see --help');
  const { name, description, allowedGrantTypes, allowedScopes, redirectUris } = { ...(await api.client(id)), ...given };
  const body = { name, description, allowedGrantTypes, allowedScopes, redirectUris };
  await api.updateClient(id, complete(body));
  await printer.line({
    text: printer.cell(`updated client ${id}: ${named.join(', ')}`),
    data: { result: 'updated', clientId: id, changed: named },
  });
};

const remove: IamCommand = async (session) => {
  const { api, flags, printer, operands } = session;
  const [id = ''] = operands;
  assertAskable(flags);
  if (flags['yes'] !== true && !(await confirm(await question(session, id), flags))) {
    await printer.line({ text: 'nothing deleted', data: { result: 'kept', clientId: id } });
    return;
  }
  const result = await api.deleteClient(id);
  const text = result === 'deleted' ? `deleted client ${id}` : `client ${id} does not exist`;
  await printer.line({ text: printer.cell(text), data: { result, clientId: id } });
};

async function question({ api, printer }: Session, id: string): Promise<string> {
  const { name } = await api.client(id);
  const what = printer.cell(`Delete client ${id} (${name ?? 'without a name'})?`);
  return `${what}\nThis also deletes its secrets and policies. Services that use it lose access at once.`;
}

/** Returns only the fields that flags set. */
function bodyOf(flags: IamFlags): Partial<ClientBody> {
  const fields = {
    name: textFlag(flags, 'name'),
    description: textFlag(flags, 'description'),
    allowedGrantTypes: listFlag(flags, 'grantType'),
    allowedScopes: listFlag(flags, 'scope'),
    redirectUris: flags['redirectUris'] === false ? [] : listFlag(flags, 'redirectUri'),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function listFlag(flags: IamFlags, name: string): readonly string[] | undefined {
  const value = flags[name];
  return Array.isArray(value) ? (value as readonly string[]) : undefined;
}

type Unchecked = { readonly [Field in keyof ClientBody]: unknown };

/** An update replaces all five fields, so a field missing in the server's response must not be sent as empty. */
function complete(body: Unchecked): ClientBody {
  const isList = (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === 'string');
  const wrong = Object.entries(body).filter(([field, value]) =>
    field === 'name' || field === 'description' ? typeof value !== 'string' : !isList(value),
  );
  if (wrong.length === 0) return body as ClientBody;
  const fields = wrong.map(([field]) => field).join(', ');
  const reason = `the response does not contain ${fields}, which the update would empty; set them with flags`;
  throw new SidecarError('IAM_INVALID', { fields: { reason } });
}

function textOf(value: unknown): string {
  const word = (item: unknown) => (typeof item === 'string' ? item : JSON.stringify(item));
  return Array.isArray(value) ? value.map(word).join(' ') : word(value);
}

export const CLIENT_COMMANDS = { list, get, create, update, delete: remove } as const;
