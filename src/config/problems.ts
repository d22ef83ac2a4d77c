/**
 * Says where a configuration problem stands and what would be allowed there, so that an operator can correct all of
 * them in one go.
 */
import { type Document, isNode, type LineCounter } from 'yaml';
import type { z } from 'zod';
import type { Override } from './layers.ts';
import { ConfigSchema } from './schema.ts';

export interface Problem {
  /** `aritma-sidecar.yaml:12`, `environment variable ARITMA_SCOPE`, `flag --listen` or `configuration`. */
  readonly where: string;
  /** Dotted option path, empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
}

interface Source {
  readonly name: string | undefined;
  readonly yaml: Document | undefined;
  readonly lines: LineCounter;
}

/** Where the value at `path` comes from: an override, else its line (or its closest parent's) in the file. */
export function locate(path: readonly PropertyKey[], overrides: readonly Override[], file: Source): string {
  const override = overrides.find((candidate) => matches(candidate.path, path));
  if (override) return override.source;
  for (let depth = path.length; depth > 0; depth -= 1) {
    const line = lineOf(path.slice(0, depth), file);
    if (line !== undefined) return `${file.name}:${line}`;
  }
  return file.name ?? 'configuration';
}

function matches(input: readonly string[], path: readonly PropertyKey[]): boolean {
  const shorter = Math.min(input.length, path.length);
  if (path.length === 0 || (path.length < input.length && path.length < 3)) return false;
  return input.slice(0, shorter).every((step, index) => step === String(path[index]));
}

/** A key stands on its own line even where its value starts on the next. */
function lineOf(path: readonly PropertyKey[], { yaml, lines }: Source): number | undefined {
  const parent = yaml?.getIn(path.slice(0, -1).map(String), true) ?? yaml?.contents;
  const key = String(path.at(-1));
  const pairs = (parent as { items?: readonly { key?: unknown }[] } | undefined)?.items ?? [];
  const named = pairs.find((pair) => String((pair.key as { value?: unknown } | undefined)?.value) === key);
  const node = named?.key ?? pairs[Number(key)];
  return isNode(node) && node.range ? lines.linePos(node.range[0]).line : undefined;
}

/** The option names a strict object at `path` takes. */
export function allowedKeys(path: readonly PropertyKey[]): string[] {
  let schema: z.core.$ZodType = ConfigSchema;
  for (const step of path) schema = descend(unwrap(schema), step) ?? schema;
  const object = unwrap(schema);
  return object._zod.def.type === 'object' ? Object.keys((object as z.ZodObject).shape) : [];
}

/** Takes off default, prefault, optional and preprocess wrappers. */
export function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  const def = schema._zod.def as { type: string; innerType?: z.core.$ZodType; out?: z.core.$ZodType };
  if (def.innerType) return unwrap(def.innerType);
  if (def.type === 'pipe' && def.out && def.out._zod.def.type !== 'transform') return unwrap(def.out);
  return schema;
}

function descend(schema: z.core.$ZodType, step: PropertyKey): z.core.$ZodType | undefined {
  const def = schema._zod.def as { type: string; element?: z.core.$ZodType; valueType?: z.core.$ZodType };
  if (def.type === 'object') return (schema as z.ZodObject).shape[String(step)];
  return def.type === 'array' ? def.element : def.valueType;
}
