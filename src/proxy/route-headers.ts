/**
 * Header fields that a route adds to its requests. They are added after the fields that `Connection` lists were removed, so
 * a caller cannot remove them by naming them there.
 */
import { plainName } from './header-treatments.ts';

/** By the name to send. */
export type RouteHeaders = Readonly<Record<string, { readonly value: string; readonly override: boolean }>>;

/** Returns the flat headers for the API, made from those of the caller. */
export type AddHeaders = (forward: readonly string[]) => readonly string[];

/**
 * Creates the function that adds the headers of a route; undefined when there are none. The caller's own field wins, in
 * every spelling that some server takes for the same name; with `override` it is removed.
 * @example
 * createAddHeaders({ TenantId: { value: '7', override: false } })?.(['Accept', '*']); // ['Accept', '*', 'TenantId', '7']
 */
export function createAddHeaders(headers: RouteHeaders): AddHeaders | undefined {
  const added = Object.entries(headers).map(([name, header]) => ({ ...header, name, plain: plainName(name) }));
  if (added.length === 0) return undefined;
  const overrides = new Map(added.map(({ plain, override }) => [plain, override]));
  return (forward) => {
    const kept: string[] = [];
    const own = new Set<string>();
    for (let index = 0; index < forward.length; index += 2) {
      const name = forward[index] ?? '';
      const plain = plainName(name);
      const isOverridden = overrides.get(plain);
      if (isOverridden) continue;
      if (isOverridden === false) own.add(plain);
      kept.push(name, forward[index + 1] ?? '');
    }
    for (const { name, value, plain } of added) if (!own.has(plain)) kept.push(name, value);
    return kept;
  };
}
