/**
 * `iam subjects`, `iam permissions`, `iam policies`: who may do what where.
 */
import { SidecarError } from '../../core/errors.ts';
import type { IamApi, Policy, Subject } from '../../iam/api.ts';
import { assertAskable, confirm } from './confirm.ts';
import { type IamFlags, textFlag, usageError } from './flags.ts';
import type { IamCommand, Session } from './session.ts';
import { printTable } from './table.ts';

const subjects: IamCommand = async ({ api, flags, printer }) => {
  const view = {
    columns: [
      { title: 'subject id', of: (subject: Subject) => subject.subjectId },
      { title: 'client id', of: (subject: Subject) => subject.id ?? '' },
      { title: 'name', of: (subject: Subject) => subject.displayName ?? '' },
    ],
    data: (subject: Subject) => ({ ...subject }),
    none: 'no subjects',
  };
  await printTable(api.subjects(textFlag(flags, 'search')), view, printer);
};

type Permission = Readonly<Record<string, unknown>>;

const permissions: IamCommand = async ({ api, flags, printer, operands: [id = ''] }) => {
  const view = {
    columns: [
      { title: 'action', of: ({ action }: Permission) => word(action) },
      { title: 'scope', of: ({ scope }: Permission) => word(scope) },
      // Aritma does not document the other fields, so they are printed unchanged.
      { title: 'further', of: ({ action: _a, scope: _s, ...further }: Permission) => JSON.stringify(further) },
    ],
    data: (permission: Permission) => permission,
    none: 'no permissions',
  };
  await printTable(api.permissions(id, pick(flags, ['resourceType', 'resourceProvider', 'action'])), view, printer);
};

const policies: IamCommand = async ({ api, flags, printer }) => {
  const view = {
    columns: [
      { title: 'subject', of: (policy: Policy) => policy.subject },
      { title: 'action', of: (policy: Policy) => policy.action },
      { title: 'scope', of: (policy: Policy) => policy.scope },
      { title: 'tenant', of: (policy: Policy) => policy.tenant ?? '' },
    ],
    data: (policy: Policy) => ({ ...policy }),
    none: 'no policies',
  };
  const filter = {
    ...pick(flags, ['subject', 'scope', 'action']),
    ...(flags['includeDerived'] === true && { includeDerived: 'true' }),
    ...(flags['includeInherited'] === true && { includeInherited: 'true' }),
  };
  await printTable(api.policies(filter), view, printer);
};

const createPolicy: IamCommand = async (session) => {
  const { api, printer } = session;
  const policy = await policyOf(session);
  const result = await grant(api, policy);
  const text = result === 'created' ? `created: ${sentence(policy)}` : `already exists: ${sentence(policy)}`;
  await printer.line({ text: printer.cell(text), data: { result, ...policy } });
};

const deletePolicy: IamCommand = async (session) => {
  const { api, flags, printer } = session;
  assertAskable(flags);
  const policy = await policyOf(session);
  const question = `${printer.cell(`Delete the policy "${sentence(policy)}"?`)}\nAccess through this policy ends at once.`;
  if (!(await confirm(question, flags))) {
    await printer.line({ text: 'nothing deleted', data: { result: 'kept', ...policy } });
    return;
  }
  const result = await api.deletePolicy(policy);
  const text = result === 'deleted' ? `deleted: ${sentence(policy)}` : `no such policy: ${sentence(policy)}`;
  await printer.line({ text: printer.cell(text), data: { result, ...policy } });
};

async function policyOf({ api, flags }: Session): Promise<Policy> {
  const { subject, client, scope, action } = pick(flags, ['subject', 'client', 'scope', 'action']);
  if ((subject === undefined) === (client === undefined)) {
    throw usageError('iam policies', 'needs either --subject or --client');
  }
  const whose = subject ?? (await subjectOf(api, client ?? ''));
  return { subject: whose, scope: scope ?? '', action: action ?? '' };
}

/** Looks the subject up in the full list: its id is not documented to contain the client id, and the search covers names only. */
async function subjectOf(api: IamApi, clientId: string): Promise<string> {
  for await (const { id, subjectId } of api.subjects()) if (id === clientId) return subjectId;
  throw new SidecarError('IAM_NOT_FOUND', { fields: { reason: 'no subject belongs to this client' } });
}

/** IAM may refuse an existing policy as a conflict. Then the list shows whether it exists. */
async function grant(api: IamApi, policy: Policy): Promise<'created' | 'exists'> {
  try {
    await api.createPolicy(policy);
    return 'created';
  } catch (error) {
    if (!(error instanceof SidecarError) || error.code !== 'IAM_CONFLICT') throw error;
    const { subject, scope, action } = policy;
    for await (const found of api.policies({ subject, scope, action })) {
      if (found.subject === subject && found.scope === scope && found.action === action) return 'exists';
    }
    throw error;
  }
}

function pick<Name extends string>(flags: IamFlags, names: readonly Name[]): Partial<Record<Name, string>> {
  const given = names.map((name) => [name, textFlag(flags, name)]).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as Partial<Record<Name, string>>;
}

const sentence = ({ subject, action, scope }: Policy) => `${subject} may ${action} on ${scope}`;

const word = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value ?? null));

export const ACCESS_COMMANDS = { subjects, permissions, policies, createPolicy, deletePolicy } as const;
