/**
 * `iam secrets`: the secrets of a client. Generates the value here, because people choose weak ones, and shows or stores it
 * exactly once.
 */
import { readFileSync } from 'node:fs';
import { SidecarError } from '../../core/errors.ts';
import { randomSecret, Secret } from '../../core/secret.ts';
import type { ClientSecret } from '../../iam/api.ts';
import { createAndFind } from '../../iam/created-id.ts';
import { assertAskable, confirm } from './confirm.ts';
import { type IamFlags, parseExpiry, textFlag, usageError } from './flags.ts';
import { keepSecret } from './secret-file.ts';
import type { IamCommand, Session } from './session.ts';
import { printTable } from './table.ts';

const NOT_UNDONE = 'cannot restore the file of --out; the value in it is not a secret of this client';

const list: IamCommand = async ({ api, printer, operands: [id = ''] }) => {
  const view = {
    columns: [
      { title: 'secret id', of: (secret: ClientSecret) => secret.clientSecretId },
      { title: 'expires', of: (secret: ClientSecret) => expiryText(secret.expiresAt) },
      { title: 'description', of: (secret: ClientSecret) => secret.description },
    ],
    data: ({ clientSecretId, description, expiresAt }: ClientSecret) => ({
      clientSecretId,
      description,
      expires: expiryOf(expiresAt),
    }),
    none: 'no secrets',
  };
  await printTable(api.secrets(id), view, printer);
};

const create: IamCommand = async (session) => {
  const { flags, printer } = session;
  const wanted = readRequested(session);
  const kept =
    wanted.out === undefined ? undefined : await keepSecret(wanted.out, wanted.value, flags['force'] === true);
  const clientSecretId = await send(session, wanted).catch(async (error: unknown) => {
    const lost = error instanceof SidecarError && error.extras.mayHaveExecuted === true;
    // If the secret may exist, the file stays: it is the only place that has the value.
    if (!lost) await kept?.undo().catch(() => process.stderr.write(`warning: ${NOT_UNDONE}\n`));
    throw error;
  });
  const { clientId, description, expiresAt, out, shown } = wanted;
  const lines = [
    `created secret ${clientSecretId} of client ${clientId}; expires: ${expiryText(expiresAt)}`,
    ...(out === undefined ? [] : [`value: in ${out}`]),
    ...(shown === undefined ? [] : [`value: ${shown}   (it cannot be shown again)`]),
  ];
  const value = { ...(out !== undefined && { file: out }), ...(shown !== undefined && { value: shown }) };
  const data = { result: 'created', clientId, clientSecretId, description, expires: expiryOf(expiresAt), ...value };
  await printer.line({ text: lines.map(printer.cell).join('\n'), data });
};

const remove: IamCommand = async ({ api, flags, printer, operands: [id = '', secretId = ''] }) => {
  assertAskable(flags);
  const what = printer.cell(`Delete secret ${secretId} of client ${id}?`);
  const question = `${what}\nIt can no longer request tokens; its tokens work until they expire.`;
  const of = { clientId: id, clientSecretId: secretId };
  if (!(await confirm(question, flags))) {
    await printer.line({ text: 'nothing deleted', data: { result: 'kept', ...of } });
    return;
  }
  const result = await api.deleteSecret(id, secretId);
  const text = result === 'deleted' ? `deleted secret ${secretId}` : `client ${id} has no secret ${secretId}`;
  await printer.line({ text: printer.cell(text), data: { result, ...of } });
};

interface Requested {
  readonly clientId: string;
  readonly value: Secret;
  readonly description: string;
  readonly expiresAt: number | undefined;
  readonly out: string | undefined;
  readonly shown: string | undefined;
}

function readRequested({ flags, operands: [clientId = ''] }: Session): Requested {
  const out = textFlag(flags, 'out');
  const given = textFlag(flags, 'valueFile');
  const show = flags['show'] === true;
  if (out === undefined && !show && given === undefined) {
    throw usageError('iam secrets create', 'needs --out FILE to store the value, or --show to print it once');
  }
  const value = given === undefined ? randomSecret() : readValue(given);
  const description = requiredText(flags, 'description');
  const expiresAt = parseExpiry(textFlag(flags, 'expires') ?? 'never', Date.now());
  return { clientId, value, description, expiresAt, out, shown: show ? value.reveal() : undefined };
}

function send({ api }: Session, { clientId, value, description, expiresAt }: Requested): Promise<string> {
  return createAndFind({
    create: () => api.createSecret(clientId, { value, description, expiresAt }),
    list: async () => {
      const ids: string[] = [];
      for await (const secret of api.secrets(clientId)) {
        if (secret.description === description) ids.push(secret.clientSecretId);
      }
      return ids;
    },
    lookWith: 'aritma-sidecar iam secrets list CLIENT_ID',
  });
}

function requiredText(flags: IamFlags, name: string): string {
  const text = textFlag(flags, name) ?? '';
  if (text.trim() === '') throw usageError(`flag --${name}`, 'must not be empty');
  return text;
}

/** Applies the limits of Aritma IAM, and refuses what the configuration could not read back later. */
function readValue(path: string): Secret {
  const flag = 'flag --value-file';
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw usageError(flag, `names a file that cannot be read (${String((error as NodeJS.ErrnoException).code)})`);
  }
  const value = text.replace(/^\uFEFF/, '').replace(/\r?\n$/, '');
  if (!/^[\x20-\x7e]{8,32}$/.test(value)) {
    throw usageError(flag, 'must name a file with 8 to 32 printable ASCII characters and nothing else');
  }
  return new Secret(value);
}

function expiryText(expiresAt: number | undefined): string {
  return expiryOf(expiresAt) ?? 'never';
}

function expiryOf(expiresAt: number | undefined): string | null {
  return expiresAt === undefined ? null : new Date(expiresAt).toISOString();
}

export const SECRET_COMMANDS = { list, create, delete: remove } as const;
