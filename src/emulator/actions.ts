// The actions a policy can allow, as a tree: a parent action includes all its children. The Banking names are from the
// public authorization page; for IAM, only the few that samples mention are here.

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

/** Returns the action and its ancestors, nearest first. A grant of any of them grants the action. */
export function grantersOf(action: string): readonly string[] {
  const parent = ACTIONS.get(action);
  return [action, ...(parent ? grantersOf(parent) : [])];
}

/** Returns the action and its descendants. */
export function impliedBy(action: string): readonly string[] {
  return [...ACTIONS.keys()].filter((candidate) => grantersOf(candidate).includes(action));
}

function group(name: string, whole: string, parts: readonly string[]): [string, string][] {
  const parent = `${name}.${whole}`;
  return [[parent, 'banking.manage'], ...parts.map((part): [string, string] => [`${name}.${part}`, parent])];
}
