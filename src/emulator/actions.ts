// The actions a policy can allow, as a tree: whoever may do the parent may do every child. Names of the Banking half
// are those of the public authorization page; of the IAM half only the few are here that samples mention.

/** Action → its parent; null for the root alone. */
export const ACTIONS: ReadonlyMap<string, string | null> = new Map([
  ['owner', null],
  ['banking.manage', 'owner'],
  ...group('banking.channels', 'all', ['psd2', 'openbanking']),
  ...group('banking.consents', 'manage', ['create', 'read', 'update', 'delete']),
  ...group('banking.ais', 'manage', ['create', 'read']),
  ...group('banking.pis', 'manage', ['create', 'read', 'authorize', 'cancel']),
  ...group('banking.mandates', 'manage', ['write', 'read', 'delete']),
  ['iam.manage', 'owner'],
  ['iam.policy.read', 'iam.manage'],
  ['iam.policy.write', 'iam.manage'],
]);

/** The action and all it derives from, nearest first: whichever of them is granted, the action is. */
export function grantersOf(action: string): readonly string[] {
  const parent = ACTIONS.get(action);
  return [action, ...(parent ? grantersOf(parent) : [])];
}

/** The action and all that derive from it. */
export function impliedBy(action: string): readonly string[] {
  return [...ACTIONS.keys()].filter((candidate) => grantersOf(candidate).includes(action));
}

function group(name: string, whole: string, parts: readonly string[]): [string, string][] {
  const parent = `${name}.${whole}`;
  return [[parent, 'banking.manage'], ...parts.map((part): [string, string] => [`${name}.${part}`, parent])];
}
