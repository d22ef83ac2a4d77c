// Policies: who may do what on which scope. A policy is only its subject, scope and action; it has no id. Hides the
// indexes that keep decisions fast with many policies. Every decision uses the policies of that moment.
import { grantersOf } from './actions.ts';
import { scopesAbove } from './scope-uri.ts';

export interface Policy {
  readonly subject: string;
  readonly scope: string;
  readonly action: string;
}

export interface PolicyFilter {
  subject?: string | undefined;
  scope?: string | undefined;
  action?: string | undefined;
  /** With `action`: also policies for its ancestors. */
  includeDerived?: boolean | undefined;
  /** With `scope`: also policies on its parent scopes. */
  includeInherited?: boolean | undefined;
}

export interface PolicyPage {
  readonly items: readonly Policy[];
  /** Where the next page starts, if any; stays valid when policies are added or removed meanwhile. */
  readonly after?: number;
}

export interface Policies {
  /** False if it already exists. */
  add(policy: Policy): boolean;
  /** False if it does not exist. */
  remove(policy: Policy): boolean;
  removeSubject(subject: string): void;
  all(): readonly Policy[];
  of(subject: string): readonly Policy[];
  /** In order of creation, starting after `after` (0 = the start). */
  page(filter: PolicyFilter, after: number, size: number): PolicyPage;
  /** Whether the subject may do this on the scope; without a scope, on any. No matching policy means no. */
  permits(subject: string, action: string, scope?: string): boolean;
}

interface Entry {
  readonly serial: number;
  readonly policy: Policy;
}

/** Creates the set with its initial policies. */
export function createPolicies(initial: readonly Policy[], onChange: () => void): Policies {
  const entries = new Map<number, Entry>();
  const bySubject = new Map<string, Map<string, Entry>>();
  let lastSerial = 0;

  function add({ subject, scope, action }: Policy): boolean {
    const own = bySubject.get(subject) ?? new Map<string, Entry>();
    if (own.has(keyOf(scope, action))) return false;
    lastSerial += 1;
    const entry = { serial: lastSerial, policy: { subject, scope, action } };
    entries.set(entry.serial, entry);
    bySubject.set(subject, own.set(keyOf(scope, action), entry));
    return true;
  }
  for (const policy of initial) add(policy);

  return {
    add(policy) {
      const added = add(policy);
      if (added) onChange();
      return added;
    },
    remove({ subject, scope, action }) {
      const own = bySubject.get(subject);
      const entry = own?.get(keyOf(scope, action));
      if (!own || !entry) return false;
      own.delete(keyOf(scope, action));
      entries.delete(entry.serial);
      onChange();
      return true;
    },
    removeSubject(subject) {
      for (const { serial } of bySubject.get(subject)?.values() ?? []) entries.delete(serial);
      if (bySubject.delete(subject)) onChange();
    },
    all: () => [...entries.values()].map(({ policy }) => policy),
    of: (subject) => [...(bySubject.get(subject)?.values() ?? [])].map(({ policy }) => policy),
    page(filter, after, size) {
      const candidates = filter.subject === undefined ? entries : (bySubject.get(filter.subject) ?? new Map());
      return cutPage(candidates.values(), { fits: matches(filter), after, size });
    },
    permits(subject, action, scope) {
      const own = bySubject.get(subject);
      if (!own) return false;
      const granters = grantersOf(action);
      if (scope !== undefined) return isGranted(own, granters, scope);
      return [...own.values()].some(({ policy }) => granters.includes(policy.action));
    },
  };
}

/** No action has a space in it, so two pairs never share a key. */
const keyOf = (scope: string, action: string): string => `${action} ${scope}`;

function isGranted(own: ReadonlyMap<string, Entry>, granters: readonly string[], scope: string): boolean {
  return scopesAbove(scope).some((above) => granters.some((granter) => own.has(keyOf(above, granter))));
}

interface Cut {
  fits: (policy: Policy) => boolean;
  after: number;
  size: number;
}

function cutPage(candidates: Iterable<Entry>, { fits, after, size }: Cut): PolicyPage {
  const found: Entry[] = [];
  for (const entry of candidates) {
    if (entry.serial <= after || !fits(entry.policy)) continue;
    // One more item than fits on the page shows that it is not the last page.
    if (found.length === size)
      return { items: found.map(({ policy }) => policy), after: found.at(-1)?.serial ?? after };
    found.push(entry);
  }
  return { items: found.map(({ policy }) => policy) };
}

function matches(filter: PolicyFilter): (policy: Policy) => boolean {
  const { scope, action, includeDerived, includeInherited } = filter;
  const scopes = scope !== undefined && (includeInherited ? scopesAbove(scope) : [scope]);
  const actions = action !== undefined && (includeDerived ? grantersOf(action) : [action]);
  return (policy) => (!scopes || scopes.includes(policy.scope)) && (!actions || actions.includes(policy.action));
}
