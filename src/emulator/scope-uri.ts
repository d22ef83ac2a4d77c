// Scope paths of policies: `/subscriptions/1/resource-groups/a/providers/p/accounts/7`. Hides their grammar; compares
// whole segments only.

/** `/` for everything, or a path without empty segments. */
export const SCOPE_URI = /^\/$|^(?:\/[^/\s]+)+$/;

/** Returns the scope and its parents, widest first: `/`, `/subscriptions`, `/subscriptions/1`. */
export function scopesAbove(scope: string): readonly string[] {
  const above = ['/'];
  for (let slash = scope.indexOf('/', 1); slash > 0; slash = scope.indexOf('/', slash + 1)) {
    above.push(scope.slice(0, slash));
  }
  return scope === '/' ? above : [...above, scope];
}

/**
 * Returns whether a scope matches the filters of a permission list. Their real meaning is not published. Here a type
 * matches a scope with a resource of that type in its path. A provider matches a scope that names it, or one that names
 * none, because that includes every provider below it.
 */
export function fitsResource(
  scope: string,
  filter: { type?: string | undefined; provider?: string | undefined },
): boolean {
  const { types, provider } = readSegments(scope);
  return (
    (filter.type === undefined || types.includes(filter.type)) &&
    (filter.provider === undefined || provider === undefined || provider === filter.provider)
  );
}

function readSegments(scope: string): { types: readonly string[]; provider: string | undefined } {
  // Types and names alternate, also after `providers/{provider}`.
  const segments = scope.split('/').slice(1);
  const isType = (_: string, index: number) => index % 2 === 0;
  const at = segments.findIndex((segment, index) => index % 2 === 0 && segment === 'providers');
  return { types: segments.filter(isType), provider: at < 0 ? undefined : segments[at + 1] };
}
