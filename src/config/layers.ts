/**
 * Merges the configuration layers as plain data, without I/O: flags over environment over file over preset. If the file
 * lists routes, only those exist; the preset then only supplies missing upstreams.
 */
import { PRESETS } from './presets.ts';

export type Doc = Readonly<Record<string, unknown>>;

export interface Override {
  /** Path in the document; a step `route:/x` selects the route with that path. */
  readonly path: readonly string[];
  readonly value: string | number;
  /** For messages: `flag --listen`, `environment variable ARITMA_LISTEN`. */
  readonly source: string;
}

/** Merges the file over the preset. Flags, environment or the file itself select the preset. */
export function layer(file: Doc, overrides: readonly Override[]): Doc {
  const chosen = overrides.find((override) => override.path[0] === 'environment')?.value ?? file['environment'];
  const preset: Doc = isPresetName(chosen) ? { ...PRESETS[chosen] } : {};
  const merged = merge(withoutRivals(preset, file), file) as Record<string, unknown>;
  const listed = file['routes'];
  if (Array.isArray(listed)) {
    const known = (preset['routes'] ?? []) as readonly Doc[];
    merged['routes'] = listed.map((route) => (isDoc(route) ? fill(route, known) : route));
  }
  return merged;
}

export interface Applied {
  readonly doc: Doc;
  /** The overrides, with the paths where they were applied. */
  readonly sources: readonly Override[];
}

/** Applies the overrides to a copy of the document. */
export function applyInputs(base: Doc, overrides: readonly Override[]): Applied {
  const doc = structuredClone(base) as Record<string, unknown>;
  for (const slot of ['0', '1']) {
    if (overrides.some(({ path }) => path.at(-2) === slot)) clearSecret(doc, Number(slot));
  }
  for (const override of overrides) set(doc, override.path, override.value);
  return { doc, sources: overrides.map((override) => ({ ...override, path: placeOf(doc, override.path) })) };
}

/** Replaces `route:/x` by its list position; a second secret without a first has position 0. */
function placeOf(doc: Doc, path: readonly string[]): string[] {
  let at: unknown = doc;
  return path.map((step) => {
    let place = step;
    if (Array.isArray(at)) {
      // Compared, never converted to text: the value may be anything.
      const index = at.findIndex((item) => isDoc(item) && step === routeStep(item['path']));
      place = String(index === -1 ? Math.min(Number(step), at.length - 1) : index);
    }
    at = (at as Record<string, unknown> | undefined)?.[place];
    return place;
  });
}

function routeStep(path: unknown): string | undefined {
  return typeof path === 'string' ? `route:${path}` : undefined;
}

/** If the file names an issuer, the token endpoint of the preset must not contradict it. */
function withoutRivals(preset: Doc, file: Doc): Doc {
  const named = at(at(file['credentials'], 'default'), 'issuer');
  const standard = at(preset['credentials'], 'default');
  if (named === undefined || !isDoc(standard)) return preset;
  const { tokenEndpoint: _replaced, ...rest } = standard;
  return { ...preset, credentials: { default: rest } };
}

function at(value: unknown, key: string): unknown {
  return isDoc(value) ? own(value, key) : undefined;
}

function isPresetName(name: unknown): name is keyof typeof PRESETS {
  return typeof name === 'string' && Object.hasOwn(PRESETS, name);
}

/** True for a mapping, false for a list. */
export function isDoc(value: unknown): value is Doc {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function merge(under: unknown, over: unknown): unknown {
  if (!isDoc(under) || !isDoc(over)) return over === undefined ? under : over;
  const keys = new Set([...Object.keys(under), ...Object.keys(over)]);
  return Object.fromEntries([...keys].map((key) => [key, merge(own(under, key), own(over, key))]));
}

function own(doc: Doc, key: string): unknown {
  return Object.hasOwn(doc, key) ? doc[key] : undefined;
}

function fill(route: Doc, known: readonly Doc[]): Doc {
  return { ...known.find((preset) => preset['path'] === route['path']), ...route };
}

/**
 * A secret from the environment replaces the whole entry of the file: one entry must not have both `file` and `env`.
 */
function clearSecret(doc: Record<string, unknown>, index: number): void {
  const credential = child(child(doc, 'credentials'), 'default');
  const secrets = Array.isArray(credential['secrets']) ? [...credential['secrets']] : [];
  // A secondary without a primary becomes the first entry.
  secrets[Math.min(index, secrets.length)] = {};
  credential['secrets'] = secrets;
}

function child(doc: Record<string, unknown>, key: string): Record<string, unknown> {
  const value = doc[key];
  const next = isDoc(value) ? { ...value } : {};
  // A value that is not a mapping stays, so that the schema reports it.
  if (value === undefined || value === null || isDoc(value)) doc[key] = next;
  return next;
}

function set(doc: Record<string, unknown>, path: readonly string[], value: Override['value']): void {
  const [key, ...rest] = path;
  if (key === undefined) return;
  const at = doc[key];
  if (rest.length === 0) doc[key] = value;
  else if (rest[0]?.startsWith('route:')) setRoute(doc, key, rest, value);
  else if (Array.isArray(at)) setInList(at, rest, value);
  else set(child(doc, key), rest, value);
}

function setInList(list: unknown[], [index, ...rest]: readonly string[], value: Override['value']): void {
  const position = Math.min(Number(index), list.length - 1);
  const entry = { ...(list[position] as Record<string, unknown>) };
  list[position] = entry;
  set(entry, rest, value);
}

function setRoute(doc: Record<string, unknown>, key: string, path: readonly string[], value: Override['value']): void {
  const [step = '', ...rest] = path;
  if (doc[key] !== undefined && doc[key] !== null && !Array.isArray(doc[key])) return;
  const routePath = step.slice('route:'.length);
  const routes = Array.isArray(doc[key]) ? [...doc[key]] : [];
  let index = routes.findIndex((route) => isDoc(route) && route['path'] === routePath);
  if (index === -1) index = routes.push({ path: routePath }) - 1;
  const route = { ...(routes[index] as Record<string, unknown>) };
  set(route, rest, value);
  routes[index] = route;
  doc[key] = routes;
}
