// The paths that name what a policy is about: `/subscriptions/1/resource-groups/a/providers/p/accounts/7`. Hides their
// grammar; promises that one lies under another by whole segments only.

/** `/`, which is everything, or segments without an empty one. */
export const SCOPE_URI = /^\/$|^(?:\/[^/\s]+)+$/;

/** The scope and all it lies under, widest first: `/`, `/subscriptions`, `/subscriptions/1`. */
export function scopesAbove(scope: string): readonly string[] {
  const above = ['/'];
  for (let slash = scope.indexOf('/', 1); slash > 0; slash = scope.indexOf('/', slash + 1)) {
    above.push(scope.slice(0, slash));
  }
  return scope === '/' ? above : [...above, scope];
}

/**
 * Whether a scope fits the filters of a permission list. The real meaning is not published. Here a type fits a scope
 * that names a resource of that type on its way; a provider fits a scope that names it, and one that names none, since
 * that reaches into every provider below it.
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
  // Type and name take turns, also behind `providers/{provider}`.
  const segments = scope.split('/').slice(1);
  const isType = (_: string, index: number) => index % 2 === 0;
  const at = segments.findIndex((segment, index) => index % 2 === 0 && segment === 'providers');
  return { types: segments.filter(isType), provider: at < 0 ? undefined : segments[at + 1] };
}
