/**
 * Walks the option table: from the path of an option to what is allowed there.
 */
import type { z } from 'zod';
import { ConfigSchema } from './schema.ts';

/** Returns the option names allowed at `path`, in the option table or another schema. */
export function allowedKeys(path: readonly PropertyKey[], root: z.core.$ZodType = ConfigSchema): string[] {
  let schema = root;
  for (const step of path)
    schema =
      choices(schema)
        .map((one) => descend(unwrap(one), step))
        .find(Boolean) ?? schema;
  const object = unwrap(schema);
  return object._zod.def.type === 'object' ? Object.keys((object as z.ZodObject).shape) : [];
}

interface Def {
  readonly type: string;
  readonly innerType?: z.core.$ZodType;
  readonly in?: z.core.$ZodType;
  readonly out?: z.core.$ZodType;
  readonly options?: readonly z.core.$ZodType[];
}

/** Removes default, prefault, optional and preprocess wrappers; of a union, returns the object alternative. */
export function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  const def = schema._zod.def as unknown as Def;
  const chosen = def.options?.find(({ _zod }) => _zod.def.type === 'object');
  if (chosen) return chosen;
  if (def.innerType) return unwrap(def.innerType);
  const piped = def.out?._zod.def.type === 'transform' ? def.in : def.out;
  return piped ? unwrap(piped) : schema;
}

function choices(schema: z.core.$ZodType): readonly z.core.$ZodType[] {
  return (schema._zod.def as unknown as Def).options ?? [schema];
}

function descend(schema: z.core.$ZodType, step: PropertyKey): z.core.$ZodType | undefined {
  const def = schema._zod.def as { type: string; element?: z.core.$ZodType; valueType?: z.core.$ZodType };
  if (def.type === 'object') {
    const { shape } = schema as z.ZodObject;
    // Not what every object inherits: `__proto__` and `constructor` are names that people can write.
    return Object.hasOwn(shape, step) ? shape[String(step)] : undefined;
  }
  return typeof step === 'number' ? def.element : def.valueType;
}
