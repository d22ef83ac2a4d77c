/**
 * Describes the configuration from the option table: JSON Schema for editors, the effective document for operators,
 * rows for docs/configuration.md. Knows no option by name.
 */
import { z } from 'zod';
import type { Doc } from './layers.ts';
import { ConfigSchema } from './schema.ts';
import { unwrap } from './schema-path.ts';

export interface OptionRow {
  /** `credentials.<name>.clientId`, `routes[].path`. */
  readonly path: string;
  /** Default as written in a file; undefined = none. */
  readonly fallback: string | undefined;
  readonly required: boolean;
  readonly description: string;
  /** The allowed values, if they are a closed list. */
  readonly values: readonly string[] | undefined;
}

/** Returns the JSON Schema (2020-12) of a configuration file. */
export function jsonSchema(): object {
  return z.toJSONSchema(ConfigSchema, { io: 'input', unrepresentable: 'any' });
}

/** Returns the document with every default filled in. It shows where secrets come from, never their values. */
export function effectiveDocument(document: Doc): Doc {
  return fill(ConfigSchema, document) as Doc;
}

/** Returns one row per option, in the order of the table. */
export function optionRows(): OptionRow[] {
  return rowsOf(ConfigSchema, '');
}

type Schema = z.core.$ZodType;

interface Def {
  readonly type: string;
  readonly innerType?: Schema;
  readonly defaultValue?: unknown;
  readonly element?: Schema;
  readonly valueType?: Schema;
  readonly entries?: Readonly<Record<string, string>>;
}

const defOf = (schema: Schema): Def => schema._zod.def as unknown as Def;

function shapeOf(schema: Schema): Readonly<Record<string, Schema>> | undefined {
  return defOf(schema).type === 'object' ? (schema as z.ZodObject).shape : undefined;
}

function defaultOf(schema: Schema): unknown {
  const def = defOf(schema);
  return def.type === 'default' || def.type === 'prefault' ? def.defaultValue : undefined;
}

function fill(schema: Schema, value: unknown): unknown {
  const given = value ?? defaultOf(schema);
  const inner = unwrap(schema);
  const { element, valueType } = defOf(inner);
  const shape = shapeOf(inner);
  if (Array.isArray(given)) return given.map((item) => (element ? fill(element, item) : item));
  if (typeof given !== 'object' || given === null) return given;
  const doc = given as Doc;
  const keys = shape ? Object.keys(shape) : Object.keys(doc);
  const filled = keys.map((key) => [key, fill(shape?.[key] ?? valueType ?? inner, doc[key])] as const);
  return Object.fromEntries(filled.filter(([, item]) => item !== undefined));
}

function rowsOf(schema: Schema, path: string): OptionRow[] {
  const inner = unwrap(schema);
  const { element, valueType } = defOf(inner);
  const shape = shapeOf(inner);
  if (shape) {
    const prefix = path === '' ? '' : `${path}.`;
    return Object.entries(shape).flatMap(([key, child]) => rowsOf(child, prefix + key));
  }
  const nested = element ?? valueType;
  if (nested && shapeOf(unwrap(nested))) return rowsOf(nested, valueType ? `${path}.<name>` : `${path}[]`);
  return [leafRow(schema, path)];
}

function leafRow(schema: Schema, path: string): OptionRow {
  const fallback = defaultOf(schema);
  const { entries } = defOf(unwrap(schema));
  return {
    path,
    fallback: fallback === undefined ? undefined : typeof fallback === 'string' ? fallback : JSON.stringify(fallback),
    required: fallback === undefined && schema._zod.optin !== 'optional',
    description: describe(schema),
    values: entries && Object.values(entries),
  };
}

/** The description is on the wrapper that was outermost when `meta` was called. */
function describe(schema: Schema): string {
  const text = z.globalRegistry.get(schema)?.description;
  const { innerType } = defOf(schema);
  return text ?? (innerType ? describe(innerType) : '');
}
