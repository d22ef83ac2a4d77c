// Reading what comes from outside through a schema. Hides the translation of a zod complaint into the `errors` member
// of a problem.
import type { z } from 'zod';

/** Field path (dotted, `$` for the whole body) → what is wrong with it. */
export type FieldErrors = Record<string, string[]>;

/** Reads outside input through a schema: either the typed value, or the complaint per field for a 400 response. */
export function readValid<T>(schema: z.ZodType<T>, input: unknown): { value: T } | { errors: FieldErrors } {
  const result = schema.safeParse(input);
  if (result.success) return { value: result.data };
  const errors: FieldErrors = {};
  for (const issue of result.error.issues) {
    const path = issue.path.join('.') || '$';
    errors[path] = [...(errors[path] ?? []), issue.message];
  }
  return { errors };
}
