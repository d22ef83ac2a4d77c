// Validates outside input with a schema. Hides how zod issues become the `errors` member of a problem.
import type { z } from 'zod';

/** Problems by field path (dotted, `$` for the whole body). */
export type FieldErrors = Record<string, string[]>;

/** Validates input: returns the typed value, or the errors per field for a 400 response. */
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
