/**
 * Ways through the option table: from an option's path to what is allowed there.
 */
import type { z } from 'zod';
import { ConfigSchema } from './schema.ts';

/** The option names a strict object at `path` takes, in the option table or another document. */
export function allowedKeys(path: readonly PropertyKey[], root: z.core.$ZodType = ConfigSchema): string[] {
  let schema = root;
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
